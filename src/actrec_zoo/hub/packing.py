"""A model as a folder that the Hub can hold: config.json, model.safetensors, and preprocessor_config.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError
from actrec_zoo.files import write_atomically, write_json
from actrec_zoo.hub.package import CONFIG_FILE, FORMAT, PREPROCESSOR_FILE, UNKNOWN, WEIGHTS_FILE, Training, check_config
from actrec_zoo.spec import InputSpec
from actrec_zoo.tensor_file import ALIGNMENT

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls them."""


@runtime_checkable
class TransformersNetwork(Protocol):
    """A network whose weights transformers can load: its keys are those of transformers' own class."""

    def transformers_config(self) -> Mapping[str, object]:
        """Keys of transformers' config.json: `model_type`, `architectures` and the architecture's settings."""


def write_config(folder: Path, model: VideoClassifier, plugin: Mapping[str, str], training: Training = UNKNOWN) -> None:
    """Write config.json of a model, with what transformers needs where the architecture is its own.

    Args:
        folder: of the model; made where it is not there.
        model: whose labels, options and input are written.
        plugin: `distribution` and `version` that the model came from.
        training: what it was trained on, as far as it is known.

    Raises:
        ConfigError: a label or an option could not be read back.
        RunError: the folder cannot be written.
    """
    values = {
        "format": FORMAT,
        "model": model.id,
        "plugin": dict(plugin),
        "options": model.options,
        "num_classes": len(model.labels),
        "labels": list(model.labels),
        "input": model.input.to_dict(),
        "training": asdict(training),
        "versions": library_versions(),
    }
    try:
        check_config(values)
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG_FILE} cannot be written: {error}") from error
    if isinstance(model.net, TransformersNetwork):
        values = values | _for_transformers(model.net, model.labels) | values  # what is ours comes first and holds
        write_json(folder / PREPROCESSOR_FILE, _preprocessor(model.input))
    write_json(folder / CONFIG_FILE, values)


def write_package(folder: Path, model: VideoClassifier, plugin: Mapping[str, str]) -> None:
    """Write a model as a folder that `load` and the Hub take; see `write_config` and `write_weights`.

    Raises:
        ConfigError, RunError: as those.
    """
    write_config(folder, model, plugin)
    write_weights(folder / WEIGHTS_FILE, model.net.state_dict())


def _for_transformers(net: TransformersNetwork, labels: Sequence[str]) -> dict[str, Any]:
    numbered = {str(number): label for number, label in enumerate(labels)}
    return {
        **net.transformers_config(),
        "id2label": numbered,
        "label2id": {label: int(number) for number, label in numbered.items()},
    }


def _preprocessor(input: InputSpec) -> dict[str, Any]:  # noqa: A002 (the field's name in every format)
    """What transformers' image processor does to frames, as `InputSpec` says it; which frames it cannot say."""
    match input.resize:
        case (height, width):
            size = {"height": height, "width": width}
        case int(shorter):
            size = {"shortest_edge": shorter}
        case _:
            size = {"height": input.size, "width": input.size}
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": size,
        "resample": {"nearest": 0, "bilinear": 2, "bicubic": 3}[input.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": input.size, "width": input.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(input.mean),
        "image_std": list(input.std),
    }


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically; the same tensors give the same bytes.

    They are laid out so that a file which is mapped into memory has them where torch would put them: the header is
    padded, and tensors whose size is no multiple of 64 bytes come last. safetensors itself orders them by type and
    name, and the bias of a classifier shifts all that follow. A tensor that several names share is written under
    the first of them, and the header says which are the others, as safetensors' `save_model` does.

    Raises:
        RunError: the file cannot be written.
    """
    kept, shared = _without_twins(tensors)
    ordered = {name: kept[name].detach().cpu().contiguous() for name in sorted(kept, key=lambda n: _place(n, kept[n]))}
    header = _header(ordered, {"format": "pt", **shared})

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for tensor in ordered.values():
                file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)

    write_atomically(path, write)


def _without_twins(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, each once, and the further names with the one that is kept."""
    first: dict[object, str] = {}
    shared = {}
    for name in sorted(tensors):
        tensor = tensors[name]
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        kept = first.setdefault(place if tensor.numel() else name, name)
        if kept != name:
            shared[name] = kept
    return {name: tensor for name, tensor in tensors.items() if name not in shared}, shared


def _place(name: str, tensor: Tensor) -> tuple[bool, int, str]:
    """What the order in a file goes by: multiples of 64 bytes first, then the widest types."""
    return tensor.nbytes % ALIGNMENT != 0, -tensor.itemsize, name


def _header(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """safetensors' header: names, types, shapes and places, padded so that the first tensor is aligned."""
    entries: dict[str, object] = {"__metadata__": dict(notes)}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-(8 + len(text)) % ALIGNMENT)


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("actrec-zoo", "torch", "torchvision", "av", "scikit-learn", "accelerate", "numpy")
    return {"python": python_version()} | {name: _version(name) for name in names}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
