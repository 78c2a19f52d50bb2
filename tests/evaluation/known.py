"""Predictions whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation.predictions import Predictions, Videos


def predictions_of(
    probabilities: Sequence[Sequence[float]] | NDArray[np.float64],
    truth: Sequence[int] | NDArray[np.int64],
    *,
    groups: Sequence[str] | None = None,
    unread: Sequence[int] = (),
) -> Predictions:
    """Predictions of one clip a video, of classes a, b, ... and videos v0, v1, ...; those in `unread` have none."""
    scores = np.array(probabilities, dtype=np.float64)
    labels = tuple(map(chr, range(ord("a"), ord("a") + scores.shape[1])))
    true = np.asarray(truth, dtype=np.int64)
    clips = np.ones(len(true), dtype=np.int64)
    clips[list(unread)] = 0
    scores[list(unread)] = 0
    hits = (scores.argmax(axis=1) == true) & (clips > 0)
    names = PackedStrings(f"v{i}" for i in range(len(true)))
    videos = Videos(labels, names, PackedStrings(groups or [""] * len(true)), true)
    sums = np.stack([hits, clips, np.zeros(len(true))], axis=1).astype(np.float64)
    return Predictions(videos, scores, clips, sums, dict.fromkeys(unread, "cannot be read"))


def random_predictions(n: int, classes: int, *, seed: int = 0, unread: int = 0, groups: int = 0) -> Predictions:
    """Predictions that are right more often than by chance."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = [f"g{g}" for g in rng.integers(groups, size=n)] if groups else None
    return predictions_of(probabilities, truth, groups=names, unread=rng.permutation(n)[:unread].tolist())
