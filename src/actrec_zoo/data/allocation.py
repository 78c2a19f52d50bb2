"""Divides videos into splits or folds: by video, stratified by class, grouped by source."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.data.splits import Splits
from actrec_zoo.errors import DataError

_ADVICE = "Add videos, or make the split files yourself and give them with --splits"
_FEWEST_FOLDS = 3


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
    shares = np.asarray(ratios, dtype=float)
    if len(shares) != len(SPLIT_NAMES) or not (np.isfinite(shares) & (shares > 0)).all():
        raise DataError(f"split ratios must be three positive numbers, not {list(ratios)}")
    _require_videos(manifest, len(SPLIT_NAMES), "split into train, val and test")
    part = _allocate(manifest, _shares_of(_class_sizes(manifest), shares / shares.sum()), seed)
    splits = {name: np.flatnonzero(part == number) for number, name in enumerate(SPLIT_NAMES)}
    for name, videos in splits.items():
        _require_every_class(manifest, videos, "be in train, val and test", name)
    return splits


def make_folds(manifest: Manifest, count: int, seed: int = 0) -> list[Splits]:
    """Divide videos into folds of equal size, and make splits of each: each video is tested exactly once.

    Fold i is the test split of the i-th splits, fold i + 1 (the first after the last) their val, the rest their train.

    Args:
        manifest: videos with their labels and groups.
        count: of folds, at least three.
        seed: of the random order; the same manifest and seed give the same folds everywhere.

    Raises:
        DataError: there are fewer than three folds, or a class cannot be in each.
    """
    if count < _FEWEST_FOLDS:
        raise DataError(f"{count} folds are too few: test, val and train need one each")
    _require_videos(manifest, count, f"be in each of {count} folds")
    part = _allocate(manifest, _equal_shares(_class_sizes(manifest), count), seed)
    folds = [np.flatnonzero(part == number) for number in range(count)]
    for number, videos in enumerate(folds, start=1):
        _require_every_class(manifest, videos, f"be in each of {count} folds", f"fold {number}")
    return [_splits_of_fold(part, number, count) for number in range(count)]


def _allocate(manifest: Manifest, wanted: IntArray, seed: int) -> IntArray:
    """The part of each video, int64[N], given how many videos of each class a part wants, int64[part, class].

    Groups of several videos are placed one after the other, then all others in one step a class.
    """
    # A bit generator's own numbers are the same in every release of numpy; its shuffles are not promised to be.
    keys = np.random.PCG64(seed).random_raw(len(manifest))
    sizes = np.bincount(manifest.groups[manifest.groups >= 0], minlength=1)
    is_alone = (manifest.groups < 0) | (sizes[manifest.groups] == 1)
    part = np.full(len(manifest), -1, dtype=np.int64)
    alone, others = np.flatnonzero(is_alone), np.flatnonzero(~is_alone)
    room = wanted.copy()
    if len(others):
        groups = _gather(manifest, others, keys)
        placed = _place_groups(groups, wanted, np.bincount(manifest.labels[alone], minlength=wanted.shape[1]))
        part[others] = placed[manifest.groups[others]]
        np.subtract.at(room, (part[others], manifest.labels[others]), 1)
    alone = alone[np.lexsort((keys[alone], manifest.labels[alone]))]
    ends = np.searchsorted(manifest.labels[alone], np.arange(wanted.shape[1] + 1)).tolist()
    for label, (start, end) in enumerate(itertools.pairwise(ends)):
        part[alone[start:end]] = _places(room[:, label], wanted[:, label], end - start)
    return part


def _gather(manifest: Manifest, videos: IntArray, keys: NDArray[np.uint64]) -> dict[int, dict[int, int]]:
    """How many of `videos` each group has of each class: largest groups first, in the order of `keys` where equal."""
    groups, first, sizes = np.unique(manifest.groups[videos], return_index=True, return_counts=True)
    order = np.lexsort((keys[videos[first]], -sizes))
    found: dict[int, dict[int, int]] = {group: {} for group in groups[order].tolist()}
    cells = manifest.groups[videos].astype(np.int64) * len(manifest.classes) + manifest.labels[videos]
    cells, counts = np.unique(cells, return_counts=True)
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        group, label = divmod(cell, len(manifest.classes))
        found[group][label] = count
    return found


def _place_groups(groups: Mapping[int, Mapping[int, int]], wanted: IntArray, alone: IntArray) -> IntArray:
    """The part of each group, int64[group]; `alone` are the videos of each class that are placed afterwards."""
    aims, rooms = wanted.tolist(), wanted.tolist()
    lacking = [len(aims)] * len(alone)
    left = (
        alone + np.bincount([label for counts in groups.values() for label in counts], minlength=len(alone))
    ).tolist()
    placed = np.full(max(groups) + 1, -1, dtype=np.int64)
    for group, counts in groups.items():
        ranks = [_rank(counts, aim, room, left, lacking) for aim, room in zip(aims, rooms, strict=True)]
        part = ranks.index(max(ranks))
        for label, count in counts.items():
            lacking[label] -= rooms[part][label] == aims[part][label]
            rooms[part][label] -= count
            left[label] -= 1
        placed[group] = part
    return placed


def _rank(
    counts: Mapping[int, int], aim: Sequence[int], room: Sequence[int], left: Sequence[int], lacking: Sequence[int]
) -> tuple[int, float]:
    """How well a group fits a part: for how many classes it is one of the last that the part can get, and the gain.

    The gain is what is removed of the error (aim - placed)^2, relative to the aim, so that large groups do not flood
    small parts.
    """
    urgent = sum(room[label] == aim[label] and left[label] <= lacking[label] for label in counts)
    gain = sum(count * (2 * room[label] - count) / aim[label] for label, count in counts.items())
    return urgent, gain


def _places(room: IntArray, wanted: IntArray, count: int) -> IntArray:
    """Parts for `count` single videos of a class, int64[count]: those of the most gain; a part without any comes first.

    The k-th video that a part gets removes (2 (room - k) - 1) / wanted of the error.
    """
    taken = np.arange(count)
    gains = (2 * (room[:, None] - taken) - 1) / wanted[:, None]
    gains[(room == wanted), :1] = np.inf
    best = np.argsort(-gains, axis=None, kind="stable")[:count]
    return best // max(count, 1)


def _class_sizes(manifest: Manifest) -> IntArray:
    return np.bincount(manifest.labels, minlength=len(manifest.classes))


def _shares_of(sizes: IntArray, shares: NDArray[np.float64]) -> IntArray:
    """Videos wanted, int64[part, class]: rounded shares of all parts but the first, which has the rest; one each."""
    columns = []
    for size in sizes.tolist():
        held_out = [max(1, math.floor(size * share + 0.5)) for share in shares[1:].tolist()]
        while sum(held_out) >= size:
            held_out[held_out.index(max(held_out))] -= 1
        columns.append([size - sum(held_out), *held_out])
    return np.array(columns, dtype=np.int64).T


def _equal_shares(sizes: IntArray, parts: int) -> IntArray:
    """Videos wanted, int64[part, class]: a class's surplus goes on where that of the class before it ended."""
    before = np.cumsum(sizes) - sizes
    turn = (np.arange(parts)[:, None] - before) % parts
    return sizes // parts + (turn < sizes % parts)


def _splits_of_fold(part: IntArray, number: int, count: int) -> Splits:
    test, val = part == number, part == (number + 1) % count
    return {"train": np.flatnonzero(~(test | val)), "val": np.flatnonzero(val), "test": np.flatnonzero(test)}


def _require_videos(manifest: Manifest, fewest: int, aim: str) -> None:
    for name, count in zip(manifest.classes, _class_sizes(manifest).tolist(), strict=True):
        if count < fewest:
            raise DataError(f"class {name!r} has {count} videos, too few to {aim}: {_ADVICE[0].lower()}{_ADVICE[1:]}")


def _require_every_class(manifest: Manifest, videos: IntArray, aim: str, part: str) -> None:
    missing = np.setdiff1d(np.arange(len(manifest.classes)), manifest.labels[videos])
    if len(missing):
        name = manifest.classes[int(missing[0])]
        raise DataError(f"class {name!r} has too few source groups to {aim}: no video is left for {part}. {_ADVICE}")
