"""What trains: patterns and groups of the spec, set on a network."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from actrec_zoo.errors import ConfigError, did_you_mean
from actrec_zoo.spec import ModelSpec


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
    return name.startswith(f"{spec.head}.")


def parameter_groups(
    net: nn.Module, spec: ModelSpec, lr_factors: Mapping[str, float]
) -> list[tuple[float, list[nn.Parameter]]]:
    """Trainable parameters by the factor on their learning rate.

    Args:
        net: the network.
        spec: whose groups the factors name.
        lr_factors: factor by group name; where groups overlap, the last one counts. One of the model's own defaults
            for a group that this network does not have (a layer that options leave out) counts for nothing.

    Raises:
        ConfigError: a group does not exist.
    """
    names = [name for name, _ in net.named_parameters()]
    factor_of = dict.fromkeys(names, 1.0)
    own = spec.defaults.get("lr_factors", {})
    for key, factor in lr_factors.items():
        group = key.removeprefix("@")
        left_out = group in spec.all_groups and not _covered(spec.all_groups[group], names)
        if left_out and own.get(key) == factor:
            continue
        factor_of |= dict.fromkeys(_matching(f"@{group}", names, spec), factor)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(factor_of[name], []).append(parameter)
    return list(groups.items())


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
