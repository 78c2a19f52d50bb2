"""`load`: from a name, a folder or a reference to a model that can be used."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import check_options
from actrec_zoo.errors import ActrecZooError, ConfigError, PluginError, UnknownNameError, WeightsError
from actrec_zoo.hub import index, remote, store
from actrec_zoo.hub.package import CONFIG_FILE, WEIGHTS_FILE, Package, read_package, require_weights
from actrec_zoo.hub.reference import PREFIX
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.skeleton import Allowance, bounded
from actrec_zoo.spec import InputSpec, ModelSpec, import_object
from actrec_zoo.weights import build_from_file, load_strictly, read_safetensors, upstream_labels

_log = logging.getLogger(__name__)


def load(
    name: str | Path,
    *,
    weights: str | None = "auto",
    num_classes: int | None = None,
    device: str | torch.device | None = None,
) -> VideoClassifier:
    """A model, ready to predict.

    Args:
        name: name of a model, path of a run or model folder, or `hf:org/name[@revision]`.
        weights: `auto`: trained ones, of the folder or Hub repository, or for a name those of the index, else those of
            the local store;
            `pretrained`: upstream's weights, with upstream's classifier and labels where the model can keep them and
            `num_classes` is not given, else with a new head; None: random; else one of the model's weight tags, or a
            path or `hf:` reference to trained weights of the same architecture.
        num_classes: replace the classifier by a new one with so many classes, where they differ.
        device: where the model is put; None is the CPU.

    Returns:
        The model in evaluation mode.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: no weights were found, or they do not fit.
        RunError: the folder holds no model.

    Example:
        >>> import actrec_zoo
        >>> model = actrec_zoo.load("tiny_conv3d", weights=None, num_classes=3)
        >>> model.labels
        ('0', '1', '2')
    """
    package = _package(name, weights)
    if package is None:
        model = _from_name(str(name), weights, num_classes)
    elif weights == "auto":
        model = _from_package(package, num_classes)
    else:
        registered = find_model(package)
        labels = package.labels if num_classes in (None, len(package.labels)) else _numbered(num_classes)
        model = create(registered, labels=labels, input=package.input, options=package.options, weights=weights)
    return model.eval().to(device or "cpu")


def load_to_answer(
    name: str | Path, weights: str = "auto", device: str | torch.device | None = None
) -> VideoClassifier:
    """As `load`, but refuse weights that leave the classifier untrained: its answers would mean nothing.

    Raises:
        ConfigError: the classifier would be a new one.
    """
    if weights != "auto":
        if str(name).startswith(PREFIX) or is_path(name):
            raise ConfigError(f"--weights {weights}: {name} has weights of its own, leave it out")
        model = get_registry().find(str(name))
        if not _keeps_classifier(model, weights):
            raise ConfigError(
                f"--weights {weights}: the classifier of {model.spec.name} would be new and its answers mean nothing. "
                f"Train it first: `actrec-zoo train {model.spec.name} --data DIR`"
            )
    return load(name, weights=weights, device=device)


def locate(name: str | Path) -> Path | None:
    """The folder of a trained model: a path, a pulled Hub repository, or for a name what the index has, else the local
    store's run; a line of the log says which was taken for a name.
    """
    if str(name).startswith(PREFIX):
        return remote.pull(str(name))
    if is_path(name):
        path = Path(name).expanduser()
        inside = path.name in (WEIGHTS_FILE, CONFIG_FILE) and (path.parent / CONFIG_FILE).is_file()
        return path.parent if inside else path
    return _locate_name(str(name))


def _locate_name(name: str) -> Path | None:
    """The folder of trained weights that a name leads to; a name of the index need not be that of a model."""
    entry = index.find(name)
    model = get_registry().find(name) if entry is None or _is_model(name) else None
    if entry is None and model is not None:
        entry = index.find(model.id, model.spec.name)
    own = None if model is None else store.find(model.id)
    if entry is not None:
        instead = f"; your own run is {own}" if own else ""
        folder = entry.fetch()
        _log.info("%s: trained weights of the index, %s%s", name, entry.told, instead)
        return folder
    if own is not None:
        _log.info("%s: trained weights from the local store, %s", name, own)
    return own


def create(
    model: RegisteredModel,
    *,
    labels: Sequence[str] | None,
    input: InputSpec | None = None,  # noqa: A002 (the field's name in every format)
    options: Mapping[str, Any] | None = None,
    weights: str | Package | None = None,
    backbone_weights: Path | None = None,
) -> VideoClassifier:
    """Build a model for `labels` and give it its first weights; see `load` for `weights`. A package stands for its own.

    Labels of None keep the classifier and the labels of upstream's weights.

    Raises:
        ConfigError: an option does not exist or does not fit.
        WeightsError: the weights cannot be had or do not fit.
    """
    spec = model.spec
    preprocessing = input or spec.input
    weights = None if weights == "none" or backbone_weights is not None else weights
    tag = None if isinstance(weights, Package) else _tag(model, weights)
    resolved = resolve_options(model, preprocessing, options or {})
    num_classes = None if labels is None else len(labels)
    if labels is None:
        if tag is None or spec.weights[tag].num_classes is None:
            raise ConfigError(f"{spec.name} with weights {weights!r} has no classifier to keep: give labels")
        labels = upstream_labels(spec.weights[tag])
    make = partial(build, model, num_classes=num_classes, options=resolved, pretrained=tag)
    net = make() if weights is None or tag is not None else _trained(make, spec, weights, labels)
    classifier = VideoClassifier(
        net, spec=spec, id=model.id, labels=labels, input=preprocessing, options=dict(options or {})
    )
    if backbone_weights is not None:
        _load_backbone(classifier, backbone_weights)
    return classifier


def resolve_options(
    model: RegisteredModel,
    input: InputSpec,  # noqa: A002
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """All architecture options: the model's defaults, the given ones, and `frames` and `size` from the input."""
    check_options(model.spec, options)
    merged = dict(model.spec.options) | dict(options)
    for name in ("frames", "size"):
        if name in merged and merged[name] is None:
            merged[name] = getattr(input, name)
    return merged


def build(
    model: RegisteredModel, *, num_classes: int | None, options: Mapping[str, Any], pretrained: str | None = None
) -> nn.Module:
    """Call the model's builder; without `num_classes`, the network has the classifier of its pretrained weights.

    Raises:
        PluginError: the builder cannot be imported.
        ConfigError: it refuses an option.
        WeightsError: it cannot get the pretrained weights.
    """
    try:
        builder = import_object(model.spec.builder)
    except PluginError as error:
        raise PluginError(f"plugin {model.plugin.name!r} of model {model.id!r} is broken: {error}") from error
    try:
        net: nn.Module = builder(num_classes=num_classes, pretrained=pretrained, **options)
    except ActrecZooError:
        raise
    except Exception as error:  # a plugin's builder may raise anything
        reason = f"{type(error).__name__}: {error}" if isinstance(error, LookupError | AttributeError) else str(error)
        shown = " ".join(reason.split()) or type(error).__name__
        raise ConfigError(f"{model.id} cannot be built with {dict(options)}: {shown}") from error
    return net


def check_first_weights(model: RegisteredModel, weights: str | None, backbone_weights: str | Path | None) -> None:
    """Find out before anything is built whether the first weights exist, as far as files and tags go.

    Raises:
        WeightsError, RunError: they do not.
    """
    if backbone_weights is not None:
        if not Path(backbone_weights).is_file():
            raise WeightsError(f"--backbone-weights: there is no file {backbone_weights}")
        return
    reference = None if weights in (None, "none") else weights
    if reference is None or _tag(model, reference) is not None or reference.startswith(PREFIX):
        return
    path = Path(reference).expanduser()
    if not path.exists():
        raise WeightsError(f"--weights: there is nothing at {reference}")
    if path.is_dir():
        require_weights(read_package(path))


def find_model(package: Package) -> RegisteredModel:
    """The registered model of a package.

    Raises:
        UnknownNameError, PluginError: its plugin is not installed or does not work; the message names the
            distribution to install.
    """
    try:
        return get_registry().find(package.model)
    except UnknownNameError as error:
        distribution = package.plugin.get("distribution", "unknown")
        raise UnknownNameError(
            f"{package.folder} needs the model {package.model!r}: `pip install {distribution}`. {error}"
        ) from error


def is_path(name: str | Path) -> bool:
    """Whether a name stands for a path: it has a separator, or is a model folder that is not called like a model."""
    text = str(name)
    if isinstance(name, Path) or "/" in text or "\\" in text or text.startswith((".", "~")):
        return True
    return (Path(text) / CONFIG_FILE).is_file() and not _is_model(text)


def _package(name: str | Path, weights: str | None) -> Package | None:
    """The package that `name` stands for; a bare name has one only when trained weights are wanted."""
    bare = not str(name).startswith(PREFIX) and not is_path(name)
    if bare and weights != "auto":
        return None
    folder = locate(name)
    return None if folder is None else read_package(folder)


def _is_model(name: str) -> bool:
    try:
        get_registry().find(name)
    except ActrecZooError:
        return False
    return True


def _from_name(name: str, weights: str | None, num_classes: int | None) -> VideoClassifier:
    model = get_registry().find(name)
    if weights == "auto":
        pretrained = ', weights="pretrained" (the backbone\'s, with a new head)' if model.spec.weights else ""
        raise WeightsError(
            f"no trained weights of {model.spec.name!r} are in the index or the local store{store.why_not(model.id)}. "
            f"Train it with `actrec-zoo train {model.spec.name} --data DIR`, or load it with weights=None "
            f"(random){pretrained}"
        )
    package = _reference_package(weights)
    if package is not None:
        _refuse_other_architecture(model, package)
    labels: Sequence[str] | None = _numbered(model.spec.num_classes if num_classes is None else num_classes)
    if num_classes is None and _keeps_classifier(model, weights):
        labels = None
    if package is not None and num_classes in (None, len(package.labels)):
        labels = package.labels
    return create(model, labels=labels, weights=weights, **_settings(package))


def _keeps_classifier(model: RegisteredModel, weights: str | None) -> bool:
    tag = _tag(model, None if weights == "none" else weights)
    return tag is not None and model.spec.weights[tag].num_classes is not None


def _refuse_other_architecture(model: RegisteredModel, package: Package) -> None:
    other = find_model(package)
    if other.spec.builder != model.spec.builder:
        raise WeightsError(
            f"the weights in {package.folder} are of {other.id}, which is built otherwise than {model.id}: "
            "name a run of the same architecture"
        )


def _settings(package: Package | None) -> dict[str, Any]:
    return {} if package is None else {"input": package.input, "options": package.options}


def _from_package(package: Package, num_classes: int | None) -> VideoClassifier:
    model = find_model(package)
    labels = package.labels if num_classes in (None, len(package.labels)) else _numbered(num_classes)
    return create(model, labels=labels, input=package.input, options=package.options, weights=package)


def _numbered(num_classes: int) -> tuple[str, ...]:
    if num_classes < 1:
        raise ConfigError(f"num_classes must be at least 1, not {num_classes}")
    return tuple(str(i) for i in range(num_classes))


def _tag(model: RegisteredModel, weights: str | None) -> str | None:
    """The builder's `pretrained` argument for `weights`, or None where they are a reference or nothing."""
    tags = model.spec.weights
    if weights == "pretrained":
        if not tags:
            raise WeightsError(f"{model.spec.name} has no pretrained weights: use `--weights none`")
        return next(iter(tags))
    if weights is None or weights in tags:
        return weights
    if weights.startswith(PREFIX) or is_path(weights):
        return None
    raise WeightsError(
        f"{model.spec.name} has no weights {weights!r}: use {', '.join(('pretrained', *tags))}, none, "
        "the path of a run, or hf:org/name"
    )


def _reference_package(weights: str | None) -> Package | None:
    """The package that a weights reference names; None for a tag or a bare safetensors file."""
    if weights is None or not (weights.startswith(PREFIX) or is_path(weights)):
        return None
    folder = locate(weights)
    return read_package(folder) if folder is not None and folder.is_dir() else None


def _trained(
    make: Callable[[], nn.Module], spec: ModelSpec, weights: str | Package, labels: Sequence[str]
) -> nn.Module:
    """The network with trained weights; with a new classifier where they are for other labels."""
    package = weights if isinstance(weights, Package) else _reference_package(weights)
    file = Path(str(weights)).expanduser() if package is None else require_weights(package)
    if package is None or package.labels == tuple(labels):
        return build_from_file(make, file)
    state = read_safetensors(file)
    with bounded(Allowance.around(state.values(), str(file)), on_meta=False):
        net = make()
    _fill_but_classifier(net, spec, state, str(file))
    return net


def load_trained(classifier: VideoClassifier, state: Mapping[str, Tensor], source: str, labels: Sequence[str]) -> None:
    """Fill the whole network; where the labels differ, all but the classifier, which stays new."""
    if tuple(labels) == classifier.labels:
        load_strictly(classifier.net, state, source=source)
    else:
        _fill_but_classifier(classifier.net, classifier.spec, state, source)


def _fill_but_classifier(net: nn.Module, spec: ModelSpec, state: Mapping[str, Tensor], source: str) -> None:
    prefix = f"{spec.classifier}."
    own = {k: v for k, v in net.state_dict().items() if k.startswith(prefix)}
    kept = {k: v for k, v in state.items() if not k.startswith(prefix)}
    load_strictly(net, kept | own, source=source)


def _load_backbone(classifier: VideoClassifier, file: Path) -> None:
    spec = classifier.spec
    ignore = tuple(pattern for ref in spec.weights.values() for pattern in ref.ignore_keys)
    backbone = classifier.net.get_submodule(spec.backbone)
    load_strictly(backbone, read_safetensors(file), source=f"--backbone-weights {file}", ignore=ignore)
