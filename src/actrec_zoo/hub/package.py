"""What a folder with a trained model says of itself: config.json, read with suspicion, and where the weights are."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from actrec_zoo.errors import ConfigError, RunError, WeightsError
from actrec_zoo.hub.strict_json import read_strict_json
from actrec_zoo.spec import InputSpec

FORMAT = 2
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
EVAL_FILE = "eval.json"
CARD_FILE = "README.md"
PREPROCESSOR_FILE = "preprocessor_config.json"

MOST_LABELS = 100_000
MOST_PIXELS = 2**26
"""Of a clip, in one channel; 64 frames of 1024x1024."""
LARGEST_OPTION = 2**20
"""No width, depth or number of parts is larger; what the weights do not fill is found out when they are read."""


@dataclass(frozen=True)
class Training:
    """What a model was trained on, as far as it is known.

    Attributes:
        data: name of the data set.
        splits_sha256: of the split files, as `actrec_zoo.data.splits.hash_splits` computes it.
    """

    data: str | None = None
    splits_sha256: str | None = None


UNKNOWN = Training()


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
        training: what the model was trained on; unknown in files of format 1 and of models that were saved by hand.
    """

    folder: Path
    model: str
    plugin: Mapping[str, str]
    options: Mapping[str, Any]
    labels: tuple[str, ...]
    input: InputSpec
    training: Training = UNKNOWN

    @property
    def weights(self) -> Path:
        """The weights file; it exists once a run has finished."""
        return self.folder / WEIGHTS_FILE


def read_package(folder: Path) -> Package:
    """Read and check config.json of a folder, whoever wrote it.

    Keys that are not known are passed over: later versions and other libraries add some.

    Raises:
        RunError: there is none, or it is not what `actrec_zoo.hub.packing` writes; the message names file and key.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise RunError(f"{folder} is no run or model folder: it has no {CONFIG_FILE}")
    values = read_strict_json(file)
    version = values.get("format") if isinstance(values, dict) else None
    if type(version) is not int or version < 1 or "model" not in values:
        raise RunError(f"{file} is not the configuration of an actrec-zoo model")
    if version > FORMAT:
        raise RunError(f"{file} has format {version}, this actrec-zoo reads {FORMAT}: upgrade actrec-zoo")
    try:
        config = check_config(values)
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    return Package(
        folder=folder,
        model=config.model,
        plugin=config.plugin,
        options=config.options,
        labels=tuple(config.labels),
        input=InputSpec.from_dict(config.input),
        training=Training(config.training.data, config.training.splits_sha256),
    )


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


def check_config(values: Mapping[str, Any]) -> "Config":
    """Check what config.json holds or is to hold.

    Raises:
        ConfigError: something is missing, of another type or out of bounds; the message begins with the key.
    """
    with _named():
        config = Config.model_validate(values)
    InputSpec.from_dict(config.input)  # refuses keys that it does not know
    with _named("input"):
        clip = _INPUT.validate_json(json.dumps(config.input), strict=True)
    _require_sane_clip(config, clip)
    return config


_STEERING = ("Cc", "Zl", "Zp")
"""Unicode categories of characters that steer a terminal or break a line."""


def _one_line(value: Any) -> str:
    """A name; bytes of odd file names may be in it."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    if any(unicodedata.category(character) in _STEERING for character in value):
        raise ValueError(f"has a control character: {value[:80]!r}")
    return value


def _qualified(value: str) -> str:
    if not re.fullmatch(r"[^/\\:@\s]+:[^/\\:@\s]+", value):
        raise ValueError(f"must be plugin:name, not {value[:80]!r}")
    return value


def _distribution(plugin: dict[str, str]) -> dict[str, str]:
    """Only what is a name may stand in a command that a user is told to type."""
    name = plugin.get("distribution", "unknown")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise ValueError(f"must be the name of a distribution, not {name[:80]!r}")
    return plugin


def _distinct(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there more than once")
    return labels


def _bounded(value: Any) -> Any:
    if isinstance(value, int | float) and abs(value) > LARGEST_OPTION:
        raise ValueError(f"{value} is too large: {LARGEST_OPTION} at most")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _bounded(inner)
    return value


_Line = Annotated[Any, AfterValidator(_one_line)]


class _Part(BaseModel):
    """A part of config.json: nothing is converted, nothing infinite is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Training(_Part):
    data: _Line | None = None
    splits_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class Config(_Part):
    """config.json, as far as actrec-zoo reads it."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1, 2]
    model: Annotated[_Line, AfterValidator(_qualified)]
    plugin: Annotated[dict[str, _Line], AfterValidator(_distribution)]
    options: dict[str, Annotated[Any, AfterValidator(_bounded)]]
    labels: Annotated[list[_Line], Field(min_length=1, max_length=MOST_LABELS), AfterValidator(_distinct)]
    input: dict[str, Any]
    training: _Training = _Training()


_INPUT = TypeAdapter(InputSpec)


def _require_sane_clip(config: Config, clip: InputSpec) -> None:
    frames, size = (config.options.get(name) or getattr(clip, name) for name in ("frames", "size"))
    if not isinstance(frames, int) or not isinstance(size, int) or abs(frames) * size**2 > MOST_PIXELS:
        raise ConfigError(f"input: {frames} frames of {size}x{size} are too many: {MOST_PIXELS} pixels a clip at most")


@contextmanager
def _named(key: str = "") -> Iterator[None]:
    """Let pydantic's first complaint be ours, with the key that it is about."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in (key, *first["loc"]) if part != "")
        raise ConfigError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from error
