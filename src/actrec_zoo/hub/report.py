"""eval.json, read back and checked before anything is told of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actrec_zoo.errors import RunError
from actrec_zoo.files import read_json
from actrec_zoo.hub.package import Package


class Strict(BaseModel):
    """A part of a file of `eval`: values of other types are not converted; what nobody reads may be anything."""

    model_config = ConfigDict(strict=True)


Part = TypeVar("Part", bound=Strict)


class Level(Strict):
    """Figures over clips or over videos, as far as they are read back."""

    n: int = Field(ge=0)
    top1: float = Field(ge=0, le=1)
    top5: float = Field(ge=0, le=1)


class _Protocol(Strict):
    split: str
    clip: str
    video: str
    top5: str
    frames: int
    stride: int
    size: int
    sampling: str
    views: int
    crop: str
    data: str = ""  # absent in the first files, like the next one
    seen: int | None = None


_Interval = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]


class _LevelIntervals(Strict):
    top1: _Interval | None
    top5: _Interval | None


class _Intervals(Strict):
    level: float = Field(gt=0, lt=1)
    units: str
    n_units: int = Field(ge=0)
    clip: _LevelIntervals
    video: _LevelIntervals


class _Report(Strict):
    model: str
    labels: list[str]
    protocol: _Protocol
    clip: Level
    video: Level
    n_expected: int
    n_used: int
    n_failed: int
    intervals: _Intervals | None = None  # absent in the first files


def checked(part: type[Part], values: Any, source: str) -> Part:
    """Values as a part of what `eval` writes.

    Args:
        part: that they have to be.
        values: from a file.
        source: the file and what writes it, for the message.

    Raises:
        RunError: they are something else; the message names the first fault.
    """
    try:
        return part.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(f"{source} ({where}: {first['msg']}): run it again") from error


def read_report(file: Path, package: Package) -> Mapping[str, Any] | None:
    """What eval.json holds, where there is one.

    Raises:
        RunError: it is not what `eval` writes, or it is of another model than the package.
    """
    if not file.is_file():
        return None
    values: Mapping[str, Any] = read_json(file)
    report = checked(_Report, values, f"{file} is not what `actrec-zoo eval` writes")
    if report.model != package.model or tuple(report.labels) != package.labels:
        raise RunError(f"{file} is of another model than {package.folder}: run `actrec-zoo eval` again")
    return values
