"""Readers of data layouts: which videos are there, which class each belongs to. Nothing is decoded."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from actrec_zoo.data.layouts.folders import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    ClassFolderReader,
    SplitFolderReader,
    is_hidden,
    list_frames,
)
from actrec_zoo.data.layouts.hmdb_ucf import FOLDS, Hmdb51Reader, Ucf101Reader
from actrec_zoo.data.layouts.huggingface import HuggingFaceReader
from actrec_zoo.data.layouts.kinetics import KineticsReader
from actrec_zoo.data.layouts.lists import ListReader
from actrec_zoo.data.layouts.something import SomethingReader
from actrec_zoo.data.layouts.tables import MANIFEST_NAME, TableReader, read_csv
from actrec_zoo.data.manifest import EXPECTED_LAYOUT, Entry, Manifest
from actrec_zoo.data.strings import first_places
from actrec_zoo.errors import DataError, UnknownNameError, did_you_mean

__all__ = [
    "BUILT_IN",
    "IMAGE_SUFFIXES",
    "MANIFEST_NAME",
    "VIDEO_SUFFIXES",
    "Reader",
    "data_name",
    "is_hidden",
    "list_frames",
    "place_of",
    "read_csv",
    "read_manifest",
]

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads one layout."""

    def matches(self, path: Path) -> bool:
        """Whether `path`, which exists, has this layout."""

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        """The videos, with paths relative to `root(path)`; what is passed over is counted by kind."""

    def root(self, path: Path) -> Path:
        """The folder that the paths are relative to."""


_HUB = HuggingFaceReader()

BUILT_IN: Mapping[str, Reader] = {
    **{f"hmdb51:{fold}": Hmdb51Reader(fold) for fold in FOLDS},
    **{f"ucf101:{fold}": Ucf101Reader(fold) for fold in FOLDS},
    "kinetics": KineticsReader(),
    "something": SomethingReader(),
    "list": ListReader(),
    "huggingface": _HUB,
    "table": TableReader(),
    "split_folders": SplitFolderReader(),
    "folders": ClassFolderReader(),
}
"""Readers by name, in the order in which they are tried."""


def place_of(data: str | Path, *, follow: bool = True) -> str:
    """Where a data set lies, from wherever it is named: a whole path, or `hf:org/name`.

    Args:
        data: folder or file; it need not be there.
        follow: whether links are followed, so that one place has one name.
    """
    if _HUB.matches(Path(data)):
        return str(data)
    return str(Path(data).resolve() if follow else Path(data).absolute())


def data_name(data: str | Path) -> str:
    """What a data set is called: a folder by its name, a file without its suffix. It need not be there any more."""
    path = Path(data).resolve()
    is_file = path.is_file() or (path.suffix.lower() in (".csv", ".tsv") and not path.is_dir())
    return path.stem if is_file else path.name


def read_manifest(
    path: Path, readers: Mapping[str, Reader] | None = None, *, layout: str = "", classes: Collection[str] = ()
) -> Manifest:
    """Find out the layout of `path` and list its videos.

    Args:
        path: a folder or a file, or `hf:org/name`.
        readers: of plugins by name, tried before the built-in ones.
        layout: name of the reader; found out without it.
        classes: those to keep; all without it.

    Raises:
        UnknownNameError: no reader has the name `layout`.
        DataError: there is nothing at `path`, no reader knows its layout, it holds no videos, or lacks a class.
    """
    known = {**BUILT_IN, **(readers or {})} if layout else {**(readers or {}), **BUILT_IN}
    reader = _named(known, layout) if layout else _matching(known, path)
    skipped: Counter[str] = Counter()
    try:
        manifest = Manifest.from_entries(reader.root(path), reader.read(path, skipped), skipped)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
    _refuse_repeats(path, manifest)
    return _of_classes(path, manifest, classes) if classes else manifest


def _named(readers: Mapping[str, Reader], name: str) -> Reader:
    if name not in readers:
        raise UnknownNameError(
            f"there is no data format {name!r}.{did_you_mean(name, readers)} There are {', '.join(readers)}."
        )
    return readers[name]


def _matching(readers: Mapping[str, Reader], path: Path) -> Reader:
    if _HUB.matches(path):  # no place on this machine
        return _HUB
    if not path.exists():
        raise DataError(f"there is no data at {path}: give a folder or a CSV file with --data")
    for name, reader in readers.items():
        if reader.matches(path):
            _log.info("%s is read as %s", path, name)
            return reader
    raise DataError(f"{path} has no known layout. Expected {EXPECTED_LAYOUT}")


def _of_classes(path: Path, manifest: Manifest, classes: Collection[str]) -> Manifest:
    lacking = [name for name in classes if name not in manifest.classes]
    if lacking:
        raise DataError(
            f"{path} has no video of {len(lacking)} of the classes asked for: {', '.join(lacking[:8])}."
            f"{did_you_mean(lacking[0], manifest.classes)}"
        )
    kept = np.flatnonzero(np.array([name in classes for name in manifest.classes])[manifest.labels])
    others = len(manifest) - len(kept)
    if not others:
        return manifest
    skipped = Counter(manifest.skipped) + Counter({"video of another class": others})
    return dataclasses.replace(manifest.select(kept), skipped=dict(skipped))


def _refuse_repeats(path: Path, manifest: Manifest) -> None:
    names = manifest.names
    first = first_places(names)
    repeated = first[first != np.arange(len(first))]
    if len(repeated):
        name = names[int(repeated.min())]
        raise DataError(f"{path} lists {name!r} more than once: each video, or part of one, may have one row")
