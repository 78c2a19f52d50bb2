"""How well each class is told from all others at every threshold: precision-recall curves and average precision.

A video that could not be read is a miss of its class at every threshold: recall ends at the share of the class that was
read, and the average precision is that of the read videos times this share.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.evaluation.predictions import Predictions

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Precision and recall, float64[P] each, as the threshold rises: the last point is precision 1 at recall 0."""


def precision_recall_curves(predictions: Predictions) -> list[Curve | None]:
    """The precision-recall curve of each class; None where a class has no video, or all of them.

    A class of which no video could be read has the last point alone.
    """
    return [None if share is None else _curve(true, scores, share) for true, scores, share in _classes(predictions)]


def average_precisions(predictions: Predictions) -> list[float | None]:
    """The average precision of each class, 0..1; None where a class has no video, or all of them."""
    return [
        None if share is None else share * float(average_precision_score(true, scores)) if share else 0.0
        for true, scores, share in _classes(predictions)
    ]


def steps(curve: Curve, most: int) -> Curve:
    """The corners of a curve that is drawn as steps, whose area is the average precision: precision and recall, which
    rises. Between two corners precision is that of the second.

    Args:
        curve: of a class.
        most: how many corners. Where there are more, several steps become one of their mean precision, so that the
            area stays.
    """
    recall, first = np.unique(curve[1][::-1], return_index=True)
    precision = curve[0][::-1][first]
    if len(recall) <= most:
        return precision, recall
    area = np.concatenate([[0], np.cumsum(np.diff(recall) * precision[1:])])
    places = spread(len(recall), most)
    means = np.diff(area[places]) / np.diff(recall[places])
    return np.concatenate([precision[:1], means]), recall[places]


def spread(length: int, most: int) -> IntArray:
    """At most so many places, evenly spread from the first to the last, int64[<= most]."""
    places: IntArray = np.unique(np.linspace(0, max(0, length - 1), min(length, most)).round().astype(np.int64))
    return places


def _curve(true: NDArray[np.bool_], scores: NDArray[np.float64], share: float) -> Curve:
    if not share:
        return np.ones(1), np.zeros(1)
    precision, recall, _ = precision_recall_curve(true, scores, drop_intermediate=True)
    return precision, share * recall


def _classes(
    predictions: Predictions,
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64], float | None]]:
    """For each class whether the videos that were read are of it, their scores, and the share of the class that was
    read; None where the class has no video, or all of them."""
    used, truth, classes = predictions.used, predictions.truth, len(predictions.labels)
    scores = predictions.probabilities[used]
    support, read = (np.bincount(some, minlength=classes).tolist() for some in (truth, truth[used]))
    for k in range(classes):
        share = read[k] / support[k] if 0 < support[k] < len(truth) else None
        yield truth[used] == k, scores[:, k], share
