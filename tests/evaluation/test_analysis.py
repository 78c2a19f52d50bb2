"""What eval.json says beyond a validation: against scikit-learn called directly, and a case worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

import actrec_zoo
from actrec_zoo.evaluation.analysis import analyse
from actrec_zoo.evaluation.evaluator import EvalReport, Level
from actrec_zoo.evaluation.metrics import confusion, most_confused, per_class
from actrec_zoo.evaluation.predictions import Predictions
from tests.conftest import Outcome
from tests.evaluation.known import predictions_of, random_predictions

Invoke = Callable[..., Outcome]
NONE = Level(0, 0.0, 0.0, None)


def analysed(predictions: Predictions) -> dict[str, Any]:
    truth, predicted, labels = predictions.truth, predictions.predicted, predictions.labels
    n, used = len(truth), int(predictions.used.sum())
    rows, matrix = per_class(truth, predicted, labels), confusion(truth, predicted, len(labels))
    return analyse(predictions, EvalReport(labels=labels, n_expected=n, n_used=used, n_failed=n - used, failures=[],
        clip=NONE, video=NONE, per_class=rows, confusion=matrix))  # fmt: skip


BY_HAND = predictions_of(
    [
        [0.8, 0.1, 0.1],  # a, called a
        [0.3, 0.6, 0.1],  # a, called b
        [0.0, 0.0, 0.0],  # a, not read
        [0.2, 0.7, 0.1],  # b, called b
        [0.5, 0.4, 0.1],  # b, called a
    ],
    [0, 0, 0, 1, 1],
    unread=[2],
)
"""Class c has no video."""


def test_figures_worked_out_by_hand() -> None:
    found = analysed(BY_HAND)
    assert found["coverage"] == 4 / 5
    a, b, c = found["per_class"]
    assert (a["precision"], a["recall"], a["support"]) == (1 / 2, 1 / 3, 3)
    assert a["f1"] == pytest.approx(2 / 5), "2 * 1 hit of 3 videos and 2 answers"
    assert (b["precision"], b["recall"], b["f1"], b["support"]) == (1 / 2, 1 / 2, 1 / 2, 2)
    assert c["support"] == 0 and c["average_precision"] is None
    assert found["mean_class_accuracy"] == pytest.approx((1 / 3 + 1 / 2) / 2), "c is left out"
    assert found["macro_f1"] == pytest.approx((2 / 5 + 1 / 2) / 2)
    # By score for a: 0.8 (a), 0.5 (b), 0.3 (a), 0.2 (b). Recall rises by 1/3 at precision 1 and by 1/3 at 2/3; the
    # video that was not read is never reached. For b: 0.7 (b), 0.6 (a), 0.4 (b), 0.1 (a).
    assert a["average_precision"] == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert b["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found["mean_average_precision"] == pytest.approx((5 / 9 + 5 / 6) / 2)
    assert found["confused"] == [{"true": "a", "predicted": "b", "n": 1}, {"true": "b", "predicted": "a", "n": 1}]
    # Answers with 0.8 (right), 0.6 (wrong), 0.7 (right) and 0.5 (wrong), each in a bin of its own.
    assert found["calibration"]["ece"] == pytest.approx((0.2 + 0.6 + 0.3 + 0.5) / 4)
    assert sum(one["n"] for one in found["calibration"]["bins"]) == 4


@pytest.mark.parametrize("unread", [0, 40])
def test_figures_over_classes_are_those_of_scikit_learn(unread: int) -> None:
    predictions = random_predictions(300, 7, unread=unread)
    found, truth, predicted = analysed(predictions), predictions.truth, predictions.predicted
    known = {"labels": range(7), "zero_division": 0}
    assert found["mean_class_accuracy"] == pytest.approx(
        metrics.recall_score(truth, predicted, average="macro", **known)
    )
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro", **known))
    assert [row["f1"] for row in found["per_class"]] == pytest.approx(
        metrics.f1_score(truth, predicted, average=None, **known)
    )
    if not unread:
        assert found["mean_class_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
        scores = metrics.average_precision_score(np.eye(7)[truth], predictions.probabilities, average=None)
        assert [row["average_precision"] for row in found["per_class"]] == pytest.approx(scores)
        assert found["mean_average_precision"] == pytest.approx(scores.mean())


def test_nothing_read() -> None:
    unread = analysed(predictions_of([[0.5, 0.5]] * 3, [0, 1, 1], unread=[0, 1, 2]))
    assert (unread["coverage"], unread["mean_class_accuracy"], unread["macro_f1"]) == (0, 0, 0)
    assert unread["mean_average_precision"] == 0 and unread["calibration"]["ece"] is None
    assert unread["confused"] == [] and unread["intervals"]["video"]["top1"] is None, "three videos are too few"


def test_one_class_alone_cannot_be_ranked() -> None:
    found = analysed(predictions_of([[0.6, 0.4], [0.3, 0.7]], [0, 0]))
    assert found["mean_average_precision"] is None and found["per_class"][0]["average_precision"] is None


def test_pairs_are_ranked_by_how_often_they_are_confused() -> None:
    matrix = np.array([[9, 2, 0, 5], [3, 9, 2, 0], [0, 0, 9, 9]])
    found = [(pair["true"], pair["predicted"], pair["n"]) for pair in most_confused(matrix, "abc")]
    assert found == [("b", "a", 3), ("a", "b", 2), ("b", "c", 2)], "videos that were not read are not confused"
    many = most_confused(np.arange(10 * 11).reshape(10, 11), "abcdefghij")
    assert len(many) == 20 and [pair["n"] for pair in many[:2]] == [107, 106]


def test_eval_writes_and_prints_them(trained: Path, squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    done = invoke("eval", trained, "--data", squares, "--split", "all", "--out", tmp_path / "e", "--workers", "0")
    assert done.code == 0, done.err
    assert "video *" in done.out and "95 % intervals over 20 videos" in done.out
    for name in ("F1", "AP", "mean-class accuracy", "macro F1", "mAP", "ECE"):
        assert name in done.out
    assert "coverage" not in done.out, "every video was read"
    few = invoke("eval", trained, "--data", squares, "--out", tmp_path / "few", "--workers", "0")
    assert "2 videos are too few for intervals" in few.out
    report = actrec_zoo.evaluate(trained, squares, split="all", protocol="report", workers=0, out=tmp_path / "r")
    low, high = report["intervals"]["clip"]["top1"]
    assert low <= report["clip"]["top1"] <= high and high - low < 1
    assert report["mean_class_accuracy"] == pytest.approx(report["video"]["top1"]), "the classes are of one size"
