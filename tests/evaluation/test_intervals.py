"""Intervals: how often they hold the truth, what widens them, and what they are when everything agrees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation import intervals
from actrec_zoo.evaluation.intervals import Interval, difference_interval, intervals_of, ratio_interval
from actrec_zoo.evaluation.predictions import Predictions, Videos
from tests.evaluation.known import predictions_of, random_predictions


def width(interval: Interval | None) -> float:
    assert interval is not None
    return interval[1] - interval[0]


def held(rng: np.random.Generator, *, sources: int, trials: int, by_source: bool) -> float:
    """How often the interval of simulated hits holds the accuracy, where some sources are easy and others hard."""
    of_video, mean, count = np.repeat(np.arange(sources), 6), 0.7, 0
    clusters = of_video if by_source else np.arange(len(of_video))
    for _ in range(trials):
        easy = rng.beta(mean * 2, (1 - mean) * 2, size=sources)
        hits = rng.uniform(size=len(of_video)) < easy[of_video]
        low, high = ratio_interval(hits, np.ones(len(hits)), clusters) or (1, 0)
        count += low <= mean <= high
    return count / trials


@pytest.mark.parametrize("sources", [8, 20])
def test_of_a_hundred_intervals_95_hold_the_truth(sources: int) -> None:
    assert 0.91 <= held(np.random.default_rng(0), sources=sources, trials=200, by_source=True) <= 0.99


def test_videos_of_one_source_drawn_one_by_one_promise_too_much() -> None:
    assert held(np.random.default_rng(0), sources=20, trials=60, by_source=False) < 0.87


def test_sources_widen_the_interval() -> None:
    clusters = np.repeat(np.arange(20), 10)
    hits = (clusters % 2 == 0).astype(float)  # all of a source, or nothing of it
    by_source = ratio_interval(hits, np.ones(200), clusters)
    by_video = ratio_interval(hits, np.ones(200), np.arange(200))
    assert width(by_source) > 2.5 * width(by_video)


def test_many_sources_give_the_interval_of_the_textbook() -> None:
    hits = np.arange(2000) < 1500
    low, high = ratio_interval(hits, np.ones(2000), np.arange(2000)) or (0, 0)
    error = 1.96 * np.sqrt(0.75 * 0.25 / 2000)
    assert (low, high) == pytest.approx((0.75 - error, 0.75 + error), abs=0.002)


@pytest.mark.parametrize("groups", [0, 12])
def test_the_same_videos_have_the_same_intervals_in_any_order(groups: int) -> None:
    predictions = random_predictions(80, 4, unread=5, groups=groups)
    found = intervals_of(predictions)
    assert intervals_of(random_predictions(80, 4, unread=5, groups=groups)) == found
    assert found["units"] == ("source groups" if groups else "videos")
    order = np.random.default_rng(1).permutation(80)
    names, known = predictions.videos.names.take(order), predictions.videos.groups.take(order)
    videos = Videos(predictions.labels, PackedStrings(names), PackedStrings(known), predictions.truth[order])
    turned = Predictions(
        videos, predictions.probabilities[order], predictions.clips[order], predictions.clip_sums[order], {}
    )
    assert intervals_of(turned) == found


def test_a_resample_has_the_figures_of_scikit_learn() -> None:
    predictions = random_predictions(120, 7, unread=10)
    times = np.random.default_rng(9).integers(4, size=120)
    times[predictions.truth == 3] = 0  # a class that is not drawn
    sums = (times @ intervals._video_counts(predictions))[None]
    top1, top5, accuracy, f1 = intervals._video_figures(sums)[:, 0]
    truth, predicted = predictions.truth, predictions.predicted
    known = {"labels": [0, 1, 2, 4, 5, 6], "average": "macro", "sample_weight": times, "zero_division": 0}
    assert top1 == pytest.approx(metrics.accuracy_score(truth, predicted, sample_weight=times))
    assert accuracy == pytest.approx(metrics.recall_score(truth, predicted, **known))
    assert f1 == pytest.approx(metrics.f1_score(truth, predicted, **known))
    assert top5 == pytest.approx(np.average(predictions.used & (predictions.ranks <= 5), weights=times))


def test_figures_are_inside_their_intervals() -> None:
    predictions = random_predictions(200, 6, unread=20)
    found = intervals_of(predictions)
    truth, predicted = predictions.truth, predictions.predicted
    figures = {
        "top1": (truth == predicted).mean(),
        "top5": (predictions.used & (predictions.ranks <= 5)).mean(),
        "mean_class_accuracy": metrics.recall_score(truth, predicted, labels=range(6), average="macro"),
        "macro_f1": metrics.f1_score(truth, predicted, labels=range(6), average="macro"),
    }
    assert found["video"].keys() == figures.keys()
    for name, figure in figures.items():
        low, high = found["video"][name]
        assert low < figure < high and high - low < 0.2, name
    assert found["clip"]["top1"] == found["video"]["top1"], "each has one clip, also where it was not read"


def test_unread_videos_are_not_in_the_top_five() -> None:
    predictions = predictions_of(np.full((20, 6), 1 / 6), [0] * 20, unread=range(10))
    assert intervals_of(predictions)["video"]["top5"][1] < 0.9


def test_the_top_five_of_five_classes_have_no_interval() -> None:
    found = intervals_of(predictions_of(np.full((20, 5), 0.2), [0] * 20, unread=range(10)))
    assert found["video"]["top5"] is None and found["clip"]["top5"] is None and found["video"]["top1"] is not None


def test_where_all_agree_the_interval_is_that_of_clopper_and_pearson() -> None:
    ones = np.ones(40)
    clusters = np.repeat(np.arange(20), 2)
    exact = stats.binomtest(20, 20).proportion_ci(0.95, method="exact")
    assert ratio_interval(ones, ones, clusters) == pytest.approx((exact.low, 1))
    assert ratio_interval(0 * ones, ones, clusters) == pytest.approx((0, 1 - exact.low))
    half = np.tile([0.0, 1.0], 20)
    assert ratio_interval(half, ones, clusters) == pytest.approx((exact.low / 2, 1 - exact.low / 2))
    assert difference_interval(half, half, ones, clusters) == pytest.approx((exact.low - 1, 1 - exact.low))
    perfect = intervals_of(predictions_of(np.eye(8)[np.arange(40) % 8], np.arange(40) % 8))["video"]
    assert all(interval == pytest.approx([0.025 ** (1 / 40), 1]) for interval in perfect.values())


def test_fewer_than_five_sources_have_none() -> None:
    hits = np.array([1.0, 0, 1, 0, 1])
    assert ratio_interval(hits[:4], np.ones(4), np.arange(4)) is None
    assert ratio_interval(hits, np.ones(5), np.array([0, 1, 2, 3, 3])) is None
    assert ratio_interval(hits, np.ones(5), np.arange(5)) is not None
    assert ratio_interval(hits, np.array([1.0, 1, 1, 1, 0]), np.arange(5)) is None, "a source without clips"


def test_a_paired_difference_is_surer_than_two_figures() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(size=300) < 0.7
    second = first | (rng.uniform(size=300) < 0.1)
    videos, ones = np.arange(300), np.ones(300)
    low, high = difference_interval(first, second, ones, videos) or (0, 0)
    assert 0 < low < second.mean() - first.mean() < high
    assert high - low < width(ratio_interval(first, ones, videos)) / 1.5
    assert difference_interval(second, first, ones, videos) == pytest.approx((-high, -low))
