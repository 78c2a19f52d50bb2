"""Rare classes: an order in which they are as frequent as others, and how much they count."""

import numpy as np
import pytest

from actrec_zoo.data.balance import balanced, class_counts, class_weights

CLASSES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 5], [60, 30, 7, 3]))


@pytest.mark.parametrize("seed", range(3))
def test_every_class_has_the_same_number_of_clips_and_its_clips_the_same_number_of_times(seed: int) -> None:
    chosen = balanced(CLASSES, np.random.default_rng(seed))
    assert len(chosen) == 100 and len(set(chosen.tolist())) == 100
    clips = chosen % 100
    assert np.bincount(CLASSES[clips]).tolist() == [25, 25, 25, 0, 0, 25]
    for number in (0, 1, 2, 5):
        times = np.bincount(clips, minlength=100)[np.flatnonzero(number == CLASSES)]
        assert times.max() - times.min() <= 1


def test_a_repeat_is_numbered_by_how_often_the_clip_was_there_before() -> None:
    chosen = balanced(CLASSES, np.random.default_rng(0))
    for clip in np.flatnonzero(CLASSES == 5):
        repeats = sorted(chosen[chosen % 100 == clip] // 100)
        assert repeats == list(range(len(repeats))) and len(repeats) >= 8


def test_other_clips_of_a_large_class_and_other_classes_have_one_more_in_other_epochs() -> None:
    draws = [balanced(CLASSES[:99], np.random.default_rng(seed)) for seed in range(20)]
    large = {tuple(sorted(clip for clip in chosen.tolist() if CLASSES[clip % 99] == 0)) for chosen in draws}
    assert len(large) == 20
    least = {int(np.bincount(CLASSES[chosen % 99])[[0, 1, 2, 5]].argmin()) for chosen in draws}
    assert least == {0, 1, 2, 3}


def test_data_that_is_balanced_comes_whole() -> None:
    chosen = balanced(np.arange(30) % 3, np.random.default_rng(0))
    assert sorted(chosen.tolist()) == list(range(30))
    assert balanced(np.array([], dtype=np.int64), np.random.default_rng(0)).tolist() == []


def test_weights_are_inverse_to_the_clips_of_a_class_and_one_on_average_over_clips() -> None:
    counts = class_counts(CLASSES, 7)
    assert counts.tolist() == [60, 30, 7, 0, 0, 3, 0]
    weights = class_weights(counts)
    assert weights[CLASSES].mean() == pytest.approx(1)
    assert (weights * counts)[[0, 1, 2, 5]] == pytest.approx([25] * 4)
    assert weights[[3, 4, 6]].tolist() == [0, 0, 0]


def test_classes_that_a_mirror_turns_into_each_other_share_their_clips() -> None:
    counts = class_counts(np.array([0, 0, 0, 1, 2]), 3, np.array([1, 0, 2]))
    assert counts.tolist() == [2, 2, 1]
