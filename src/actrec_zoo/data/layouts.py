"""Readers of data layouts: which videos are there, which class each belongs to. Nothing is decoded."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from actrec_zoo.data.manifest import EXPECTED_LAYOUT, PACK_HEADER, Entry, Manifest
from actrec_zoo.errors import DataError
from actrec_zoo.files import natural_order

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"}
)
MANIFEST_NAME = "manifest.csv"


class Reader(Protocol):
    """Reads one layout."""

    def matches(self, path: Path) -> bool:
        """Whether `path`, which exists, has this layout."""

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        """The videos, with paths relative to `root(path)`; what is passed over is counted by kind."""

    def root(self, path: Path) -> Path:
        """The folder that the paths are relative to."""


class CsvReader:
    """A CSV file with the columns `path,label[,group]`, or a folder that holds one named manifest.csv."""

    def matches(self, path: Path) -> bool:
        return path.suffix.lower() == ".csv" if path.is_file() else (path / MANIFEST_NAME).is_file()

    def root(self, path: Path) -> Path:
        return path.parent if path.is_file() else path

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        file = path if path.is_file() else path / MANIFEST_NAME
        root = self.root(path)
        packed = (root / PACK_HEADER).is_file()
        for line, entry in read_csv(file):
            if not packed and not (root / entry.path).exists():
                raise DataError(f"{file}, line {line}: there is no {root / entry.path}")
            yield entry


class ClassFolderReader:
    """A folder a class, holding video files, or a folder of frames a video, or both."""

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        for class_name in natural_order(item.name for item in path.iterdir()):
            folder = path / class_name
            if is_hidden(class_name) or not folder.is_dir():
                skipped["other file"] += 1
                continue
            entries = list(_read_class(folder, skipped))
            if not entries:
                skipped["class folder without videos"] += 1
            yield from entries


BUILT_IN: tuple[Reader, ...] = (CsvReader(), ClassFolderReader())


def read_manifest(path: Path, readers: Sequence[Reader] = ()) -> Manifest:
    """Find out the layout of `path` and list its videos.

    Args:
        path: a folder or a CSV file.
        readers: of plugins, tried before the built-in ones.

    Raises:
        DataError: there is nothing at `path`, no reader knows its layout, or it holds no videos.
    """
    if not path.exists():
        raise DataError(f"there is no data at {path}: give a folder or a CSV file with --data")
    reader = next((r for r in (*readers, *BUILT_IN) if r.matches(path)), None)
    if reader is None:
        raise DataError(f"{path} has no known layout. Expected {EXPECTED_LAYOUT}")
    skipped: Counter[str] = Counter()
    try:
        entries = list(reader.read(path, skipped))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
    _refuse_repeats(path, entries)
    return Manifest.from_entries(reader.root(path), entries, skipped)


def read_csv(file: Path) -> Iterator[tuple[int, Entry]]:
    """The rows of a CSV file with the columns `path,label[,group]`, with their line numbers.

    Raises:
        DataError: the file cannot be read, a column is missing or a field is empty.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = csv.DictReader(stream)
            missing = {"path", "label"} - set(rows.fieldnames or ())
            if missing:
                raise DataError(f"{file} lacks the column {', '.join(sorted(missing))}: path,label[,group]")
            for row in rows:
                if not row["path"] or not row["label"]:
                    raise DataError(f"{file}, line {rows.line_num}: path or label is empty")
                yield rows.line_num, Entry(PurePath(row["path"]).as_posix(), row["label"], row.get("group") or "")
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {error}") from error


def list_frames(folder: Path) -> list[str]:
    """Names of the images of a frame folder, in natural order: `2.jpg` before `10.jpg`."""
    with os.scandir(folder) as items:
        return natural_order(item.name for item in items if _is_image(item.name))


def is_hidden(name: str) -> bool:
    """Whether a name is one that operating systems leave behind or hide."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def _read_class(folder: Path, skipped: Counter[str]) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        kinds = {item.name: item.is_dir() for item in items}
    for name in natural_order(kinds):
        if is_hidden(name):
            skipped["other file"] += 1
        elif kinds[name]:
            if _has_image(folder / name):
                yield Entry(f"{folder.name}/{name}", folder.name)
            else:
                skipped["folder without frames"] += 1
        elif Path(name).suffix.lower() in VIDEO_SUFFIXES:
            yield Entry(f"{folder.name}/{name}", folder.name)
        else:
            skipped["other file"] += 1


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as items:
        return any(_is_image(item.name) for item in items)


def _is_image(name: str) -> bool:
    return not is_hidden(name) and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _refuse_repeats(path: Path, entries: Sequence[Entry]) -> None:
    counts = Counter(entry.path for entry in entries)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(f"{path} lists {twice[0]!r} more than once: each video may have one row")
