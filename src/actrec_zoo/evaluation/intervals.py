"""How sure a figure is: confidence intervals by bootstrap over the sources of videos.

Clips of one video, and videos of one film, are alike: to draw them one by one would promise more certainty than there
is. So whole sources are drawn, and every figure is computed anew from the sums over what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.evaluation.metrics import TOP_K
from actrec_zoo.evaluation.predictions import Predictions, Videos

LEVEL = 0.95
RESAMPLES = 2000
FEWEST = 5
"""Sources that it takes: less than 95 % of all means lie between the least and the greatest of four values."""

_SEED = 0
_AT_ONCE = 1 << 20
"""Numbers in an array of resamples."""

Array = NDArray[np.float64]
Interval = tuple[float, float]
Figures = Callable[[Array], Array]
"""Sums over the videos of each resample, float64[B, F], to M figures of each, float64[M, B]."""


def bootstrap_intervals(
    values: sparse.csr_array, clusters: IntArray, figures: Figures, *, lowest: float = 0.0
) -> list[Interval | None]:
    """Percentile intervals of figures that follow from sums over videos; the same ones at every call.

    Two things keep a few sources from promising too much. The percentiles lie further out, as in Hesterberg's expanded
    interval: by what Student's t is wider than the normal distribution, and by the root of n / (n - 1). And where all
    resamples agree, which would make an interval of no width, the share of sources that are unlike those seen is
    bounded instead, as Clopper and Pearson do it, and those may have any value: with all of n sources right, the
    interval is [0.025 ** (1 / n), 1].

    Args:
        values: what is summed, float64[N, F].
        clusters: the source of each video, int64[N], from 0.
        figures: of the sums.
        lowest: the smallest value that a figure can have; the largest is 1.

    Returns:
        One interval a figure; None where there are fewer than five sources.
    """
    measured = figures(values.sum(axis=0).reshape(1, -1))[:, 0]
    units = _number_of(clusters)
    if units < FEWEST:
        return [None] * len(measured)
    ones, rows = np.ones(len(clusters)), np.arange(len(clusters))
    by_unit = (sparse.csr_array((ones, (clusters, rows)), shape=(units, len(clusters))) @ values).tocsr()

    def resampled(drawn: IntArray, axis: int) -> Array:
        places = drawn + units * np.arange(len(drawn))[:, None]
        times = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return figures(times @ by_unit)

    found = stats.bootstrap(
        (np.arange(units),),
        resampled,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _AT_ONCE // max(units, values.shape[1])),
        confidence_level=_expanded_level(units),
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    agree = np.ptp(found.bootstrap_distribution, axis=-1) == 0
    ends = np.stack([found.confidence_interval.low, found.confidence_interval.high], axis=-1)
    return [
        _where_all_agree(float(value), units, lowest) if same else (float(low), float(high))
        for value, same, (low, high) in zip(measured, agree, ends, strict=True)
    ]


def ratio_interval(
    numerators: ArrayLike, denominators: ArrayLike, clusters: IntArray, *, lowest: float = 0.0
) -> Interval | None:
    """Interval of sum(numerators) / sum(denominators); None where fewer than five sources have a denominator.

    Args:
        numerators: of each video, float64[N]; such as hits.
        denominators: of each video, float64[N]; what the hits are out of.
        clusters: the source of each video, int64[N], from 0.
        lowest: the smallest value that the ratio can have; the largest is 1.
    """
    return _ratio_intervals(np.asarray(numerators)[:, None], denominators, clusters, lowest)[0]


def difference_interval(first: ArrayLike, second: ArrayLike, counts: ArrayLike, clusters: IntArray) -> Interval | None:
    """Interval of a paired difference, (sum(second) - sum(first)) / sum(counts), -1..1.

    Both are of the same videos: what makes a video hard for both does not widen the interval.

    Args:
        first: hits in each video, float64[N].
        second: hits in the same videos.
        counts: what the hits are out of, float64[N]: ones for videos, or the clips of each.
        clusters: the source of each video, int64[N], from 0.
    """
    gains = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return ratio_interval(gains, counts, clusters, lowest=-1.0)


def units_of(videos: Videos) -> dict[str, Any]:
    """What intervals are drawn from, as eval.json has it."""
    grouped = bool((videos.groups.lengths() > 0).any())
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "units": "source groups" if grouped else "videos",
        "n_units": _number_of(videos.clusters),
    }


def intervals_of(predictions: Predictions) -> dict[str, Any]:
    """The intervals that eval.json has: over source groups, or over videos where no group is known.

    Args:
        predictions: of a model.
    """
    clusters = predictions.videos.clusters
    by_clip = _ratio_intervals(predictions.clip_sums[:, :2], predictions.counted_clips, clusters)
    by_video = bootstrap_intervals(_video_counts(predictions), clusters, _video_figures)
    if len(predictions.labels) <= TOP_K:  # the true class is always among so few: nothing to be unsure of
        by_clip, by_video = ([top1, None, *others] for top1, _, *others in (by_clip, by_video))
    return {
        **units_of(predictions.videos),
        "clip": _named(("top1", "top5"), by_clip),
        "video": _named(("top1", "top5", "mean_class_accuracy", "macro_f1"), by_video),
    }


def _ratio_intervals(
    numerators: NDArray[Any], denominators: ArrayLike, clusters: IntArray, lowest: float = 0.0
) -> list[Interval | None]:
    """Intervals of several ratios to the same denominators; of the numerators, [N, M]."""
    below = np.asarray(denominators, dtype=np.float64)
    counted = below > 0
    values = sparse.csr_array(np.column_stack([numerators[counted], below[counted]]))
    present = np.unique(clusters[counted], return_inverse=True)[1]
    return bootstrap_intervals(values, present, lambda sums: _ratio(sums[:, :-1].T, sums[:, -1]), lowest=lowest)


def _video_counts(predictions: Predictions) -> sparse.csr_array:
    """Of each video, float64[N, 1 + 3 K]: whether its class is among the five highest; then by class, whether it is
    of it, whether it is and was called so, and whether it was called so."""
    shape = (len(predictions.truth), len(predictions.labels))
    right = predictions.predicted == predictions.truth

    def counts(classes: IntArray, counted: NDArray[np.bool_]) -> sparse.csr_array:
        rows = np.flatnonzero(counted)
        return sparse.csr_array((np.ones(len(rows)), (rows, classes[rows])), shape=shape)

    top5 = sparse.csr_array((predictions.used & (predictions.ranks <= TOP_K)).astype(np.float64)[:, None])
    of_class = counts(predictions.truth, np.ones_like(right))
    called = counts(predictions.predicted, predictions.used)
    return sparse.hstack([top5, of_class, counts(predictions.truth, right), called], format="csr")


def _video_figures(sums: Array) -> Array:
    """Top-1, top-5, mean-class accuracy and macro F1, over the classes that were drawn, of `_video_counts`."""
    top5 = sums[:, 0]
    support, hits, called = np.split(sums[:, 1:], 3, axis=1)
    n, present = support.sum(axis=1), (support > 0).sum(axis=1)
    recalls = _ratio(hits, support).sum(axis=1)
    f1 = (_ratio(2 * hits, support + called) * (support > 0)).sum(axis=1)
    return np.stack([_ratio(hits.sum(axis=1), n), _ratio(top5, n), _ratio(recalls, present), _ratio(f1, present)])


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Array:
    """Above / below; 0 where nothing is below."""
    ratio: Array = np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
    return ratio


def _expanded_level(units: int) -> float:
    """The level whose percentiles are those of the expanded interval of `LEVEL`."""
    quantile = stats.t.ppf((1 + LEVEL) / 2, units - 1) * np.sqrt(units / (units - 1))
    return float(1 - 2 * stats.norm.sf(quantile))


def _where_all_agree(value: float, units: int, lowest: float) -> Interval:
    """The interval of a figure that is the same however the sources are drawn."""
    unlike = float(stats.binomtest(0, units).proportion_ci(LEVEL, method="exact").high)
    return value - unlike * (value - lowest), value + unlike * (1 - value)


def _named(names: Sequence[str], intervals: Sequence[Interval | None]) -> dict[str, list[float] | None]:
    return {name: interval and list(interval) for name, interval in zip(names, intervals, strict=True)}


def _number_of(clusters: IntArray) -> int:
    return int(clusters.max()) + 1 if len(clusters) else 0
