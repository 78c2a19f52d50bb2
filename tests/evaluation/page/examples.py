"""Evaluations made up for the page: predictions, and what eval.json says of them with every key."""

from __future__ import annotations

from typing import Any

import numpy as np

from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation.curves import average_precisions
from actrec_zoo.evaluation.metrics import confusion, per_class
from actrec_zoo.evaluation.predictions import Predictions, Videos
from actrec_zoo.training.state import EpochRecord

ODD = ("<script>alert(1)</script>", "a \"quoted\" 'name'", "$x_1$ & _y", "control\x01\x1b[31m", "日本語", "plain " * 20)
ODD += (f"{'plain ' * 20}too", "two\nlines", "مصافحة", "👋🏽 wave", "हाथ")


def some_predictions(
    labels: tuple[str, ...] = ("handshaking", "hugging", "kicking", "pointing"),
    videos: int = 60,
    failed: int = 0,
    names: list[str] | None = None,
    absent: int | None = None,
    seed: int = 0,
) -> Predictions:
    """Predictions that are right more often than not.

    Args:
        labels: class names, K.
        videos: N.
        failed: how many could not be read, the first of them.
        names: of the videos.
        absent: a class that has no video.
        seed: of the numbers drawn.
    """
    draw = np.random.default_rng(seed)
    truth = draw.choice([k for k in range(len(labels)) if k != absent], videos)
    scores = draw.normal(size=(videos, len(labels)))
    scores[np.arange(videos), truth] += 0.6 * np.log(len(labels)) + 0.4
    probabilities = np.exp(2 * scores) / np.exp(2 * scores).sum(axis=1, keepdims=True)
    probabilities[:failed] = 0
    clips = np.where(np.arange(videos) < failed, 0, 2)
    found = names or [f"{labels[k]}/clip{n:04}.avi" for n, k in enumerate(truth)]
    groups = PackedStrings(f"g{n % 7}" for n in range(videos))
    errors = {row: f"cannot decode {found[row]} at frame 3" for row in range(failed)}
    known = Videos(labels, PackedStrings(found), groups, truth.astype(np.int64))
    return Predictions(known, probabilities, clips, np.zeros((videos, 3)), errors)


def minimal_result(predictions: Predictions, *, seen: int | None = 0) -> dict[str, Any]:
    """What eval.json said before it had more."""
    labels, truth, predicted = predictions.labels, predictions.truth, predictions.predicted
    level = {"n": len(truth), "top1": float((predicted == truth).mean()), "top5": 1.0, "loss": 0.7}
    return {
        "format": 1,
        "model": "tiny:tiny_conv3d",
        "protocol": {
            **{"name": "video", "headline": "video", "data": "made-up", "split": "test", "seen": seen, "frames": 16},
            **{"clip": "each clip by itself", "video": "mean of the softmax of its clips", "mean": [0.5, 0.5, 0.5]},
            "top5": f"top-5 of {len(labels)} classes",
        },
        "labels": list(labels),
        "n_expected": len(truth),
        "n_used": int(predictions.used.sum()),
        "n_failed": int((~predictions.used).sum()),
        "failures": [
            {"path": predictions.videos.names[row], "error": text} for row, text in predictions.errors.items()
        ],
        "clip": level,
        "video": level,
        "per_class": per_class(truth, predicted, labels),
        "confusion": confusion(truth, predicted, len(labels)),
        "metrics": {},
        "versions": {"python": "3.11"},
    }


def whole_result(predictions: Predictions) -> dict[str, Any]:
    """With every key that eval.json may have."""
    result = minimal_result(predictions, seen=3)
    confidence = predictions.probabilities.max(axis=1)[predictions.used]
    right = (predictions.predicted == predictions.truth)[predictions.used]
    numbers = np.minimum((confidence * 10).astype(int), 9)
    bins = [
        {
            **{"low": number / 10, "high": (number + 1) / 10, "n": int((numbers == number).sum())},
            "confidence": float(confidence[numbers == number].mean()) if (numbers == number).any() else None,
            "accuracy": float(right[numbers == number].mean()) if (numbers == number).any() else None,
        }
        for number in range(10)
    ]
    off = [(n, t, p) for t, row in enumerate(result["confusion"]) for p, n in enumerate(row[:-1]) if n and t != p]
    bounds, level = [0.4, 0.8], result["video"]
    return {
        **result,
        "coverage": float(predictions.used.mean()),
        "mean_class_accuracy": 0.61,
        "macro_f1": 0.6,
        "mean_average_precision": 0.66,
        "metrics": {"mean_rank": 1.5},
        "per_class": [
            {**row, "average_precision": average}
            for row, average in zip(result["per_class"], average_precisions(predictions), strict=True)
        ],
        "calibration": {"ece": 0.08, "bins": bins},
        "confused": [
            {"true": result["labels"][t], "predicted": result["labels"][p], "n": n}
            for n, t, p in sorted(off, key=lambda pair: -pair[0])[:20]
        ],
        "intervals": {
            **{"level": 0.95, "resamples": 2000, "units": "source groups", "n_units": 7},
            "clip": {"top1": bounds, "top5": None},
            "video": {"top1": bounds, "top5": bounds, "mean_class_accuracy": bounds, "macro_f1": None},
        },
        "corruptions": [
            {
                **{
                    "name": name,
                    "severity": severity,
                    "description": f"frames <{name}>",
                    "clip": level,
                    "video": level,
                },
                **{"lost_top1": lost, "lost_top1_interval": [lost - 0.1, lost + 0.1]},
            }
            for name, severity, lost in (("shuffle", None, 0.31), ("blur", 2, 0.12), ("noise", 1, 0.04))
        ],
        "label_map": {"shaking <hands>": result["labels"][0]},
    }


def some_history(epochs: int = 12) -> list[EpochRecord]:
    """Epochs that get better."""
    return [EpochRecord(n, 2.0 / n, n / (n + 2), 2.2 / n, n / (n + 3), 1e-3, 2.0) for n in range(1, epochs + 1)]
