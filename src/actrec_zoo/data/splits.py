"""Train, validation and test splits: by video, stratified by class, grouped by source, kept in CSV files."""

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from actrec_zoo.data.layouts import read_csv
from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.errors import DataError
from actrec_zoo.files import write_text

Splits = Mapping[str, IntArray]
"""Indices into a manifest, by the name of the split."""

_SHOWN = 3


def make_splits(manifest: Manifest, ratios: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> Splits:
    """Divide videos into train, val and test.

    Every class gets its share of each split, at least one video. Videos of one group stay together; a video
    without a group is a group of its own. Groups are placed largest first (in random order where equal), each where
    the most videos are still wanted; the last groups of a class go to the splits that have none of it.

    Args:
        manifest: videos with their labels and groups.
        ratios: shares of train, val and test.
        seed: of the random order; the same manifest and seed give the same splits everywhere.

    Raises:
        DataError: a class has too few videos, or its videos come from too few groups.
    """
    wanted = _targets(manifest, ratios)
    room = wanted.copy()
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(manifest.groups.tolist()):
        members[group if group >= 0 else -index - 1].append(index)
    order = list(members)
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda group: -len(members[group]))
    chosen: list[list[int]] = [[] for _ in SPLIT_NAMES]
    groups_left = _groups_per_class(manifest, members)
    for group in order:
        counts = np.bincount(manifest.labels[members[group]], minlength=len(manifest.classes))
        lacking = room == wanted
        urgent = (lacking & (groups_left <= lacking.sum(axis=0)) & (counts > 0)).sum(axis=1).tolist()
        ranks = list(zip(urgent, _gains(room, wanted, counts), strict=True))
        split = ranks.index(max(ranks))
        room[split] -= counts
        groups_left -= counts > 0
        chosen[split] += members[group]
    splits = {n: np.sort(np.array(c, dtype=np.int64)) for n, c in zip(SPLIT_NAMES, chosen, strict=True)}
    _require_every_class(manifest, splits)
    return splits


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


def read_splits(folder: Path, manifest: Manifest) -> tuple[Manifest, Splits]:
    """Read the split files of a folder and find their videos in the manifest.

    Returns:
        The manifest with the groups that the files state, and the splits; a split without a file is left out.

    Raises:
        DataError: there is no split file, a video is missing from the data or has another label there, or two
            splits share a video or a group.
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
    refuse_leaks(grouped, splits, str(folder))
    return grouped, splits


def refuse_leaks(manifest: Manifest, splits: Splits, where: str) -> None:
    """Check that no video and no group is in two splits.

    Raises:
        DataError: one is; it is named.
    """
    names = list(splits)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            videos = np.intersect1d(splits[first], splits[second])
            if len(videos):
                raise DataError(f"{where}: {first} and {second} share the video {manifest.paths[int(videos[0])]}")
            shared = set(_groups(manifest, splits[first])) & set(_groups(manifest, splits[second]))
            if shared:
                listed = ", ".join(sorted(shared)[:_SHOWN])
                raise DataError(f"{where}: {first} and {second} share the source group {listed}")


def _targets(manifest: Manifest, ratios: Sequence[float]) -> IntArray:
    """Videos wanted, int64[split, class]: rounded shares for val and test, the rest for train, at least one each."""
    shares = np.asarray(ratios, dtype=float)
    if len(shares) != len(SPLIT_NAMES) or not (shares > 0).all():
        raise DataError(f"split ratios must be three positive numbers, not {list(ratios)}")
    shares = shares / shares.sum()
    counts = np.bincount(manifest.labels, minlength=len(manifest.classes))
    for name, count in zip(manifest.classes, counts.tolist(), strict=True):
        if count < len(SPLIT_NAMES):
            raise DataError(
                f"class {name!r} has {count} videos, too few to split into train, val and test: "
                "add videos, or make the split files yourself and give them with --splits"
            )
    columns = []
    for count in counts.tolist():
        held_out = [max(1, math.floor(count * share + 0.5)) for share in shares[1:]]
        while sum(held_out) >= count:
            held_out[held_out.index(max(held_out))] -= 1
        columns.append([count - sum(held_out), *held_out])
    return np.array(columns, dtype=np.int64).T


def _groups_per_class(manifest: Manifest, members: Mapping[int, list[int]]) -> IntArray:
    found = np.zeros(len(manifest.classes), dtype=np.int64)
    for videos in members.values():
        found[np.unique(manifest.labels[videos])] += 1
    return found


def _gains(room: IntArray, wanted: IntArray, counts: IntArray) -> list[float]:
    """How well a group with `counts` videos a class fits each split.

    The error removed from (wanted - placed)^2, relative to what the split wants, so that small splits are not
    flooded by large groups.
    """
    before, after = room.astype(float) ** 2, (room - counts).astype(float) ** 2
    gains: list[float] = ((before - after) / np.maximum(wanted, 1)).sum(axis=1).tolist()
    return gains


def _require_every_class(manifest: Manifest, splits: Splits) -> None:
    for split, indices in splits.items():
        missing = set(range(len(manifest.classes))) - set(manifest.labels[indices].tolist())
        if missing:
            name = manifest.classes[min(missing)]
            raise DataError(
                f"class {name!r} has too few source groups to be in train, val and test: no video is left for "
                f"{split}. Add videos, or make the split files yourself and give them with --splits"
            )


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


def _groups(manifest: Manifest, indices: IntArray) -> list[str]:
    return [manifest.group_names[g] for g in np.unique(manifest.groups[indices]).tolist() if g >= 0]
