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
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torchvision import models

from actrec_zoo.errors import ActrecZooError, ConfigError, WeightsError, did_you_mean
from actrec_zoo.skeleton import Allowance, bounded, left_on_meta, tie, twins
from actrec_zoo.spec import WeightsRef
from actrec_zoo.tensor_file import ALIGNMENT, read_header

Network = TypeVar("Network", bound=nn.Module)

_TORCHVISION_TAGS = {
    "imagenet": "IMAGENET1K_V1",
    "kinetics400": "KINETICS400_V1",
    "kinetics400_imagenet22k": "KINETICS400_IMAGENET22K_V1",
}
_OWN_FILE = "`--backbone-weights FILE.safetensors` takes a file that you have"
_LISTED = 8
_SMALL = 2**20
_PORTED = {"transform_input": True, "init_weights": True}
_ARGUMENTS = {"googlenet": _PORTED, "inception_v3": _PORTED}
"""What torchvision sets for weights that expect another normalisation than its own, and warns about when left open."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory: their numbers are read when they are used.

    They may be written to; the file stays as it is.

    Raises:
        WeightsError: the file is missing or is not safetensors.
    """
    read_header(path)
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
    own, tied = module.state_dict(), twins(module)
    given = _under_twins(module, state) | dict(state)
    _require_fit(own, given, source, tuple(ignore))
    counters = {k: torch.zeros_like(v, device="cpu") for k, v in own.items() if k not in given}
    fitting = {k: v.to(own[k].dtype) for k, v in given.items() if k in own}
    module.load_state_dict(fitting | counters, strict=True, assign=assign)
    if assign:
        tie(module, tied)


def _under_twins(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that a file has once and the module under several names, by the names that it lacks."""
    tied = twins(module)
    first = tied | {kept: kept for kept in tied.values()}
    found = {first[name]: state[name] for name in first if name in state}
    return {name: found[kept] for name, kept in first.items() if kept in found and name not in state}


def _require_fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str, ignore: tuple[str, ...]) -> None:
    """Compare names, shapes and kinds; no number of `given` is looked at."""
    both = [key for key in own if key in given]
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    extra = [key for key in given if key not in own and not any(fnmatchcase(key, pattern) for pattern in ignore)]
    misfit = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in both
        if given[key].shape != own[key].shape
    ]
    other = [
        f"{key} {given[key].dtype} instead of {own[key].dtype}" for key in both if not _converts(given[key], own[key])
    ]
    problems = [
        _listing(kind, keys)
        for kind, keys in (
            ("missing", missing),
            ("unexpected", extra),
            ("of another shape", misfit),
            ("of another type", other),
        )
        if keys
    ]
    if problems:
        raise WeightsError(f"{source} does not fit the model. {' '.join(problems)}")


def _converts(given: Tensor, own: Tensor) -> bool:
    """Whether numbers of one type may become those of the other: floating-point numbers alone are converted."""
    return given.dtype == own.dtype or (given.is_floating_point() and own.is_floating_point())


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
        raise _unreachable(str(member.url), error, _OWN_FILE) from error


def hub_state(weights: WeightsRef) -> dict[str, Tensor]:
    """Upstream's tensors from the Hugging Face Hub, float32, by upstream's own key names.

    transformers fetches the file at the pinned commit, into huggingface_hub's cache. A file in torch's older format
    is read without running any code that it may hold.

    Raises:
        WeightsError: the file cannot be downloaded or read, or holds something else than named tensors.
    """
    file = _hub_file(weights, weights.file)
    state = read_safetensors(file) if file.suffix == ".safetensors" else _read_pickled(file)
    return _named_tensors(state, str(file))


def url_state(weights: WeightsRef) -> dict[str, Tensor]:
    """Upstream's tensors from an address, float32, by upstream's own key names.

    torch.hub fetches the file, once, into its folder of checkpoints (`TORCH_HOME`). It is read without running any code
    that it may hold. Of a training checkpoint the weights are taken.

    Raises:
        WeightsError: the file cannot be downloaded or read, or holds something else than named tensors.
    """
    address = weights.source.removeprefix("url:")
    file = Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]
    try:
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file))
    except (URLError, OSError, RuntimeError) as error:
        raise _unreachable(address, error, _OWN_FILE) from error
    checkpoint = _read_pickled(file)
    nested = checkpoint.get("model_state", checkpoint) if isinstance(checkpoint, Mapping) else checkpoint
    return _named_tensors(nested, str(file))


def _named_tensors(state: object, source: str) -> dict[str, Tensor]:
    unread = f"{source} holds no weights that can be read"
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise WeightsError(f"{unread}: it is no table of names and tensors")
    odd = next((name for name, value in state.items() if not _is_weight(value)), None)
    if odd is not None:
        raise WeightsError(f"{unread}: {odd} is no tensor of floating-point numbers")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _is_weight(value: object) -> bool:
    """Whether it is a tensor of floating-point numbers, or a count."""
    return isinstance(value, Tensor) and not value.is_sparse and (value.is_floating_point() or value.dim() == 0)


def build_filled(make: Callable[[], Network], weights: WeightsRef, state: Mapping[str, Tensor]) -> Network:
    """Build a network around upstream's tensors; nothing is initialised for nothing.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; they are listed.
    """
    return _filled(_skeleton(make, state, weights.source), make, state, weights.source, weights.ignore_keys)


def build_from_file(make: Callable[[], Network], file: Path) -> Network:
    """Build a network around the tensors of a safetensors file, which are mapped into memory where that can be.

    Args:
        make: builds the network. Where that looks at the values of parameters, it is called once more, as if there
            were no weights to come.
        file: names, shapes and types are compared before a number of it is read.

    Raises:
        WeightsError: the file is no safetensors file; keys are missing or left over, or shapes or types differ, which
            are listed; or the network that `make` builds is far larger than the weights.
    """
    state, source = read_safetensors(file), str(file)
    net = _skeleton(make, state, source)
    if net is not None:
        _require_fit(net.state_dict(), _under_twins(net, state) | state, source, ())
    return _filled(net, make, _aligned(file, state), source)


def _filled(
    skeleton: Network | None,
    make: Callable[[], Network],
    state: Mapping[str, Tensor],
    source: str,
    ignore: Iterable[str] = (),
) -> Network:
    """The skeleton with the tensors themselves; where there is none, or it has gaps, a network built in full."""
    if skeleton is not None:
        load_strictly(skeleton, state, source=source, ignore=ignore, assign=True)
        if not left_on_meta(skeleton):
            return skeleton
    with bounded(Allowance.around(state.values(), source), on_meta=False):
        net = make()
    load_strictly(net, state, source=source, ignore=ignore)
    return net


def _aligned(file: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file where torch would have put them: elsewhere some kernels take other paths and round otherwise.

    Files of `actrec_zoo.hub.packing` have all but a few in such places; the others are copied, a large one through a
    mapping of its own, so that no more than one is in memory twice.
    """

    def copied(name: str) -> Tensor:
        if state[name].nbytes < _SMALL:
            return state[name].clone()
        with safe_open(file, framework="pt") as opened:
            return cast(Tensor, opened.get_tensor(name).clone())

    return {name: copied(name) if tensor.data_ptr() % ALIGNMENT else tensor for name, tensor in state.items()}


def _skeleton(make: Callable[[], Network], state: Mapping[str, Tensor], source: str) -> Network | None:
    """The network without memory; None where the builder does not take that."""
    try:
        with bounded(Allowance.around(state.values(), source), on_meta=True):
            return make()
    except Exception as error:
        if isinstance(error, ActrecZooError) and error.__cause__ is None:
            raise  # a refusal, whatever the device
        return None


def upstream_labels(weights: WeightsRef) -> tuple[str, ...]:
    """Class names of upstream's classifier, in its order: torchvision's, or those of the Hub's config.json.

    Raises:
        WeightsError: they cannot be downloaded or read, or are not as many as upstream has classes.
    """
    where = weights.labels or weights.source
    kind, _, name = where.partition(":")
    if kind == "torchvision":
        labels = tuple(models.get_weight(name).meta["categories"])
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
