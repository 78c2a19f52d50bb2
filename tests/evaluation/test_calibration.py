"""Calibration against scikit-learn's reliability curve, and by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from actrec_zoo.evaluation.calibration import BINS, calibration


def test_bins_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.uniform(size=500), np.linspace(0, 1, BINS + 1)])  # the edges too
    right = rng.uniform(size=len(confidence)) < confidence
    found = calibration(confidence, right)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    filled = [one for one in found.bins if one.n]
    assert [one.accuracy for one in filled] == pytest.approx(accuracy)
    assert [one.confidence for one in filled] == pytest.approx(mean)
    weights = np.array([one.n for one in filled]) / len(right)
    assert found.ece == pytest.approx((weights * np.abs(accuracy - mean)).sum())


def test_by_hand() -> None:
    found = calibration(np.array([0.95, 0.95, 0.5, 0.0]), np.array([True, False, True, False]))
    assert found.ece == pytest.approx((2 * abs(0.95 - 0.5) + abs(0.5 - 1) + 0) / 4)
    assert [one.n for one in found.bins] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert found.bins[1].accuracy is None and found.bins[1].confidence is None
    assert (found.bins[0].low, found.bins[-1].high) == (0, 1)


def test_without_answers_there_is_none() -> None:
    found = calibration(np.zeros(0), np.zeros(0, dtype=bool))
    assert found.ece is None and len(found.bins) == BINS


def test_a_model_that_is_as_sure_as_it_is_right_has_none_to_speak_of() -> None:
    confidence = np.random.default_rng(1).uniform(size=20000)
    right = np.random.default_rng(2).uniform(size=20000) < confidence
    assert (calibration(confidence, right).ece or 0) < 0.02
    assert (calibration(confidence, np.zeros(20000, dtype=bool)).ece or 0) > 0.4
