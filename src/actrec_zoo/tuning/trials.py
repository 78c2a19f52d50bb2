"""Trials of a search, and the files that keep them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actrec_zoo.config import MACHINE_KEYS, Resolved, flatten
from actrec_zoo.errors import RunError

WHERE = MACHINE_KEYS - {"data", "data_format", "splits", "accumulate"}
"""Settings that have no part in what a trial gives."""

CHOSEN_BY_NOBODY = ("model", "default")
"""Origins of settings that neither a file nor a flag gives."""

_FIGURES = ("trial", "val_top1", "val_loss", "epoch", "seconds", "error")

Space = dict[str, tuple[Any, ...]]
"""Values by setting; of `lr` the two ends, between which all are tried."""


@dataclass(frozen=True)
class Trial:
    """One training with settings of its own, and its best epoch.

    Attributes:
        number: from 0, which has the settings that were there before the search.
        settings: what was tried, by setting.
        val_top1: share of validation videos that it gets right.
        val_loss: over them.
        epoch: from 1.
        seconds: that it took.
        error: why it could not be finished; its figures mean nothing then.
    """

    number: int
    settings: Mapping[str, Any]
    val_top1: float = 0.0
    val_loss: float = 0.0
    epoch: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def rank(self) -> tuple[bool, float, float, int]:
        """Greater is better: finished, then top-1, then loss, then the earliest."""
        return not self.error, self.val_top1, -self.val_loss, -self.number


def trials_csv(trials: Sequence[Trial], space: Space) -> str:
    """One row a trial: its figures, then what was tried."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIGURES, *space])
    for trial in trials:
        figures = (trial.number, trial.val_top1, trial.val_loss, trial.epoch, round(trial.seconds, 3), trial.error)
        writer.writerow([*figures, *(trial.settings[name] for name in space)])
    return text.getvalue()


def read_trials(file: Path, space: Space) -> list[Trial]:
    """The trials of a search; none where it was stopped before the first was over.

    Raises:
        RunError: the file is not what a search writes.
    """
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return [_read_trial(row, space) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise RunError(f"{file} is not the list of a search's trials: {error}") from error


def _read_trial(row: Mapping[str, str], space: Space) -> Trial:
    settings = {
        name: float(row[name]) if name == "lr" else next(v for v in values if str("" if v is None else v) == row[name])
        for name, values in space.items()
    }
    top1, loss, seconds = (float(row[name]) for name in ("val_top1", "val_loss", "seconds"))
    return Trial(int(row["trial"]), settings, top1, loss, int(row["epoch"]), seconds, row["error"])


def best_toml(resolved: Resolved, best: Trial) -> str:
    """Settings that `train --config` takes, to train what the best trial trained."""
    given = {
        name: value
        for name, value in flatten(resolved.config.model_dump(mode="json")).items()
        if resolved.origins.get(name, "default") not in CHOSEN_BY_NOBODY and name not in {*WHERE, "model", "data"}
    }
    settings = {name: value for name, value in {**given, **best.settings}.items() if value is not None}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        table, _, key = name.rpartition(".")
        tables.setdefault(table, {})[key] = value
    lines = [
        f"# {resolved.config.model}: trial {best.number} of `actrec-zoo tune`, epoch {best.epoch}",
        f"# validation: top-1 {best.val_top1:.4f} (video), loss {best.val_loss:.4f}",
        *(f"{key} = {_toml(value)}" for key, value in tables.pop("", {}).items()),
    ]
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{_toml(key)} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
