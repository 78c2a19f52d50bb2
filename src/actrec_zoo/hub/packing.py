"""A model as a folder that the Hub can hold: config.json, model.safetensors, and preprocessor_config.json."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

import safetensors.torch
from torch import Tensor

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError
from actrec_zoo.files import write_atomically, write_json
from actrec_zoo.hub.package import CONFIG_FILE, FORMAT, UNKNOWN, Training, check_config


def write_config(folder: Path, model: VideoClassifier, plugin: Mapping[str, str], training: Training = UNKNOWN) -> None:
    """Write config.json of a model.

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
    write_json(folder / CONFIG_FILE, values)


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically; the same tensors give the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    write_atomically(path, lambda temporary: safetensors.torch.save_file(contiguous, temporary, {"format": "pt"}))


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("actrec-zoo", "torch", "torchvision", "av", "scikit-learn", "accelerate", "numpy")
    return {"python": python_version()} | {name: _version(name) for name in names}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
