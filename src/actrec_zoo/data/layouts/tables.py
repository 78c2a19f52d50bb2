"""CSV and TSV files with a row a video, or a row a part of a video."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TextIO

from actrec_zoo.data.manifest import PACK_HEADER, SPLIT_NAMES, SPLIT_WORDS, Entry, Span
from actrec_zoo.errors import DataError

MANIFEST_NAME = "manifest.csv"
MANIFEST_NAMES = (MANIFEST_NAME, "manifest.tsv")
COLUMNS = "path,label[,group][,split][,start,end][,start_frame,end_frame]"

_SPAN_COLUMNS = {"start": "seconds", "end": "seconds", "start_frame": "frames", "end_frame": "frames"}


class TableReader:
    """A CSV or TSV file with the columns of `COLUMNS`, or a folder that holds one named manifest.csv or .tsv."""

    def matches(self, path: Path) -> bool:
        return path.suffix.lower() in (".csv", ".tsv") if path.is_file() else _manifest_of(path) is not None

    def root(self, path: Path) -> Path:
        return path.parent if path.is_file() else path

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        file = path if path.is_file() else _manifest_of(path)
        if file is None:
            raise DataError(f"{path} holds no {' or '.join(MANIFEST_NAMES)}")
        root = self.root(path)
        packed, prefix = (root / PACK_HEADER).is_file(), str(root)
        in_parts = _videos_in_parts(file)
        for line, entry in read_csv(file):
            # `Path.exists` costs four times as much, for each of what may be a million videos
            if not packed and not os.access(os.path.join(prefix, entry.path), os.F_OK):  # noqa: PTH118
                raise DataError(f"{file}, line {line}: there is no {root / entry.path}")
            whole_too = not entry.group and entry.path in in_parts
            yield entry._replace(group=entry.path) if whole_too else entry


def read_csv(file: Path) -> Iterator[tuple[int, Entry]]:
    """The rows of a CSV or TSV file with the columns of `COLUMNS`, with their line numbers.

    Raises:
        DataError: the file cannot be read, a column is missing, a field is empty or does not fit.
    """
    for line, row in read_rows(file, ("path", "label")):
        try:
            entry = _entry(row)
        except DataError as error:
            raise DataError(f"{file}, line {line}: {error}") from error
        yield line, entry


def read_rows(file: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows of a table with a header, by column, with their line numbers.

    Fields are separated by tabs in a .tsv file, else by commas, or by semicolons where the header has no comma.

    Raises:
        DataError: the file cannot be read, or a required column is missing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = csv.reader(stream, delimiter=_delimiter(file, stream))
            columns = next(rows, [])
            missing = set(required) - set(columns)
            if missing:
                raise DataError(f"{file} lacks the column {', '.join(sorted(missing))}: {COLUMNS}")
            for row in filter(None, rows):
                short = len(columns) - len(row)
                yield rows.line_num, dict(zip(columns, row + [""] * short if short > 0 else row, strict=False))
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {error}") from error


def _videos_in_parts(file: Path) -> frozenset[str]:
    """Paths of the videos of which the table names a part."""
    first = next(read_rows(file, ("path", "label")), None)
    if first is None or not first[1].keys() & _SPAN_COLUMNS.keys():
        return frozenset()
    return frozenset(entry.path for _, entry in read_csv(file) if entry.span)


def _manifest_of(folder: Path) -> Path | None:
    return next((folder / name for name in MANIFEST_NAMES if (folder / name).is_file()), None)


def _delimiter(file: Path, stream: TextIO) -> str:
    header = stream.readline()
    stream.seek(0)
    if file.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _entry(row: Mapping[str, str]) -> Entry:
    path, label = row["path"], row["label"]
    if not path or not label:
        raise DataError("path or label is empty")
    if path[0] == "." or path[-1] == "/" or "//" in path or "/." in path or "\\" in path:
        path = PurePath(path).as_posix()  # slow, and most paths are plain
    span = _span(row) if any(map(row.get, _SPAN_COLUMNS)) else None
    group = row.get("group") or (path if span else "")  # parts of one video are one source
    return Entry(path, label, group, _split(row["split"]) if row.get("split") else "", span)


def _split(text: str) -> str:
    word = text.strip().lower()
    if word not in SPLIT_WORDS:
        raise DataError(f"the split is {word!r}, not one of {', '.join(SPLIT_NAMES)}")
    return SPLIT_WORDS[word]


def _span(row: Mapping[str, str]) -> Span:
    """The part of the video that a row speaks of."""
    units = {unit for column, unit in _SPAN_COLUMNS.items() if row.get(column)}
    if len(units) > 1:
        raise DataError("give start and end in seconds, or start_frame and end_frame, not both")
    (unit,) = units
    first, last = (column for column, of in _SPAN_COLUMNS.items() if of == unit)
    start, stop = _number(row, first, unit, 0.0), _number(row, last, unit, float("inf"))
    if stop <= start:
        raise DataError(f"{last} {stop:g} is not after {first} {start:g}")
    return Span(start, stop, unit == "seconds")


def _number(row: Mapping[str, str], column: str, unit: str, default: float) -> float:
    text = row.get(column)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (unit == "frames" and not value.is_integer()):
        kind = "a whole number" if unit == "frames" else "a number of seconds"
        raise DataError(f"{column} is {text!r}, not {kind} of at least 0")
    return value
