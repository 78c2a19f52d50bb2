"""Precision-recall curves and average precision, with videos that could not be read."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from actrec_zoo.evaluation.curves import average_precisions, precision_recall_curves, steps
from tests.evaluation.known import predictions_of, random_predictions


def test_without_failures_they_are_those_of_scikit_learn() -> None:
    predictions = random_predictions(200, 4)
    curves, precisions = precision_recall_curves(predictions), average_precisions(predictions)
    for k, curve in enumerate(curves):
        true, scores = predictions.truth == k, predictions.probabilities[:, k]
        precision, recall, _ = precision_recall_curve(true, scores, drop_intermediate=True)
        assert curve is not None and np.array_equal(curve[0], precision) and np.array_equal(curve[1], recall)
        assert precisions[k] == pytest.approx(average_precision_score(true, scores))


def test_an_unread_video_is_a_miss_of_its_class_at_every_threshold() -> None:
    scores = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]
    read, unread = predictions_of(scores, [0, 0, 1, 1]), predictions_of(scores, [0, 0, 1, 1], unread=[1])
    (whole, other), (part, same) = precision_recall_curves(read), precision_recall_curves(unread)
    assert whole is not None and part is not None and other is not None and same is not None
    assert whole[1].max() == 1 and part[1].max() == 0.5
    assert average_precisions(unread)[0] == 0.5, "the video that was read is the first"
    assert average_precisions(read)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert same[1].max() == 1, "of the other class nothing is missed"


@pytest.mark.parametrize("most", [2, 10, 1000])
def test_areas_under_the_steps_are_the_average_precisions(most: int) -> None:
    predictions = random_predictions(150, 3, unread=30)
    for curve, average in zip(precision_recall_curves(predictions), average_precisions(predictions), strict=True):
        assert curve is not None
        precision, recall = steps(curve, most)
        assert len(recall) <= most and (np.diff(recall) > 0).all()
        assert (recall[0], recall[-1]) == (0, curve[1].max()) and 0 <= precision.min() <= precision.max() <= 1
        assert average == pytest.approx(np.sum(np.diff(recall) * precision[1:]))
    precision, recall = steps((np.ones(1), np.zeros(1)), most)
    assert precision.tolist() == [1] and recall.tolist() == [0]


def test_classes_without_videos_or_with_all_have_none() -> None:
    assert precision_recall_curves(predictions_of([[0.6, 0.4]] * 2, [0, 0])) == [None, None]
    found = predictions_of([[0.6, 0.4]] * 3, [0, 1, 1], unread=[0])
    first, second = precision_recall_curves(found)
    assert first is not None and first[0].tolist() == [1] and first[1].tolist() == [0]
    assert second is not None and average_precisions(found) == [0, 1]
