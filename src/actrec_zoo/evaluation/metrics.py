"""Metrics from the gathered scores, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_curve, precision_recall_fscore_support

if TYPE_CHECKING:
    from actrec_zoo.evaluation.predictions import Predictions

TOP_K = 5

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Precision and recall, float64[P] each."""


def in_top_k(scores: NDArray[Any], labels: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Whether the true class is among the `k` highest scores, bool[N]; with fewer classes than `k`, always.

    Equal scores rank by class index, as in `argmax`, so that top-1 and the confusion matrix agree.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hit: NDArray[np.bool_] = (best == labels[:, None]).any(axis=1)
    return hit


def rank_of_truth(scores: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the true class among the scores of each row, from 1, int64[N]; equal scores rank by class index."""
    true = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores == true) & (np.arange(scores.shape[1]) < labels[:, None])
    ranks: NDArray[np.int64] = 1 + (scores > true).sum(axis=1) + before.sum(axis=1)
    return ranks


def per_class(true: NDArray[np.int64], predicted: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and support of each class.

    Args:
        true: class indices, int64[N].
        predicted: class indices; `len(labels)` for a video that failed, which is a miss for its class.
        labels: class names.
    """
    precision, recall, _, support = precision_recall_fscore_support(
        true, predicted, labels=range(len(labels)), zero_division=0
    )
    return [
        {"label": label, "precision": float(p), "recall": float(r), "support": int(s)}
        for label, p, r, s in zip(labels, precision, recall, support, strict=True)
    ]


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> list[list[int]]:
    """Counts, rows true, columns predicted, and a last column for failed videos."""
    matrix = confusion_matrix(true, predicted, labels=range(classes + 1))
    counts: list[list[int]] = matrix[:classes].tolist()
    return counts


def precision_recall_curves(predictions: Predictions) -> list[Curve | None]:
    """Precision and recall of each class at every threshold of its probability; None for a class without videos.

    Args:
        predictions: of a model; a video that could not be read has the probability 0.
    """
    return [
        precision_recall_curve(predictions.truth == label, predictions.probabilities[:, label])[:2]
        if (predictions.truth == label).any()
        else None
        for label in range(len(predictions.labels))
    ]
