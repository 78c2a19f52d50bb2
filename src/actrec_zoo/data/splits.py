"""Train, validation and test splits in CSV files, and the leaks between them."""

import csv
import hashlib
import itertools
import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.layouts import read_csv
from actrec_zoo.data.manifest import SPLIT_NAMES, Entry, IntArray, Manifest
from actrec_zoo.data.strings import PackedStrings, StringIndex, StringPacker, first_places, in_runs
from actrec_zoo.errors import DataError
from actrec_zoo.files import write_atomically

Splits = Mapping[str, IntArray]
"""Indices into a manifest, by the name of the split."""

_SHOWN = 3
_log = logging.getLogger(__name__)


class Leak(NamedTuple):
    """A video or a source group that two splits share: its kind (`video` or `source group`) and name, the splits."""

    kind: str
    name: str
    first: str
    second: str


def write_splits(folder: Path, manifest: Manifest, splits: Splits) -> None:
    """Write `<split>.csv` for each split, with the columns path,label,group; paths relative to the data.

    Raises:
        RunError: the folder cannot be written.
    """
    for name, indices in splits.items():
        write_atomically(folder / f"{name}.csv", partial(_write_rows, manifest.entries(indices)))


def hash_splits(folder: Path) -> str:
    """SHA-256, in hexadecimal digits, of those of `train.csv`, `val.csv` and `test.csv` that exist, in this order."""
    content = hashlib.sha256()
    for file in (folder / f"{name}.csv" for name in SPLIT_NAMES):
        content.update(file.read_bytes() if file.is_file() else b"")
    return content.hexdigest()


def read_splits(folder: Path, manifest: Manifest, *, allow_leak: bool = False) -> tuple[Manifest, Splits]:
    """Read the split files of a folder and find their videos in the manifest.

    Args:
        folder: with `train.csv`, `val.csv` and `test.csv`, or some of them.
        manifest: the data.
        allow_leak: whether two splits may share a video or a group, at the cost of a warning in the log.

    Returns:
        The manifest with the groups that the files state, and the splits; a split without a file is left out.

    Raises:
        DataError: there is no split file, a video is missing from the data or has another label there, or two
            splits share a video or a group and may not.
    """
    files = [folder / f"{name}.csv" for name in SPLIT_NAMES if (folder / f"{name}.csv").is_file()]
    if not files:
        raise DataError(f"{folder} holds none of train.csv, val.csv and test.csv: check --splits")
    index = StringIndex(manifest.names)
    groups = StringPacker()
    read = {file.stem: _read_split(file, manifest, index, groups) for file in files}
    grouped = manifest.with_groups(np.concatenate(list(read.values())), groups.packed())
    splits = {name: np.sort(videos) for name, videos in read.items()}
    refuse_leaks(grouped, splits, str(folder), allow=allow_leak)
    return grouped, splits


def refuse_leaks(manifest: Manifest, splits: Splits, where: str, *, allow: bool = False) -> None:
    """Check that no video and no group is in two splits; where that is allowed, warn of it.

    Raises:
        DataError: one is, and may not; it is named.
    """
    found = itertools.groupby(find_leaks(manifest, splits), lambda leak: (leak.first, leak.second, leak.kind))
    for (first, second, kind), leaks in found:
        names = [leak.name for leak in leaks]
        listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        message = f"{where}: {first} and {second} share the {kind} {listed}"
        if not allow:
            raise DataError(message)
        _log.warning("warning: %s", message)


def find_leaks(manifest: Manifest, splits: Splits) -> Iterator[Leak]:
    """Every video, whole or in parts, and every group, that two splits share."""
    video_of = first_parts(manifest)
    for (first, ours), (second, theirs) in itertools.combinations(splits.items(), 2):
        shared = _in_both(video_of[ours], video_of[theirs], len(manifest))
        names = set(manifest.paths.take(shared))
        yield from (Leak("video", name, first, second) for name in manifest.paths.take(shared))
        groups = _in_both(manifest.groups[ours] + 1, manifest.groups[theirs] + 1, len(manifest.group_names) + 1)
        for name in sorted(manifest.group_names.take(groups[groups > 0] - 1)):
            if name not in names:  # parts of a video are a group of its name
                yield Leak("source group", name, first, second)


def first_parts(manifest: Manifest) -> IntArray:
    """For each entry the first one of the same video, int64[N]: itself, unless parts of videos are listed."""
    if np.isnan(manifest.spans[:, 0]).all():
        return np.arange(len(manifest), dtype=np.int64)
    return first_places(manifest.paths)


def _in_both(ours: NDArray[Any], theirs: NDArray[Any], limit: int) -> IntArray:
    """The numbers below a limit that are among both."""
    there = np.zeros((2, limit), dtype=bool)
    there[0, ours] = there[1, theirs] = True
    return np.flatnonzero(there.all(axis=0))


def _write_rows(entries: Iterable[Entry], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "label", "group"))
        writer.writerows((entry.name, entry.label, entry.group) for entry in entries)


def _read_split(file: Path, manifest: Manifest, index: StringIndex, groups: StringPacker) -> IntArray:
    """The videos of a split file, int64[rows], in its order; their groups are added to `groups`."""
    videos = array("q")
    missing = 0
    examples: list[str] = []
    for rows in in_runs(read_csv(file)):
        found = index.find(PackedStrings(entry.name for _, entry in rows))
        labels = manifest.labels[found].tolist()
        for (line, entry), video, number in zip(rows, found.tolist(), labels, strict=True):
            label = manifest.classes[number]
            if video >= 0 and label != entry.label:
                raise DataError(f"{file}, line {line}: {entry.path} is {entry.label!r} here and {label!r} in the data")
        there = found >= 0
        videos.extend(found[there].tolist())
        groups.extend([entry.group for (_, entry), known in zip(rows, there.tolist(), strict=True) if known])
        missing += len(rows) - int(there.sum())
        examples += [entry.name for (_, entry), known in zip(rows, there.tolist(), strict=True) if not known]
        del examples[_SHOWN:]
    if missing:
        raise DataError(f"{file} names {missing} videos that are not in {manifest.root}: {', '.join(examples)}")
    _refuse_twice(file, manifest, np.array(videos, dtype=np.int64))
    return np.array(videos, dtype=np.int64)


def _refuse_twice(file: Path, manifest: Manifest, videos: IntArray) -> None:
    once, counts = np.unique(videos, return_counts=True)
    if len(once) < len(videos):
        raise DataError(f"{file} names {manifest.name(int(once[counts.argmax()]))} more than once")
