"""The runs of a study: their settings, where they lie, and what is left to do of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actrec_zoo.config import Layer, Resolved, TrainConfig, flatten, resolve
from actrec_zoo.data.layouts import data_name
from actrec_zoo.errors import ConfigError, UnknownNameError, did_you_mean
from actrec_zoo.evaluation.protocol import Protocol
from actrec_zoo.files import is_leftover
from actrec_zoo.locking import LOCK_FILE
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.runs.record import RunRecord, read_run
from actrec_zoo.spec import Reference
from actrec_zoo.studies.definition import OF_THE_DATA, Study, StudyData, read_study
from actrec_zoo.training.run import RunFolder, refuse_changes

State = Literal["new", "interrupted", "trained", "done"]
"""What is there of a run: nothing, a part of its training, the whole of it, its evaluation too."""

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

    def record(self) -> RunRecord | None:
        """What lies in its folder; None where nothing was written."""
        if not self.folder.is_dir() or all(p.name == LOCK_FILE or is_leftover(p) for p in self.folder.iterdir()):
            return None
        return read_run(self.folder)

    def state(self, protocol: Protocol) -> State:
        """What is there of it.

        Raises:
            ConfigError: it was begun with other settings.
            RunError: its files cannot be read.
        """
        record = self.record()
        if record is None:
            return "new"
        self._require_same_settings()
        if record.state != "finished":
            return "interrupted"
        return "done" if self._is_evaluated(record, protocol) else "trained"

    def _is_evaluated(self, record: RunRecord, protocol: Protocol) -> bool:
        """Whether its evaluation is the study's: somebody may have evaluated it otherwise since."""
        how = (record.evaluation or {}).get("protocol", {})
        asked = {"name": protocol.title, "split": SPLIT, "data": data_name(str(self.config.data))}
        return all(how.get(key) == value for key, value in asked.items())

    def _require_same_settings(self) -> None:
        before = RunFolder(self.folder, fresh=False).settings()
        after = self.resolved
        if after.config.batch_size == "auto":  # it was chosen when the run began
            chosen = {"batch_size": before.values.get("batch_size", "auto")}
            after = Resolved(after.config.model_copy(update=chosen), after.origins)
        try:
            refuse_changes(before, after)
        except ConfigError as error:
            raise ConfigError(
                f"{self.folder} was begun with other settings than the study has now: {error} "
                "Choose another --out, or remove that folder"
            ) from error


@dataclass(frozen=True)
class Plan:
    """A study with the data it is to run on.

    Attributes:
        study: what was read.
        data: folder or file, and how it is divided.
        folder: of all results.
        runs: of all models with all seeds, in the study's order.
        chosen: names of the models that are asked for.
    """

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

    def states(self) -> list[tuple[PlannedRun, State]]:
        """The runs that are asked for, with what is there of each.

        Raises:
            ConfigError, RunError: one was begun with other settings, or cannot be read.
        """
        return [(run, run.state(self.study.how)) for run in self.wanted]


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
    of_the_data = what.data.model_copy(update=told)
    if of_the_data.path is None:
        raise ConfigError("the study names no data: give --data DATA, or path in its table [data]")
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
    return Plan(what, of_the_data, folder, tuple(runs), chosen)


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
    settings: dict[str, Any] = {}
    for layer in layers:
        settings |= flatten(layer.values)
    published = entry.published.reference if entry.published else model.spec.reference
    return PlannedRun(name, model, seed, out / "runs" / f"{name}-seed{seed}", settings, resolved, published)
