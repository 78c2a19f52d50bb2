"""What trains: patterns and groups of the spec, set on a network."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import ConfigError, did_you_mean
from actrec_zoo.spec import ModelSpec

_NUMBER = "{n}"


def set_trainable(net: nn.Module, spec: ModelSpec, patterns: Sequence[str]) -> list[str]:
    """Let the parameters that match `patterns` train and freeze all others; return the names that train.

    Args:
        net: the network.
        spec: whose groups `@name` stands for.
        patterns: over parameter names, or `@group`.

    Raises:
        ConfigError: a group does not exist, or a pattern matches no parameter.
    """
    names = [name for name, _ in net.named_parameters()]
    chosen = {name for pattern in patterns for name in _matching(pattern, names, spec)}
    if not chosen:
        raise ConfigError("nothing would train: give --trainable a pattern or an @group")
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in chosen)
    return [name for name in names if name in chosen]


def only_head_trains(net: nn.Module, spec: ModelSpec) -> bool:
    """Whether every parameter that trains belongs to the head."""
    return all(is_of_head(n, spec) for n, p in net.named_parameters() if p.requires_grad)


def is_of_head(name: str, spec: ModelSpec) -> bool:
    """Whether a tensor of this name belongs to the head: what follows the features."""
    return name.startswith(tuple(f"{module}." for module in spec.head_modules))


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that an optimizer treats alike.

    Attributes:
        lr_factor: on their learning rate.
        decays: whether they have weight decay.
        parameters: all of which train.
    """

    lr_factor: float
    decays: bool
    parameters: list[nn.Parameter]


def parameter_groups(net: nn.Module, spec: ModelSpec, config: TrainConfig) -> list[ParameterGroup]:
    """Trainable parameters by the factor on their learning rate, and by whether they have weight decay.

    Args:
        net: the network.
        spec: whose groups and layers the settings mean.
        config: for `lr_factors`, `layer_decay` and `no_decay`; the factors of the first two are multiplied.

    Raises:
        ConfigError: a group does not exist, or `layer_decay` is given and the layers are not known.
    """
    names = [name for name, _ in net.named_parameters()]
    by_group = _factors_by_group(names, spec, config.lr_factors)
    by_layer = _factors_by_layer(names, spec, config.layer_decay)
    spared = _covered(spec.no_decay, names)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            decays = not config.no_decay or (parameter.dim() > 1 and name not in spared)
            groups.setdefault((by_group[name] * by_layer[name], decays), []).append(parameter)
    return [ParameterGroup(factor, decays, parameters) for (factor, decays), parameters in groups.items()]


def _factors_by_group(names: Sequence[str], spec: ModelSpec, lr_factors: Mapping[str, float]) -> dict[str, float]:
    """Factor of each parameter; where groups overlap, the last one counts.

    One of the model's own defaults for a group that this network does not have (a layer that options leave out) counts
    for nothing.
    """
    factor_of = dict.fromkeys(names, 1.0)
    own = spec.defaults.get("lr_factors", {})
    for key, factor in lr_factors.items():
        group = key.removeprefix("@")
        left_out = group in spec.all_groups and not _covered(spec.all_groups[group], names)
        if left_out and own.get(key) == factor:
            continue
        factor_of |= dict.fromkeys(_matching(f"@{group}", names, spec), factor)
    return factor_of


def _factors_by_layer(names: Sequence[str], spec: ModelSpec, decay: float) -> dict[str, float]:
    """Factor of each parameter: 1 behind the layers, and from each layer to the one before it that of the decay."""
    if decay == 1:
        return dict.fromkeys(names, 1.0)
    layers = layers_of(names, spec)
    factors = {name: decay ** (len(layers) - depth) for depth, layer in enumerate(layers) for name in layer}
    return dict.fromkeys(names, 1.0) | factors


def layers_of(names: Sequence[str], spec: ModelSpec) -> list[list[str]]:
    """The names of the parameters of each layer, from the input to the head; those of none come behind the layers.

    Args:
        names: of all parameters.
        spec: states the layers.

    Raises:
        ConfigError: it states none, or its layers leave out a part of the backbone or meet in a parameter.
    """
    if not spec.layers:
        raise ConfigError(f"layer_decay: {spec.name} states no layers. lr_factors gives groups of parameters rates")
    patterns = [single for layer in spec.layers for single in _one_layer_each(layer, names)]
    layers = [found for pattern in patterns if (found := _covered(pattern, names))]
    depths = Counter(name for layer in layers for name in layer)
    twice = [name for name, times in depths.items() if times > 1]
    if twice:
        raise ConfigError(f"layer_decay: {twice[0]} of {spec.name} is in two layers")
    without = [name for name in _covered([f"{spec.backbone}.*"], names) if name not in depths]
    if without or not layers:
        raise ConfigError(
            f"layer_decay: the layers that {spec.name} states leave out {(without or names)[0]}. "
            "lr_factors gives groups of parameters rates"
        )
    return layers


def _one_layer_each(layer: str | tuple[str, ...], names: Iterable[str]) -> list[tuple[str, ...]]:
    """The patterns of a layer; of one with `{n}` those of the layer of each number."""
    patterns = (layer,) if isinstance(layer, str) else layer
    if not any(_NUMBER in pattern for pattern in patterns):
        return [patterns]
    numbers = sorted({int(part) for name in names for part in name.split(".") if part.isdecimal()})
    return [tuple(pattern.replace(_NUMBER, str(number)) for pattern in patterns) for number in numbers]


def set_training_mode(net: nn.Module) -> None:
    """Training mode for what trains, evaluation mode for what is frozen (batch-norm statistics, dropout).

    A module trains when one of its parameters does; one without parameters trains when all of its parent does.
    """
    parameters = list(net.parameters())
    net.training = any(p.requires_grad for p in parameters)
    all_train = all(p.requires_grad for p in parameters)
    for child in net.children():
        if next(child.parameters(), None) is None:
            child.train(all_train)
        else:
            set_training_mode(child)


def _matching(pattern: str, names: Iterable[str], spec: ModelSpec) -> list[str]:
    patterns: Sequence[str] = (pattern,)
    if pattern.startswith("@"):
        groups = spec.all_groups
        if pattern[1:] not in groups:
            known = [f"@{name}" for name in groups]
            raise ConfigError(
                f"{spec.name} has no parameter group {pattern!r}.{did_you_mean(pattern, known)} "
                f"It has {', '.join(known)}."
            )
        patterns = groups[pattern[1:]]
    found = _covered(patterns, names)
    if not found:
        raise ConfigError(f"{pattern!r} matches no parameter of {spec.name}: `actrec-zoo info` lists its groups")
    return found


def _covered(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
