"""`study`: several models on one split with several seeds, each trained and evaluated, and one table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.files import remove_leftovers
from actrec_zoo.locking import locked
from actrec_zoo.studies.definition import read_study, shipped_studies
from actrec_zoo.studies.folder import look
from actrec_zoo.studies.plan import Plan, PlannedRun, plan_study
from actrec_zoo.studies.results import STUDY_FILE
from actrec_zoo.studies.running import CURVES, TABLE_FILE, Listener, Runner
from actrec_zoo.training.state import Callback, terminated_like_interrupted

__all__ = [
    "CURVES",
    "STUDY_FILE",
    "TABLE_FILE",
    "FinishedStudy",
    "Listener",
    "Plan",
    "PlannedRun",
    "look",
    "plan_study",
    "read_study",
    "run_plan",
    "shipped_studies",
    "study",
]


@dataclass(frozen=True)
class FinishedStudy:
    """A study that was gone through.

    Attributes:
        path: folder with study.json, table.md, table.csv, plots/, splits/ and runs/.
        results: what study.json holds.
        failures: why runs that were asked for could not be finished, by name of the run.
    """

    path: Path
    results: Mapping[str, Any]
    failures: Mapping[str, str]


def study(
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
    fail_fast: bool = False,
    told: Listener | None = None,
    callbacks: Sequence[Callback] = (),
    track: Track[Any] = no_progress,
) -> FinishedStudy:
    """Train and evaluate the models of a study on one split; what is done already in `out` is kept.

    Args:
        study: TOML file, or the name of a study that comes with the package: `report` is the 2023 study.
        data: folder or file, in any known layout; without it the study's own.
        out: folder of all results; by default `studies/<name>`.
        models: names in the study; all without one.
        seeds: instead of the study's.
        data_format: name of the layout.
        classes: text file with the classes to keep, or `hmdb_simp`.
        splits: folder of split files, of which the study keeps a copy.
        settings: keys of `actrec_zoo.config.TrainConfig` for all models, or with the name of one before them
            (`r3d.lr`); a None is left out.
        fail_fast: end with the first run that fails, instead of going on with the others.
        told: how it goes on.
        callbacks: told about steps and epochs of each training.
        track: shows the progress of long preparations.

    Raises:
        ActrecZooError: the study, a model, the data or the settings do not fit, a run in `out` was begun with others,
            or with `fail_fast` a run failed.
        InterruptedRun: Ctrl-C; the same call goes on.
    """
    plan = plan_study(
        study,
        data,
        out=out,
        models=models,
        seeds=seeds,
        data_format=data_format,
        classes=classes,
        splits=splits,
        settings=settings,
    )
    return run_plan(plan, fail_fast=fail_fast, told=told, callbacks=callbacks, track=track)


def run_plan(
    plan: Plan,
    *,
    fail_fast: bool = False,
    told: Listener | None = None,
    callbacks: Sequence[Callback] = (),
    track: Track[Any] = no_progress,
) -> FinishedStudy:
    """Do what a plan says; see `study`."""
    look(plan)  # what does not fit is told before anything is written
    plan.folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(plan, told or Listener(), callbacks, track, fail_fast)
    with locked(plan.folder), terminated_like_interrupted():
        remove_leftovers(plan.folder)
        runner.run()
    return FinishedStudy(plan.folder, runner.results, runner.failures)
