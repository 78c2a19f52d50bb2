"""CSV and TSV files with a row a video, or a row a part of a video."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TextIO

from actrec_zoo.data.manifest import PACK_HEADER, SPLIT_NAMES, SPLIT_WORDS, Entry, Span
from actrec_zoo.errors import DataError

MANIFEST_NAME = "manifest.csv"
MANIFEST_NAMES = (MANIFEST_NAME, "manifest.tsv")
COLUMNS = "path,label[,group][,split][,start,end][,start_frame,end_frame]"

_SPANS = {"seconds": ("start", "end"), "frames": ("start_frame", "end_frame")}


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
        packed = (root / PACK_HEADER).is_file()
        in_parts = {entry.path for _, entry in read_csv(file) if entry.span}
        for line, entry in read_csv(file):
            if not packed and not (root / entry.path).exists():
                raise DataError(f"{file}, line {line}: there is no {root / entry.path}")
            whole_too = not entry.group and entry.path in in_parts
            yield entry._replace(group=entry.path) if whole_too else entry


def read_csv(file: Path) -> Iterator[tuple[int, Entry]]:
    """The rows of a CSV or TSV file with the columns of `COLUMNS`, with their line numbers.

    Raises:
        DataError: the file cannot be read, a column is missing, a field is empty or does not fit.
    """
    for line, row in read_rows(file, ("path", "label")):
        where = f"{file}, line {line}"
        if not row["path"] or not row["label"]:
            raise DataError(f"{where}: path or label is empty")
        path, span = PurePath(row["path"]).as_posix(), _span(row, where)
        group = row.get("group") or (path if span else "")  # parts of one video are one source
        yield line, Entry(path, row["label"], group, _split(row, where), span)


def read_rows(file: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows of a table with a header, by column, with their line numbers.

    Fields are separated by tabs in a .tsv file, else by commas, or by semicolons where the header has no comma.

    Raises:
        DataError: the file cannot be read, or a required column is missing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = csv.DictReader(stream, delimiter=_delimiter(file, stream))
            missing = set(required) - set(rows.fieldnames or ())
            if missing:
                raise DataError(f"{file} lacks the column {', '.join(sorted(missing))}: {COLUMNS}")
            for row in rows:
                yield rows.line_num, row
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {error}") from error


def _manifest_of(folder: Path) -> Path | None:
    return next((folder / name for name in MANIFEST_NAMES if (folder / name).is_file()), None)


def _delimiter(file: Path, stream: TextIO) -> str:
    header = stream.readline()
    stream.seek(0)
    if file.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _split(row: Mapping[str, str], where: str) -> str:
    word = (row.get("split") or "").strip().lower()
    if word not in SPLIT_WORDS:
        raise DataError(f"{where}: the split is {word!r}, not one of {', '.join(SPLIT_NAMES)}")
    return SPLIT_WORDS[word]


def _span(row: Mapping[str, str], where: str) -> Span | None:
    """The part of the video that a row speaks of; None for all of it."""
    given = {unit: names for unit, names in _SPANS.items() if any(row.get(name) for name in names)}
    if len(given) > 1:
        raise DataError(f"{where}: give start and end in seconds, or start_frame and end_frame, not both")
    for unit, (first, last) in given.items():
        start, stop = _number(row, first, unit, where, 0.0), _number(row, last, unit, where, float("inf"))
        if stop <= start:
            raise DataError(f"{where}: {last} {stop:g} is not after {first} {start:g}")
        return Span(start, stop, unit == "seconds")
    return None


def _number(row: Mapping[str, str], column: str, unit: str, where: str, default: float) -> float:
    text = row.get(column)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (unit == "frames" and not value.is_integer()):
        kind = "a whole number" if unit == "frames" else "a number of seconds"
        raise DataError(f"{where}: {column} is {text!r}, not {kind} of at least 0")
    return value
