"""Train, validation and test splits in CSV files, and the leaks between them."""

import csv
import io
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actrec_zoo.data.layouts import read_csv
from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.errors import DataError
from actrec_zoo.files import write_text

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
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("path", "label", "group"))
        entries = (manifest.entry(index) for index in indices.tolist())
        writer.writerows((entry.name, entry.label, entry.group) for entry in entries)
        write_text(folder / f"{name}.csv", text.getvalue())


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
    index_of = {name: index for index, name in enumerate(manifest.names)}
    groups: dict[int, str] = {}
    splits: dict[str, IntArray] = {}
    for file in files:
        splits[file.stem] = _read_split(file, manifest, index_of, groups)
    grouped = manifest.with_groups(groups)
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
        shared = [manifest.paths[video] for video in np.intersect1d(video_of[ours], video_of[theirs]).tolist()]
        yield from (Leak("video", name, first, second) for name in shared)
        for group in np.intersect1d(manifest.groups[ours], manifest.groups[theirs]).tolist():
            if group >= 0 and manifest.group_names[group] not in shared:  # parts of a video are a group of its name
                yield Leak("source group", manifest.group_names[group], first, second)


def first_parts(manifest: Manifest) -> IntArray:
    """For each entry the first one of the same video, int64[N]: itself, unless parts of videos are listed."""
    if np.isnan(manifest.spans[:, 0]).all():
        return np.arange(len(manifest), dtype=np.int64)
    first: dict[str, int] = {}
    return np.array([first.setdefault(path, index) for index, path in enumerate(manifest.paths)], dtype=np.int64)


def _read_split(file: Path, manifest: Manifest, index_of: Mapping[str, int], groups: dict[int, str]) -> IntArray:
    indices: list[int] = []
    missing: list[str] = []
    for line, entry in read_csv(file):
        index = index_of.get(entry.name)
        if index is None:
            missing.append(entry.name)
            continue
        label = manifest.entry(index).label
        if label != entry.label:
            raise DataError(f"{file}, line {line}: {entry.path} is {entry.label!r} here and {label!r} in the data")
        indices.append(index)
        groups[index] = entry.group
    if missing:
        listed = ", ".join(missing[:_SHOWN])
        raise DataError(f"{file} names {len(missing)} videos that are not in {manifest.root}: {listed}")
    _refuse_twice(file, manifest, indices)
    return np.array(sorted(indices), dtype=np.int64)


def _refuse_twice(file: Path, manifest: Manifest, indices: Iterable[int]) -> None:
    index, count = max(Counter(indices).items(), key=lambda item: item[1], default=(0, 0))
    if count > 1:
        raise DataError(f"{file} names {manifest.paths[index]} more than once")
