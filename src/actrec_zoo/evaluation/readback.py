"""An evaluation read back: eval.json and predictions.csv, checked before anything is told of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.strings import PackedStrings, first_places
from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.metrics import TOP_K
from actrec_zoo.evaluation.predictions import COLUMNS, PREDICTIONS_FILE, Videos
from actrec_zoo.files import read_json
from actrec_zoo.hub.package import EVAL_FILE
from actrec_zoo.hub.report import Level, Strict, checked

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model answered for each video.

    Attributes:
        file: eval.json.
        model: id.
        protocol: as eval.json has it.
        videos: the videos, N.
        predicted: class that was answered, int64[N]; K for a video that could not be read.
        ranks: place of the true class among the answers, from 1, int64[N]; K + 1 for a video that was not read.
    """

    file: Path
    model: str
    protocol: Mapping[str, Any]
    videos: Videos
    predicted: IntArray
    ranks: IntArray

    def in_top(self, k: int) -> NDArray[np.bool_]:
        """Whether the true class is among the `k` highest, bool[N]; never for a video that could not be read."""
        hits: NDArray[np.bool_] = (self.ranks <= k) & (self.predicted < len(self.videos.labels))
        return hits

    def answer(self, row: int) -> str | None:
        """Name of the class that was answered; None for a video that could not be read."""
        labels = self.videos.labels
        return labels[self.predicted[row]] if self.predicted[row] < len(labels) else None


def read_evaluation(path: Path) -> Evaluation:
    """What `actrec-zoo eval` has written.

    Args:
        path: eval.json, or the folder that holds it; predictions.csv lies beside it.

    Raises:
        RunError: a file is missing or damaged, or the two are not of one evaluation.
    """
    file = path / EVAL_FILE if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{file} does not exist: give an {EVAL_FILE}, or the folder that holds one")
    report = checked(_Report, read_json(file), f"{file} is not what `actrec-zoo eval` writes")
    table = file.parent / PREDICTIONS_FILE
    if not table.is_file():
        raise RunError(f"{table} is missing: it lies beside {file.name} and is written with it. {_AGAIN}")
    names, groups, answers = _read_table(table, report.labels)
    truth, predicted, ranks = np.array(answers, dtype=np.int64).reshape(-1, 3).T
    videos = Videos(tuple(report.labels), names, groups, truth)
    found = Evaluation(file, report.model, report.protocol, videos, predicted, ranks)
    _require_one_evaluation(found, report, table)
    return found


_AGAIN = "Run `actrec-zoo eval` again"


class _Report(Strict):
    model: str
    labels: list[str]
    protocol: dict[str, Any]
    video: Level


class _Row(NamedTuple):
    """A row of predictions.csv, with the columns `COLUMNS`."""

    video: str
    group: str
    label: str
    predicted: str
    p_predicted: str
    p_label: str
    rank: str
    clips: str
    error: str


def _read_table(file: Path, labels: Sequence[str]) -> tuple[PackedStrings, PackedStrings, list[tuple[int, int, int]]]:
    """Names, groups, and the numbers of each row: true class, answered class and rank."""
    places = {label: place for place, label in enumerate(labels)}
    names, groups, answers = [], [], []
    for row in _rows(file):
        try:
            answers.append(_answer(row, places))
        except ValueError as error:
            raise RunError(f"{file}, row of {row.video!r}: {error}. {_AGAIN}") from error
        names.append(row.video)
        groups.append(row.group)
    packed = PackedStrings(names)
    repeats = np.flatnonzero(first_places(packed) != np.arange(len(packed)))
    if len(repeats):
        raise RunError(f"{file} has two rows of {names[repeats[0]]!r}. {_AGAIN}")
    return packed, PackedStrings(groups), answers


def _rows(file: Path) -> Iterator[_Row]:
    try:
        with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            reader = csv.reader(stream, strict=True)
            if tuple(next(reader, ())) != COLUMNS:
                raise RunError(f"{file} has other columns than {','.join(COLUMNS)}. {_AGAIN}")
            for cells in reader:
                if len(cells) != len(COLUMNS):
                    raise RunError(
                        f"{file}, line {reader.line_num}: {len(cells)} cells for {len(COLUMNS)} columns. {_AGAIN}"
                    )
                yield _Row(*cells)
    except (OSError, csv.Error) as error:
        raise RunError(f"cannot read {file}: {error}. {_AGAIN}") from error


def _answer(row: _Row, places: Mapping[str, int]) -> tuple[int, int, int]:
    """True class, answered class and rank; raises ValueError where cells do not go together."""
    if row.label not in places:
        raise ValueError(f"label: {row.label!r} is no class of {EVAL_FILE}")
    clips = _whole(row, "clips")
    if not clips:
        if any((row.predicted, row.p_predicted, row.p_label, row.rank)):
            raise ValueError("it has an answer without a clip")
        return places[row.label], len(places), len(places) + 1
    if row.predicted not in places:
        raise ValueError(f"predicted: {row.predicted!r} is no class of {EVAL_FILE}")
    rank = _whole(row, "rank")
    if not 1 <= rank <= len(places):
        raise ValueError(f"rank: {rank} is not in 1..{len(places)}")
    if (rank == 1) != (row.predicted == row.label):
        raise ValueError(f"rank {rank} does not go with {row.predicted!r} for {row.label!r}")
    for column in ("p_predicted", "p_label"):
        if not 0 <= float(getattr(row, column)) <= 1:
            raise ValueError(f"{column}: {getattr(row, column)} is not in 0..1")
    return places[row.label], places[row.predicted], rank


def _whole(row: _Row, column: str) -> int:
    text: str = getattr(row, column)
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{column}: {text!r} is no whole number")
    return int(text)


def _require_one_evaluation(found: Evaluation, report: _Report, table: Path) -> None:
    """The figures of eval.json have to be those of predictions.csv."""
    n = len(found.videos)
    figures = {"n": n, **{f"top{k}": float(found.in_top(k).mean()) if n else 0.0 for k in (1, TOP_K)}}
    for name, value in figures.items():
        if abs(value - getattr(report.video, name)) > _ROUNDING:
            raise RunError(
                f"{table} is not of the evaluation in {found.file.name}: {name} is {value:g} in one and "
                f"{getattr(report.video, name):g} in the other. {_AGAIN}"
            )
