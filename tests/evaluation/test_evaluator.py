"""Figures from scores: every clip and video once, failed videos counted as wrong."""

import numpy as np
import pytest
import torch

from actrec_zoo.data.dataset import Failure
from actrec_zoo.evaluation.evaluator import VideoEvaluator
from actrec_zoo.evaluation.metrics import confusion, in_top_k, per_class

LABELS = ("a", "b", "c")


def evaluator(truth: list[int]) -> VideoEvaluator:
    """For videos with ids 10, 11, ..."""
    return VideoEvaluator(LABELS, np.arange(10, 10 + len(truth)), np.array(truth))


def add(target: VideoEvaluator, video: int, view: int, logits: list[float], label: int) -> None:
    target.update(
        torch.tensor([video]), torch.tensor([view]), torch.tensor([logits]), torch.tensor([label], dtype=torch.int64)
    )


def test_clip_and_video_level_differ_and_are_both_right() -> None:
    target = evaluator([0, 1])
    add(target, 10, 0, [4.0, 0.0, 0.0], 0)
    add(target, 10, 1, [0.0, 1.0, 0.0], 0)  # a wrong clip that the other one outweighs
    add(target, 11, 0, [0.0, 0.0, 2.0], 1)
    report = target.compute()
    assert (report.clip.n, report.video.n) == (3, 2)
    assert report.clip.top1 == pytest.approx(1 / 3) and report.video.top1 == pytest.approx(1 / 2)
    assert report.video.top5 == 1.0, "with three classes, five guesses are always right"
    scores = torch.tensor([[4.0, 0, 0], [0, 1.0, 0]]).double().softmax(1).mean(0)
    other = torch.tensor([0.0, 0, 2]).double().softmax(0)
    assert report.video.loss == pytest.approx(float(-(scores[0].log() + other[1].log()) / 2))
    assert report.confusion == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_clip_that_comes_twice_counts_once() -> None:
    once, twice = evaluator([0, 1]), evaluator([0, 1])
    for target, times in ((once, 1), (twice, 3)):
        add(target, 10, 0, [1.0, 0.0, 0.0], 0)
        for _ in range(times):
            add(target, 11, 0, [1.0, 0.0, 0.0], 1)
    assert once.compute() == twice.compute()


@pytest.mark.parametrize("fail_first", [True, False])
def test_a_failed_video_is_one_wrong_video_and_one_wrong_clip(fail_first: bool) -> None:
    target = evaluator([0, 1])
    add(target, 10, 0, [1.0, 0.0, 0.0], 0)
    failure = Failure(11, "b/clip", "cannot decode b/clip")
    if fail_first:
        target.fail(failure)
    add(target, 11, 0, [0.0, 1.0, 0.0], 1)
    target.fail(failure)
    report = target.compute()
    assert (report.n_expected, report.n_used, report.n_failed) == (2, 1, 1)
    assert report.failures == [{"path": "b/clip", "error": "cannot decode b/clip"}]
    assert report.clip.n == 2 and report.clip.top1 == 0.5 and report.clip.loss == pytest.approx(report.video.loss)
    assert report.video.n == 2 and report.video.top1 == 0.5
    assert report.confusion == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert report.per_class[1] == {"label": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}


def test_nothing_readable() -> None:
    target = evaluator([0])
    target.fail(Failure(10, "a/x", "broken"))
    report = target.compute()
    assert (report.clip.n, report.clip.top1, report.clip.loss) == (1, 0.0, None)
    assert report.video.top1 == 0.0 and report.video.loss is None


def test_a_video_without_numbers_fails() -> None:
    target = evaluator([0, 2, 2])
    add(target, 10, 0, [1.0, 0.0, 0.0], 0)
    add(target, 11, 0, [0.0, float("nan"), 0.0], 2)
    add(target, 12, 0, [0.0, 0.0, float("inf")], 2)
    target.fail_where_not_finite(["a/x", "c/y", "c/z"])
    report = target.compute()
    assert (report.n_used, report.n_failed, report.video.top1) == (1, 2, pytest.approx(1 / 3))
    assert [failure["path"] for failure in report.failures] == ["c/y", "c/z"]
    assert "NaN or infinite" in report.failures[0]["error"] and "--precision" in report.failures[0]["error"]
    assert report.video.loss is not None and np.isfinite(report.video.loss)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_order_of_failures_does_not_matter(order: tuple[int, ...]) -> None:
    target = evaluator([0, 1])
    failures = [Failure(11, "b/x", "frame 3"), Failure(10, "a/x", "broken"), Failure(11, "b/x", "frame 4")]
    for place in order:
        target.fail(failures[place])
    assert target.compute().failures == [{"path": "a/x", "error": "broken"}, {"path": "b/x", "error": "frame 3"}]


def test_the_order_of_clips_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(12, 3))
    keys = [(10 + i // 3, i % 3) for i in range(12)]
    reports = []
    for order in (np.arange(12), generator.permutation(12)):
        target = evaluator([0, 1, 2, 0])
        for i in order:
            add(target, *keys[i], logits[i].tolist(), [0, 1, 2, 0][keys[i][0] - 10])
        reports.append(target.compute())
    assert reports[0].confusion == reports[1].confusion
    assert reports[0].video.loss == pytest.approx(reports[1].video.loss, rel=1e-12)


def test_further_metrics_see_labels_and_probabilities() -> None:
    def mean_true_probability(labels: np.ndarray, probabilities: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(np.take_along_axis(probabilities, labels[:, None], 1).mean())

    target = VideoEvaluator(LABELS, np.array([10]), np.array([0]), {"confidence": mean_true_probability})
    add(target, 10, 0, [0.0, 0.0, 0.0], 0)
    assert target.compute().metrics == {"confidence": pytest.approx(1 / 3)}


def test_top_k_ranks_equal_scores_as_argmax_does() -> None:
    scores = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    labels = np.array([0, 1, 1, 2])
    assert in_top_k(scores, labels, 1).tolist() == (scores.argmax(axis=1) == labels).tolist()
    assert in_top_k(scores, labels, 2).tolist() == [True, True, True, False]
    assert in_top_k(scores, labels, 5).all()


def test_what_is_no_number_is_never_a_hit() -> None:
    scores = np.array([[np.nan, np.nan, np.nan], [np.nan, 2.0, 1.0], [np.nan, 2.0, 1.0]])
    labels = np.array([0, 0, 1])
    assert in_top_k(scores, labels, 1).tolist() == [False, False, False]
    assert in_top_k(scores, labels, 5).tolist() == [False, False, True]


def test_per_class_figures_and_confusion() -> None:
    true, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3])
    rows = per_class(true, predicted, LABELS)
    assert [row["precision"] for row in rows] == [1.0, 0.5, 0.0]
    assert [row["recall"] for row in rows] == [0.5, 1.0, 0.0]
    assert [row["support"] for row in rows] == [2, 1, 1]
    assert confusion(true, predicted, 3) == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
