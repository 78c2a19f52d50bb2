"""One run folder, as its files tell it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from actrec_zoo.errors import RunError
from actrec_zoo.files import read_json
from actrec_zoo.locking import is_locked

RUN, CONFIG, HISTORY, WEIGHTS, EVALUATION = "run.json", "config.json", "history.csv", "model.safetensors", "eval.json"

State = Literal["finished", "running", "interrupted", "unfinished", "broken"]
STATES: dict[State, str] = {
    "finished": "it has its weights, `model.safetensors`",
    "running": "a process is working on it now",
    "interrupted": "no process is; `train --resume` goes on with it",
    "unfinished": "it has no weights yet, and whether a process is working on it cannot be found out here",
    "broken": "a file of it is missing or cannot be read; it is named below the table",
}


@dataclass(frozen=True)
class RunRecord:
    """A run folder.

    Attributes:
        path: of the folder.
        state: see `STATES`.
        problems: files that are missing or cannot be read, each with the reason.
        settings: of run.json.
        started: when it began.
        labels: the classes, in the order of the logits.
        history: figures of each epoch, by the columns of history.csv.
        evaluation: what eval.json holds; None without one.
    """

    path: Path
    state: State
    problems: tuple[str, ...]
    settings: Mapping[str, Any]
    started: datetime
    labels: tuple[str, ...]
    history: tuple[Mapping[str, float], ...]
    evaluation: Mapping[str, Any] | None

    @property
    def model(self) -> str:
        """Id of the model; empty where it is unknown."""
        return str(self.settings.get("model", ""))

    @property
    def data(self) -> str:
        """Name of the data set; empty where it is unknown."""
        path = Path(str(self.settings.get("data", "")))
        return path.stem if path.suffix.lower() in (".csv", ".tsv") else path.name

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return len(self.history)

    @property
    def best(self) -> Mapping[str, float] | None:
        """The best epoch: highest validation top-1, then lowest loss, then the earliest."""
        return max(self.history, key=lambda row: (row["val_top1"], -row["val_loss"], -row["epoch"]), default=None)


def read_run(folder: Path) -> RunRecord:
    """Read a run folder; what cannot be read of it is among its problems."""
    problems: list[str] = []

    def attempt(read: Callable[[Path], Any], name: str, otherwise: Any) -> Any:
        try:
            return read(folder / name)
        except RunError as error:
            problems.append(str(error))
            return otherwise

    record = attempt(_read_record, RUN, {})
    labels = attempt(_read_labels, CONFIG, ())
    history = attempt(_read_history, HISTORY, ()) if (folder / HISTORY).exists() else ()
    evaluation = attempt(_read_evaluation, EVALUATION, None) if (folder / EVALUATION).exists() else None
    finished = (folder / WEIGHTS).exists() and attempt(_check_weights, WEIGHTS, None) is None
    return RunRecord(
        path=folder,
        state="broken" if problems else "finished" if finished else _state_of_unfinished(folder),
        problems=tuple(problems),
        settings=record.get("config", {}),
        started=_started(folder, record),
        labels=labels,
        history=history,
        evaluation=evaluation,
    )


def _read_record(file: Path) -> dict[str, Any]:
    record = _read_table(file)
    config = record.get("config")
    if not isinstance(config, dict) or not all(isinstance(config.get(key), str) for key in ("model", "data")):
        raise RunError(f"{file} is not the record of a run")
    return record


def _read_labels(file: Path) -> tuple[str, ...]:
    labels = _read_table(file).get("labels")
    if not isinstance(labels, list):
        raise RunError(f"{file} is not the configuration of a model: it has no labels")
    return tuple(str(label) for label in labels)


def _read_evaluation(file: Path) -> dict[str, Any]:
    report = _read_table(file)
    whole = isinstance(report.get("protocol"), dict) and isinstance(report.get("video"), dict)
    if not whole or not isinstance(report["video"].get("top1"), int | float):
        raise RunError(f"{file} is not an evaluation")
    return report


def _read_history(file: Path) -> tuple[dict[str, float], ...]:
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(text)]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(f"{file} is not the history of a run: {error}") from error
    if not all({"epoch", "val_top1", "val_loss"} <= row.keys() for row in rows):
        raise RunError(f"{file} is not the history of a run: columns are missing")
    return tuple(rows)


def _read_table(file: Path) -> dict[str, Any]:
    values = read_json(file)
    if not isinstance(values, dict):
        raise RunError(f"{file} holds no object")
    return values


def _check_weights(file: Path) -> None:
    """Look at the header, and whether the file is as long as that says; `safetensors` itself would import numpy."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, file.stat().st_size)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        whole = file.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunError(f"{file} is damaged: {error}") from error
    if not whole:
        raise RunError(f"{file} is damaged: it is not as long as it should be")


def _state_of_unfinished(folder: Path) -> State:
    states: dict[bool | None, State] = {True: "running", False: "interrupted", None: "unfinished"}
    return states[is_locked(folder)]


def _started(folder: Path, record: Mapping[str, Any]) -> datetime:
    """When a run says that it began; runs of older versions do not, and their record was written then."""
    try:
        started = datetime.fromisoformat(str(record.get("started")))
        return started if started.tzinfo else started.replace(tzinfo=UTC)
    except ValueError:
        file = folder / RUN
        return datetime.fromtimestamp((file if file.exists() else folder).stat().st_mtime, UTC)
