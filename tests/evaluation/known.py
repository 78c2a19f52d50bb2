"""Predictions whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation.predictions import Predictions, Videos
from actrec_zoo.files import write_json


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


def write_evaluation(
    folder: Path,
    truth: str,
    answers: str,
    *,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    labels: str = "ab",
    **protocol: Any,
) -> Path:
    """A folder with the eval.json and predictions.csv of videos with these classes and answers, a letter each; `-` for
    a video that could not be read."""
    scores = np.full((len(truth), len(labels)), 0.5 / len(labels))
    unread = [i for i, answer in enumerate(answers) if answer == "-"]
    for row, answer in zip(scores, answers, strict=True):
        row[labels.find(answer)] = 0.5
    made = predictions_of(scores, [labels.index(label) for label in truth], groups=groups, unread=unread)
    names = names or [f"v{i}" for i in range(len(truth))]
    videos = replace(made.videos, labels=tuple(labels), names=PackedStrings(names))
    predictions = replace(made, videos=videos)
    hits = {f"top{k}": float((made.used & (made.ranks <= k)).mean()) for k in (1, 5)}
    report = {
        "model": "zoo:model",
        "labels": list(labels),
        "protocol": {"headline": "video", "frames": 4, **protocol},
        "video": {"n": len(truth), **hits},
    }
    predictions.write_csv(folder / "predictions.csv")
    write_json(folder / "eval.json", report)
    return folder
