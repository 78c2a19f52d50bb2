"""Data in which some classes are rare: an order in which all are equally frequent, or how much each counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import IntArray


def balanced(classes: IntArray, draw: np.random.Generator) -> IntArray:
    """Clips in no order to rely on, as many as there are, of every class the same number, give or take one.

    Args:
        classes: int64[clips], the class of each clip.
        draw: chooses the clips that a class has one time more than others, and the classes that have one clip more.

    Returns:
        int64[clips]: index of a clip, plus the number of clips for each time that it was there before.
    """
    length = len(classes)
    if not length:
        return classes
    by_class = np.argsort(classes, kind="stable")
    _, first = np.unique(classes[by_class], return_index=True)
    quotas = np.full(len(first), length // len(first))
    quotas[draw.permutation(len(first))[: length % len(first)]] += 1
    groups = zip(np.split(by_class, first[1:]), quotas.tolist(), strict=True)
    return np.concatenate([_repeated(clips, quota, length, draw) for clips, quota in groups])


def _repeated(clips: IntArray, quota: int, length: int, draw: np.random.Generator) -> IntArray:
    """So many clips out of these, each as often as the others, give or take once."""
    times = np.arange(quota) // len(clips)
    return draw.permutation(clips)[np.arange(quota) % len(clips)] + times * length


def class_counts(classes: IntArray, number: int, mirrored: IntArray | None = None) -> NDArray[np.float64]:
    """Clips of each class, float64[K].

    Args:
        classes: int64[clips], the class of each clip.
        number: of classes, K.
        mirrored: int64[K], the class that a clip has half of the time, where clips are mirrored.
    """
    counts = np.bincount(classes, minlength=number).astype(np.float64)
    return counts if mirrored is None else (counts + counts[mirrored]) / 2


def class_weights(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much a clip of each class counts, float64[K]: in inverse proportion to the clips of its class, 1 on average.

    Args:
        counts: clips of each class; a class without any counts 0.
    """
    present = counts > 0
    weights = np.zeros_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
