"""Weights from files, torchvision and the Hub, loaded strictly: what does not fit is listed, never skipped."""

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar, cast
from urllib.error import URLError
from zipfile import is_zipfile

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision import models

from actrec_zoo.errors import ConfigError, WeightsError, did_you_mean
from actrec_zoo.spec import WeightsRef

Network = TypeVar("Network", bound=nn.Module)

_TORCHVISION_TAGS = {
    "imagenet": "IMAGENET1K_V1",
    "kinetics400": "KINETICS400_V1",
    "kinetics400_imagenet22k": "KINETICS400_IMAGENET22K_V1",
}
_LISTED = 8
_PORTED = {"transform_input": True, "init_weights": True}
_ARGUMENTS = {"googlenet": _PORTED, "inception_v3": _PORTED}
"""What torchvision sets for weights that expect another normalisation than its own, and warns about when left open."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: the file is missing or is not safetensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    ignore: Iterable[str] = (),
    assign: bool = False,
) -> None:
    """Fill `module` from `state`; every key and shape has to fit.

    Args:
        module: what is filled.
        state: tensors by key of the module.
        source: names the origin in the error.
        ignore: patterns of keys in `state` that the module may lack.
        assign: use the tensors themselves instead of copying them (for a module on the meta device).

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; they are listed.
    """
    own = module.state_dict()
    patterns = tuple(ignore)
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own and not any(fnmatchcase(k, p) for p in patterns)]
    misfit = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        _listing(kind, keys)
        for kind, keys in (("missing", missing), ("unexpected", extra), ("of another shape", misfit))
        if keys
    ]
    if problems:
        raise WeightsError(f"{source} does not fit the model. {' '.join(problems)}")
    counters = {k: torch.zeros_like(v, device="cpu") for k, v in own.items() if k not in state}
    module.load_state_dict({k: v for k, v in state.items() if k in own} | counters, strict=True, assign=assign)


def torchvision_model(name: str, *, pretrained: str | None = None, **arguments: object) -> nn.Module:
    """A torchvision model by its builder's name, optionally with upstream's weights.

    Args:
        name: such as `resnet50` or `r3d_18`.
        pretrained: a tag, such as `imagenet` or `kinetics400`; None leaves torchvision's random initialisation.
        arguments: passed to torchvision's builder.

    Raises:
        ConfigError: torchvision has no such model, or refuses the arguments.
        WeightsError: the weights cannot be downloaded; the message names the address and the ways on.
    """
    names = [*models.list_models(models), *models.list_models(models.video)]
    if name not in names:
        raise ConfigError(f"torchvision has no backbone {name!r}.{did_you_mean(name, names)}")
    try:
        net = cast(nn.Module, models.get_model(name, weights=None, **{**_ARGUMENTS.get(name, {}), **arguments}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"torchvision cannot build {name!r} with {arguments}: {error}") from error
    if pretrained is not None:
        load_strictly(net, torchvision_state(name, pretrained), source=f"torchvision's {pretrained} weights")
    return net


def torchvision_state(name: str, tag: str) -> dict[str, Tensor]:
    """Upstream's tensors of a torchvision model, by upstream's own key names.

    Args:
        name: such as `resnet50` or `r3d_18`.
        tag: `imagenet`, `kinetics400` or `kinetics400_imagenet22k`.

    Raises:
        WeightsError: torchvision has no such weights, or they cannot be downloaded; the message names the address and
            the ways on.
    """
    available = {member.name: member for member in models.get_model_weights(name)}
    member = available.get(_TORCHVISION_TAGS.get(tag, ""))
    if member is None:
        raise WeightsError(f"torchvision has no {tag!r} weights for {name!r}; it has {', '.join(available)}")
    try:
        return cast(
            dict[str, Tensor],
            member.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True),
        )
    except (URLError, OSError, RuntimeError) as error:
        raise _unreachable(
            str(member.url), error, "`--backbone-weights FILE.safetensors` takes a file that you have"
        ) from error


def hub_state(weights: WeightsRef) -> dict[str, Tensor]:
    """Upstream's tensors from the Hugging Face Hub, float32, by upstream's own key names.

    transformers fetches the file at the pinned commit, into huggingface_hub's cache. A file in torch's older format
    is read without running any code that it may hold.

    Raises:
        WeightsError: the file cannot be downloaded or read, or holds something else than named tensors.
    """
    file = _hub_file(weights, weights.file)
    state = read_safetensors(file) if file.suffix == ".safetensors" else _read_pickled(file)
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise WeightsError(f"{file} holds no weights that can be read: it is no table of names and tensors")
    odd = [k for k, v in state.items() if not isinstance(v, Tensor) or not v.is_floating_point() or v.is_sparse]
    if odd:
        raise WeightsError(f"{file} holds no weights that can be read: {odd[0]} is no tensor of floating-point numbers")
    return {key: value.float() for key, value in state.items()}


def build_filled(make: Callable[[], Network], weights: WeightsRef, state: Mapping[str, Tensor]) -> Network:
    """Build a network without memory and fill it with upstream's tensors; nothing is initialised for nothing.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; they are listed.
    """
    with torch.device("meta"):
        net = make()
    load_strictly(net, state, source=weights.source, ignore=weights.ignore_keys, assign=True)
    return net


def upstream_labels(weights: WeightsRef) -> tuple[str, ...]:
    """Class names of upstream's classifier, in its order: torchvision's own, or those of the Hub's config.json.

    Raises:
        WeightsError: they cannot be downloaded or read, or are not as many as upstream has classes.
    """
    kind, _, name = weights.source.partition(":")
    if kind == "torchvision":
        where, labels = weights.source, tuple(models.get_weight(name).meta["categories"])
    else:
        file = _hub_file(weights, "config.json")
        where, labels = str(file), _labels_of_config(file)
    if len(labels) != weights.num_classes or len(set(labels)) != len(labels):
        raise WeightsError(f"{where} names {len(set(labels))} classes, upstream's classifier has {weights.num_classes}")
    return labels


def _labels_of_config(file: Path) -> tuple[str, ...]:
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["id2label"]
        return tuple(str(names[str(index)]) for index in range(len(names)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{file} does not name the classes (id2label): {error!r}") from error


def _read_pickled(file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file))
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{file} holds no weights that can be read: {error}") from error


def _hub_file(weights: WeightsRef, name: str) -> Path:
    from transformers.utils.hub import cached_file

    repository, _, commit = weights.source.removeprefix("hf:").partition("@")
    try:
        return Path(str(cached_file(repository, name, revision=commit)))
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(
            f"{weights.url} ({name} of commit {commit[:7]})",
            error,
            f"a copy that `hf download {repository} --revision {commit}` fetched elsewhere is found through HF_HOME",
        ) from error


def _unreachable(address: str, error: Exception, way_on: str) -> WeightsError:
    reason = " ".join(str(getattr(error, "reason", error)).split()).rstrip(".")
    return WeightsError(
        f"cannot download the pretrained weights {address}: {reason}. "
        f"Without them: `--weights none` starts from random weights, and {way_on}."
    )


def _listing(kind: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return f"{len(keys)} {kind}: {', '.join(keys[:_LISTED])}{more}."
