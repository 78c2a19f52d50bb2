"""Runs side by side: where their settings differ, what they reached, and whether that can be compared."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.runs.record import RUN, RunRecord, read_run

PARTS = ("train", "val", "test")
_PROTOCOL = ("name", "data", "split", "clip", "video", "crop", "precision", "sampling", "views", "fps")
"""What decides whether figures of an evaluation can be compared; frames and size belong to the model."""

Videos = frozenset[tuple[str, str]]
Cells = list[Any]
"""A value of each run."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: that are compared.
        settings: by key, where the runs differ.
        figures: by name, of every run; None where a run has none.
        splits: number of videos by part of the split; None where a run keeps no such file.
        same_splits: by part, whether all runs have the same videos in it.
        warnings: why figures should not be compared.
    """

    runs: tuple[RunRecord, ...]
    settings: Mapping[str, Cells]
    figures: Mapping[str, Cells]
    splits: Mapping[str, Cells]
    same_splits: Mapping[str, bool]
    warnings: tuple[str, ...]


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Put runs side by side.

    Raises:
        ConfigError: there are fewer than two, or one is named twice.
        RunError: a folder is no run, or is damaged.
    """
    if len(folders) < 2:
        raise ConfigError("a comparison needs two runs or more")
    runs = tuple(_require(folder) for folder in folders)
    places = [run.path.resolve() for run in runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise ConfigError(f"{runs[number].path} is named twice: a run does not differ from itself")
    splits = {part: [_videos(run.path / "splits" / f"{part}.csv") for run in runs] for part in PARTS}
    return Comparison(
        runs=runs,
        settings=_differing(runs),
        figures={name: [read(run) for run in runs] for name, read in _FIGURES.items()},
        splits={part: [None if videos is None else len(videos) for videos in cells] for part, cells in splits.items()},
        same_splits={part: all(videos == cells[0] for videos in cells) for part, cells in splits.items()},
        warnings=tuple(_warnings(runs, splits)),
    )


def _require(folder: Path) -> RunRecord:
    if not (folder / RUN).is_file():
        raise RunError(f"{folder} is no run: it has no {RUN}. `actrec-zoo runs` lists them")
    run = read_run(folder)
    if run.problems:
        raise RunError(f"{folder} cannot be compared: {run.problems[0]}")
    return run


def _differing(runs: Sequence[RunRecord]) -> dict[str, Cells]:
    flat = [dict(_flat(run.settings)) for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    cells = {key: [settings.get(key) for settings in flat] for key in keys}
    return {key: values for key, values in cells.items() if any(value != values[0] for value in values)}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _of_best(column: str) -> Callable[[RunRecord], float | None]:
    return lambda run: None if run.best is None else run.best.get(column)


def _of_evaluation(*keys: str) -> Callable[[RunRecord], Any]:
    def read(run: RunRecord) -> Any:
        value: Any = run.evaluation
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    return read


_FIGURES: dict[str, Callable[[RunRecord], Any]] = {
    "state": lambda run: run.state,
    "epochs": lambda run: run.epochs,
    "seconds": lambda run: sum(row.get("seconds", 0.0) for row in run.history),
    "best epoch": lambda run: None if run.best is None else int(run.best["epoch"]),
    "val top-1": _of_best("val_top1"),
    "val loss": _of_best("val_loss"),
    "train top-1": _of_best("train_top1"),
    "train loss": _of_best("train_loss"),
    "eval split": _of_evaluation("protocol", "split"),
    "eval videos": _of_evaluation("n_expected"),
    "eval videos not read": _of_evaluation("n_failed"),
    "eval top-1": _of_evaluation("video", "top1"),
    "eval top-5": _of_evaluation("video", "top5"),
    "eval clip top-1": _of_evaluation("clip", "top1"),
}


def _videos(file: Path) -> Videos | None:
    """Paths and classes of a split file; None where there is none.

    Raises:
        RunError: it cannot be read.
    """
    if not file.exists():
        return None
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            reader = csv.DictReader(text)
            if not {"path", "label"} <= set(reader.fieldnames or ()):
                raise RunError(f"{file} is not a split file: it has no columns path and label")
            return frozenset((row["path"], row["label"]) for row in reader)
    except (OSError, csv.Error) as error:
        raise RunError(f"{file} is not a split file: {error}") from error


def _warnings(runs: Sequence[RunRecord], splits: Mapping[str, Sequence[Videos | None]]) -> Iterator[str]:
    for run in runs:
        if run.state != "finished":
            yield f"{run.path} is {run.state}: {run.epochs} of {run.settings.get('epochs')} epochs"
    if len({run.data for run in runs}) > 1:
        yield f"the data differ: {', '.join(run.data for run in runs)}"
    if len({frozenset(run.labels) for run in runs}) > 1:
        yield f"the classes differ: {', '.join(str(len(run.labels)) for run in runs)}"
    for part in ("val", "test"):
        yield from _differing_split(part, splits[part])
    yield from _differing_protocols(runs)


def _differing_split(part: str, cells: Sequence[Videos | None]) -> Iterator[str]:
    if all(videos == cells[0] for videos in cells):
        return
    known = [videos for videos in cells if videos is not None]
    sizes = ", ".join("none" if videos is None else str(len(videos)) for videos in cells)
    yield f"the {part} videos differ ({sizes}; {len(frozenset.intersection(*known))} of them in all)"


def _differing_protocols(runs: Sequence[RunRecord]) -> Iterator[str]:
    measured = [run for run in runs if run.evaluation is not None]
    if measured and len(measured) < len(runs):
        yield f"not evaluated: {', '.join(str(run.path) for run in runs if run.evaluation is None)}"
    for key in _PROTOCOL:
        values = [_of_evaluation("protocol", key)(run) for run in measured]
        if any(value != values[0] for value in values):
            yield f"the evaluations differ in {key}: {', '.join(map(str, values))}"
    for run in measured:
        if failed := _of_evaluation("n_failed")(run):
            yield f"{run.path}: {failed} videos of its evaluation could not be read and count as wrong"
        if seen := _of_evaluation("protocol", "seen")(run):
            yield f"{run.path} has seen {seen} videos of its evaluation in training"
