"""A folder that holds a trained model: model.safetensors and config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import safetensors.torch
from torch import Tensor

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError, RunError, WeightsError
from actrec_zoo.files import read_json, write_atomically, write_json
from actrec_zoo.spec import InputSpec

FORMAT = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
EVAL_FILE = "eval.json"


@dataclass(frozen=True)
class Package:
    """What config.json says.

    Attributes:
        folder: where the package lies.
        model: qualified id, `plugin:name`.
        plugin: distribution and version that the model came from.
        options: architecture options.
        labels: class names.
        input: preprocessing.
    """

    folder: Path
    model: str
    plugin: Mapping[str, str]
    options: Mapping[str, Any]
    labels: tuple[str, ...]
    input: InputSpec

    @property
    def weights(self) -> Path:
        """The weights file; it exists once a run has finished."""
        return self.folder / WEIGHTS_FILE


def write_config(folder: Path, model: VideoClassifier, plugin: Mapping[str, str]) -> None:
    """Write config.json of a model.

    Raises:
        RunError: the folder cannot be written.
    """
    write_json(
        folder / CONFIG_FILE,
        {
            "format": FORMAT,
            "model": model.id,
            "plugin": dict(plugin),
            "options": model.options,
            "num_classes": len(model.labels),
            "labels": list(model.labels),
            "input": model.input.to_dict(),
            "versions": library_versions(),
        },
    )


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically; the same tensors give the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    write_atomically(path, lambda temporary: safetensors.torch.save_file(contiguous, temporary, {"format": "pt"}))


def read_package(folder: Path) -> Package:
    """Read and check config.json of a folder.

    Raises:
        RunError: there is none, or it is not what `write_config` writes.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise RunError(f"{folder} is no run or model folder: it has no {CONFIG_FILE}")
    values = read_json(file)
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise RunError(f"{file} is not the configuration of an actrec-zoo model")
    if values["format"] > FORMAT:
        raise RunError(f"{file} has format {values['format']}, this actrec-zoo reads {FORMAT}: upgrade actrec-zoo")
    try:
        return Package(
            folder=folder,
            model=_typed(values, "model", str),
            plugin=_typed(values, "plugin", dict),
            options=_typed(values, "options", dict),
            labels=_labels(values),
            input=InputSpec.from_dict(_typed(values, "input", dict)),
        )
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error


def require_weights(package: Package) -> Path:
    """The weights file of a package.

    Raises:
        WeightsError: the run has not finished.
    """
    if not package.weights.is_file():
        raise WeightsError(
            f"{package.folder} has no {WEIGHTS_FILE}: the run has not finished. "
            f"Continue it with `actrec-zoo train {package.model} --data DIR --out {package.folder} --resume`"
        )
    return package.weights


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("actrec-zoo", "torch", "torchvision", "av", "scikit-learn", "accelerate", "numpy")
    return {"python": python_version()} | {name: _version(name) for name in names}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    labels = tuple(str(label) for label in _typed(values, "labels", list))
    if not labels:
        raise ConfigError("there are no labels")
    if len(set(labels)) < len(labels):
        raise ConfigError("a label is there more than once")
    return labels


def _typed(values: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(values.get(key), kind):
        raise ConfigError(f"{key!r} is missing or is no {kind.__name__}")
    return values[key]
