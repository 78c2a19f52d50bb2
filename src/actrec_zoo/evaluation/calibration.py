"""Whether a model is right as often as it is sure: expected calibration error and the bins of a reliability curve."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence is in (low, high].

    Attributes:
        low: end of the bin.
        high: its other end.
        n: how many answers.
        confidence: their mean; None where there are none.
        accuracy: share of them that is right; None where there are none.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How confidence and accuracy go together.

    Attributes:
        ece: mean over all answers of the distance between confidence and accuracy of their bin, 0..1; None without
            answers.
        bins: of equal width, from 0 to 1.
    """

    ece: float | None
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """As eval.json has it."""
        return {"ece": self.ece, "bins": [asdict(one) for one in self.bins]}


def calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    """Calibration over 15 bins of equal width, in which 0 belongs to the first, as in scikit-learn.

    Args:
        confidence: probability of the class that was answered, float64[N].
        right: whether it is the true one, bool[N].
    """
    edges = np.linspace(0, 1, BINS + 1)
    places = np.searchsorted(edges[1:-1], confidence)
    n = np.bincount(places, minlength=BINS)
    sure, hits = (np.bincount(places, weights, BINS) for weights in (confidence, right.astype(np.float64)))
    bins = tuple(
        Bin(low, high, count, s / count if count else None, h / count if count else None)
        for low, high, count, s, h in zip(
            *(values.tolist() for values in (edges[:-1], edges[1:], n, sure, hits)), strict=True
        )
    )
    return Calibration(float(np.abs(sure - hits).sum() / len(right)) if len(right) else None, bins)
