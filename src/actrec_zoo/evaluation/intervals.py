"""How sure a figure is: confidence intervals by bootstrap over the sources of videos.

Clips of one video, and videos of one film, are alike: to draw them one by one would promise more certainty than there
is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from actrec_zoo.data.manifest import IntArray

LEVEL = 0.95
RESAMPLES = 2000
_SEED = 0
_AT_ONCE = 1 << 22

Interval = tuple[float, float]


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, clusters: IntArray) -> Interval | None:
    """Interval of sum(numerators) / sum(denominators), drawn anew by cluster; None where there is one cluster alone.

    Args:
        numerators: of each video, float64[N]; hits, or a difference of two models' hits.
        denominators: of each video, float64[N]; what the hits are out of.
        clusters: the source of each video, int64[N], from 0.
    """
    above = np.bincount(clusters, np.asarray(numerators, dtype=np.float64))
    below = np.bincount(clusters, np.asarray(denominators, dtype=np.float64))
    above, below = above[below > 0], below[below > 0]
    if len(below) < 2:
        return None
    found = stats.bootstrap(
        (np.arange(len(below)),),
        lambda drawn, axis: above[drawn].sum(axis=axis) / below[drawn].sum(axis=axis),
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _AT_ONCE // len(below)),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
