"""What a study is: models, their settings, seeds, data, protocol and published figures, read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from actrec_zoo.errors import ConfigError, UnknownNameError, did_you_mean
from actrec_zoo.evaluation.protocol import Protocol
from actrec_zoo.spec import Reference

Ratio = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

OF_THE_DATA = ("data", "data_format", "classes", "splits", "allow_leak", "ratios")
"""Settings of a run that are one for the whole study, and stand in its table [data]."""

_SUFFIX = ".toml"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Table):
    """A figure of somebody else, as `actrec_zoo.spec.Reference` has it. Ratios, 0..1."""

    top1: Ratio
    dataset: str
    protocol: str
    source: str
    top5: Ratio | None = None

    @property
    def reference(self) -> Reference:
        """As a model's description has it."""
        return Reference(**self.model_dump())


class StudyData(_Table):
    """The data of a study, and how they are divided, once for all runs.

    Attributes:
        path: folder or file, in any known layout.
        data_format: name of the layout; None finds it out.
        classes: text file with the classes to keep, or the name of a list; None keeps all.
        splits: folder of split files; None takes those that the data set states, or makes them.
        allow_leak: whether splits that are given may share a video or a source group.
        ratios: shares of train, val and test, where they are made.
        seed: of the split, where it is made.
    """

    path: str | None = None
    data_format: str | None = None
    classes: str | None = None
    splits: str | None = None
    allow_leak: bool = False
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: Seed = 0


class StudyModel(BaseModel):
    """One model of a study; all other keys are settings of `actrec_zoo.config.TrainConfig`.

    Attributes:
        model: name or id; without it the name of the entry, so that one model may be in a study in several ways.
        published: figure of somebody else; without it the one that the model's description has.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str = ""
    published: Published | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """What differs from the model's own settings and from those of the study."""
        return self.model_extra or {}


class Study(_Table):
    """What is trained and evaluated, and how.

    Attributes:
        title: in words.
        protocol: of the evaluation: `video` or `report`; None is `video`.
        views: clips by crops instead, as `10x3`.
        seeds: each model is trained once with each.
        data: what all of them are trained on.
        settings: of all models.
        models: by name, in the order of the table.
    """

    title: str = ""
    protocol: str | None = None
    views: str | None = None
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    data: StudyData = StudyData()
    settings: dict[str, Any] = {}
    models: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], StudyModel] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is there twice")
        return seeds

    @model_validator(mode="after")
    def _agree(self) -> Self:
        try:
            _ = self.how
        except ConfigError as error:
            raise ValueError(str(error).replace("--", "")) from error
        for table, key in self._given():
            if key in OF_THE_DATA:
                raise ValueError(f"[{table}] has {key}, which is one for all runs: put it into [data]")
            if key == "seed":
                raise ValueError(f"[{table}] has a seed: list them in seeds")
            if key == "model":
                raise ValueError(f"[{table}] has model: give it in [models.NAME]")
        return self

    @cached_property
    def how(self) -> Protocol:
        """The protocol of the evaluation."""
        return Protocol.of(self.protocol, self.views)

    def _given(self) -> Iterator[tuple[str, str]]:
        """Table and key of every setting."""
        for key in self.settings:
            yield "settings", key
        for name, entry in self.models.items():
            for key in entry.settings:
                yield f"models.{name}", key


def shipped_studies() -> list[str]:
    """Names of the studies that come with the package."""
    folder = resources.files(__package__ or "actrec_zoo.studies")
    return sorted(file.name.removesuffix(_SUFFIX) for file in folder.iterdir() if file.name.endswith(_SUFFIX))


def read_study(study: str | Path) -> Study:
    """Read a study.

    Args:
        study: TOML file, or the name of a study that comes with the package.

    Raises:
        UnknownNameError: there is no such study.
        ConfigError: the file cannot be read or is no study; the message names the file and the key.
    """
    name = str(study)
    if name in shipped_studies():
        file = resources.files(__package__ or "actrec_zoo.studies") / f"{name}{_SUFFIX}"
        return _parse(f"study {name}", file.read_text(encoding="utf-8"))
    if not name.endswith(_SUFFIX):
        known = shipped_studies()
        raise UnknownNameError(
            f"there is no study {name!r}.{did_you_mean(name, known)} Give a TOML file, or one of {', '.join(known)}"
        )
    try:
        return _parse(name, Path(study).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the study {study}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{study} is not valid TOML: {error}") from error


def _parse(where: str, text: str) -> Study:
    try:
        return Study.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(map(_explain, error.errors()))}") from error


def _explain(detail: ErrorDetails) -> str:
    """One fault in words, with its key."""
    keys = [str(part) for part in detail["loc"] if part != "[key]"]
    match detail["type"]:
        case "extra_forbidden":
            tables: dict[str, type[BaseModel]] = {"data": StudyData, "published": Published}
            fields = tables.get(keys[-2] if len(keys) > 1 else "", Study)
            return f"there is no key {'.'.join(keys)!r}.{did_you_mean(keys[-1], fields.model_fields)}"
        case "value_error":
            text = detail["msg"].removeprefix("Value error, ")
            return f"{'.'.join(keys)}: {text}" if keys else text
        case "missing":
            return f"{'.'.join(keys)!r} is missing"
        case "string_pattern_mismatch":
            return f"{keys[-1]!r} in [{'.'.join(keys[:-1])}] cannot be a name: letters, digits, _, - and . can"
        case _:
            return f"{'.'.join(keys)!r} is {detail['input']!r}: {detail['msg'].lower()}"
