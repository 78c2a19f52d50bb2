"""Splits that a data set states itself: a split column, or official lists of training and test videos."""

import logging
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from actrec_zoo.data.grouping import group_by
from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.data.splits import Splits, refuse_leaks
from actrec_zoo.errors import DataError

_log = logging.getLogger(__name__)


def stated_splits(manifest: Manifest, *, allow_leak: bool = False) -> Splits | None:
    """The splits that a data set states, those without a video left out; None where it states none.

    Args:
        manifest: the videos.
        allow_leak: whether two splits may share a source group, at the cost of a warning in the log.

    Raises:
        DataError: two of them do, and may not.
    """
    found = {name: np.flatnonzero(manifest.stated_splits == i) for i, name in enumerate(SPLIT_NAMES)}
    splits = {name: videos.astype(np.int64) for name, videos in found.items() if len(videos)}
    if not splits:
        return None
    refuse_leaks(manifest, splits, str(manifest.root), allow=allow_leak)
    outside = len(manifest) - sum(map(len, splits.values()))
    if outside:
        _log.info("%d videos are in none of the splits that the data set states, and are left out", outside)
    return splits


def with_validation(manifest: Manifest, splits: Splits, ratios: Sequence[float], seed: int) -> Splits:
    """Splits with a `val`, taken from `train` where there is none: official lists often have no part for it.

    Source groups, known or told by names, stay together, and every class keeps videos to train on.

    Args:
        manifest: the videos.
        splits: with `train`.
        ratios: shares of train, val and test; val gets ratios[1] of (ratios[0] + ratios[1]).
        seed: of the choice.

    Raises:
        DataError: there is nothing to train on, or a class has too few groups.
    """
    if "val" in splits or "train" not in splits:
        return splits
    val = _hold_out(group_by(manifest), splits["train"], ratios[1] / (ratios[0] + ratios[1]), seed)
    train = np.setdiff1d(splits["train"], val)
    _log.info("no validation split is stated: %d of %d training videos are it", len(val), len(splits["train"]))
    return {"train": train, "val": val, **{name: videos for name, videos in splits.items() if name != "train"}}


def _hold_out(manifest: Manifest, videos: IntArray, share: float, seed: int) -> IntArray:
    """A share of the videos of each class, at least one, in whole source groups."""
    labels = manifest.labels[videos]
    left = np.bincount(labels, minlength=len(manifest.classes))
    wanted = np.where(left > 0, np.maximum(1, np.round(left * share)), 0).astype(np.int64)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index in videos.tolist():
        group = int(manifest.groups[index])
        members[group if group >= 0 else -index - 1].append(index)
    # A bit generator's own numbers are the same in every release of numpy; its shuffles are not promised to be.
    keys = np.random.PCG64(seed).random_raw(len(members))
    groups = list(members)
    order = [groups[place] for place in np.argsort(keys, kind="stable").tolist()]
    chosen: list[int] = []
    for group in sorted(order, key=lambda group: len(members[group])):
        counts = np.bincount(manifest.labels[members[group]], minlength=len(left))
        of_group = counts > 0
        if (wanted[of_group] > 0).all() and (left > counts)[of_group].all():
            wanted, left = wanted - counts, left - counts
            chosen += members[group]
    lacking = set(labels.tolist()) - set(manifest.labels[chosen].tolist())
    if lacking:
        raise DataError(
            f"class {manifest.classes[min(lacking)]!r} has too few source groups to take validation videos from its "
            "training videos: give split files of your own with --splits"
        )
    return np.sort(np.array(chosen, dtype=np.int64))
