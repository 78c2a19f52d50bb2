"""The runs of a study: their settings, and where they lie. Nothing is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actrec_zoo.config import Layer, Resolved, TrainConfig, flatten, resolve
from actrec_zoo.data.classes import CLASS_LISTS
from actrec_zoo.data.layouts import place_of
from actrec_zoo.errors import ConfigError, UnknownNameError, did_you_mean
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec, Reference
from actrec_zoo.studies.definition import OF_THE_DATA, Study, StudyData, read_study

SPLIT: Literal["test"] = "test"
"""Part of the data that is evaluated."""


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One model trained with one seed, and evaluated.

    Attributes:
        entry: name of the model in the study.
        model: that it is.
        seed: of everything random.
        folder: where the run lies.
        settings: that the study or the caller gives, flat.
        resolved: all settings.
        published: figure of somebody else.
    """

    entry: str
    model: RegisteredModel
    seed: int
    folder: Path
    settings: Mapping[str, Any]
    resolved: Resolved
    published: Reference | None

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    @property
    def config(self) -> TrainConfig:
        """All settings."""
        return self.resolved.config


@dataclass(frozen=True)
class Plan:
    """A study with the data that it is to run on.

    Attributes:
        name: of the study's file, or of a study that comes with the package.
        study: what was read.
        data: folder or file, and how it is divided; paths are whole.
        folder: of all results.
        runs: of all models with all seeds, in the study's order.
        chosen: names of the models that are asked for.
    """

    name: str
    study: Study
    data: StudyData
    folder: Path
    runs: tuple[PlannedRun, ...]
    chosen: tuple[str, ...]

    @property
    def path(self) -> str:
        """Of the data."""
        return str(self.data.path)

    @property
    def splits(self) -> Path:
        """The split files of all runs."""
        return self.folder / "splits"

    @property
    def wanted(self) -> list[PlannedRun]:
        """The runs of the models that are asked for."""
        return [run for run in self.runs if run.entry in self.chosen]


def plan_study(
    study: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    models: Sequence[str] = (),
    seeds: Sequence[int] = (),
    data_format: str | None = None,
    classes: str | None = None,
    splits: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """What `actrec_zoo.study` would do, which has the same arguments; nothing is looked at, and nothing is written.

    Raises:
        ConfigError: the study cannot be read, a setting does not exist or does not fit, there are no data, or a seed
            is there twice.
        UnknownNameError: there is no such study, the study has no such model, or there is none.
    """
    what = read_study(study)
    given = {"path": data, "data_format": data_format, "classes": classes, "splits": splits}
    told = {key: os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in given.items() if v is not None}
    of_the_data = _with_whole_paths(what.data.model_copy(update=told))
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds {','.join(map(str, seeds))}: one is there twice")
    _require_known(what, models)
    shared, own = _divided(what, {key: value for key, value in (settings or {}).items() if value is not None})
    folder = Path(out) if out else Path("studies") / Path(study).stem
    runs = [
        _planned(what, of_the_data, folder, name, seed, shared | own.get(name, {}))
        for name in what.models
        for seed in seeds or what.seeds
    ]
    chosen = tuple(name for name in what.models if not models or name in models)
    return Plan(Path(study).name, what, of_the_data, folder, tuple(runs), chosen)


def _with_whole_paths(data: StudyData) -> StudyData:
    """The same data from wherever a study is called; links stay, as their names may say what they are."""
    if data.path is None:
        raise ConfigError("the study names no data: give --data DATA, or path in its table [data]")
    whole = {
        "path": place_of(data.path, follow=False),
        "classes": data.classes if data.classes is None or data.classes in CLASS_LISTS else _whole(data.classes),
        "splits": None if data.splits is None else _whole(data.splits),
    }
    return data.model_copy(update=whole)


def _whole(path: str) -> str:
    return str(Path(path).resolve())


def _require_known(study: Study, models: Iterable[str]) -> None:
    for name in models:
        if name not in study.models:
            raise UnknownNameError(
                f"the study has no model {name!r}.{did_you_mean(name, study.models)} It has {', '.join(study.models)}"
            )


def _divided(study: Study, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings of all models, and those of one, by its name."""
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    names = sorted(study.models, key=len, reverse=True)  # a name may have a dot
    for key, value in settings.items():
        name = next((name for name in names if key.startswith(f"{name}.")), None)
        setting = key if name is None else key.removeprefix(f"{name}.")
        if setting in OF_THE_DATA or setting in ("model", "seed"):
            raise ConfigError(f"{key} is no setting of a study's runs: {_instead(setting)}")
        (shared if name is None else own.setdefault(name, {}))[setting] = value
    return shared, own


def _instead(setting: str) -> str:
    if setting == "seed":
        return "give --seeds"
    return "the study names its models" if setting == "model" else "the data are one for all, see [data] of a study"


def _planned(study: Study, data: StudyData, out: Path, name: str, seed: int, given: Mapping[str, Any]) -> PlannedRun:
    entry = study.models[name]
    model = get_registry().find(entry.model or name)
    splits = out / "splits"
    layers = [
        Layer("study, [settings]", study.settings),
        Layer(f"study, [models.{name}]", entry.settings),
        Layer("flag", given),
    ]
    of_the_run = {
        "model": model.id,
        "data": str(data.path),
        "data_format": data.data_format,
        "classes": data.classes,
        "splits": str(splits),
        "allow_leak": data.allow_leak,
        "seed": seed,
    }
    resolved = resolve(model.spec, [*layers, Layer("study", {k: v for k, v in of_the_run.items() if v is not None})])
    _require_views(study, name, resolved.config.input_of(model.spec))
    settings: dict[str, Any] = {}
    for layer in layers:
        settings |= flatten(layer.values)
    published = entry.published.reference if entry.published else model.spec.reference
    return PlannedRun(name, model, seed, out / "runs" / f"{name}-seed{seed}", settings, resolved, published)


def _require_views(study: Study, name: str, spec: InputSpec) -> None:
    """Raise ConfigError where the protocol does not suit an input, which the evaluation would find out after hours."""
    try:
        study.how.transform(spec)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
