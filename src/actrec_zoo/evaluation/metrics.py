"""Metrics from the gathered scores, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

TOP_K = 5
MOST_CONFUSED = 20


def in_top_k(scores: NDArray[Any], labels: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Whether the true class is among the `k` highest scores, bool[N]; with fewer classes than `k`, always.

    Equal scores rank by class index, as in `argmax`, so that top-1 and the confusion matrix agree; a score that is
    no number is never among them.
    """
    hit: NDArray[np.bool_] = rank_of_truth(scores, labels) <= min(k, scores.shape[1])
    return hit


def rank_of_truth(scores: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the true class among the scores of each row, from 1, int64[N]; equal scores rank by class index.

    Where its score is NaN, its place is after the last.
    """
    true = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores == true) & (np.arange(scores.shape[1]) < labels[:, None])
    ranks: NDArray[np.int64] = 1 + (~(scores <= true)).sum(axis=1) + before.sum(axis=1)
    return ranks


def per_class(true: NDArray[np.int64], predicted: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class; 0 where there is nothing to divide by.

    Args:
        true: class indices, int64[N].
        predicted: class indices; `len(labels)` for a video that failed, which is a miss for its class.
        labels: class names.
    """
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=range(len(labels)), zero_division=0
    )
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for label, p, r, f, s in zip(labels, precision, recall, f1, support, strict=True)
    ]


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> list[list[int]]:
    """Counts, rows true, columns predicted, and a last column for failed videos."""
    matrix = confusion_matrix(true, predicted, labels=range(classes + 1))
    counts: list[list[int]] = matrix[:classes].tolist()
    return counts


def most_confused(matrix: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs of classes that are taken for each other most often, at most 20; equal ones by class index.

    Args:
        matrix: what `confusion` gives.
        labels: class names, K.
    """
    wrong = matrix[:, : len(labels)] * (1 - np.eye(len(labels), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = np.stack(np.unravel_index(order, wrong.shape), axis=1).tolist()
    return [{"true": labels[t], "predicted": labels[p], "n": int(wrong[t, p])} for t, p in pairs if wrong[t, p]]


def mean_where(counted: Sequence[bool], values: Sequence[float | None]) -> float | None:
    """The mean of the values that count; None where none does."""
    chosen = [value for value, counts in zip(values, counted, strict=True) if counts and value is not None]
    return float(np.mean(chosen)) if chosen else None
