"""What the page's script is given: plain values of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.evaluation.curves import Curve, spread, steps
from actrec_zoo.evaluation.predictions import Predictions

MOST_VIDEOS = 5000
MOST_LETTERS = 1_000_000
"""Of the names of all videos together."""
MOST_CELLS = 50_000
MOST_POINTS = 64
MOST_EPOCHS = 500


def script_data(
    result: Mapping[str, Any],
    predictions: Predictions,
    curves: Sequence[Curve | None],
    history: Sequence[Any],
    order: IntArray,
) -> dict[str, Any]:
    """What the script draws.

    Args:
        result: what eval.json holds.
        predictions: of each video.
        curves: precision and recall of each class.
        history: of the run; may be empty.
        order: of the videos; those that do not fit are cut off at its end.
    """
    cells = _cells(result["confusion"])
    return {
        "labels": list(result["labels"]),
        "support": [sum(row) for row in result["confusion"]],
        "cells": cells[:MOST_CELLS],
        "cellsLeftOut": max(0, len(cells) - MOST_CELLS),
        "videos": _videos(predictions, order),
        "curves": [curve and _points(curve) for curve in curves],
        "averagePrecision": [_number(row.get("average_precision")) for row in result["per_class"]],
        "calibration": [
            [_number(row["confidence"]), _number(row["accuracy"]), row["n"]]
            for row in (result.get("calibration") or {}).get("bins", ())
            if row["n"]
        ],
        "history": {
            name: [_number(getattr(record, name)) for record in thinned(history, MOST_EPOCHS)]
            for name in ("epoch", "train_loss", "val_loss", "train_top1", "val_top1")
        },
    }


def thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread, the first and the last among them."""
    return [items[place] for place in spread(len(items), most)]


def _cells(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """True class, predicted class and count of each cell that is not empty, the greatest counts first."""
    counts = np.asarray(confusion)
    rows, columns = np.nonzero(counts)
    found = zip(rows.tolist(), columns.tolist(), counts[rows, columns].tolist(), strict=True)
    return sorted(found, key=lambda cell: -cell[2])


def _videos(predictions: Predictions, order: IntArray) -> dict[str, list[Any]]:
    """Columns, a row a video."""
    letters = np.cumsum(predictions.videos.names.lengths(order))
    shown = order[: min(MOST_VIDEOS, int(np.searchsorted(letters, MOST_LETTERS, "right")))]
    truth, predicted = predictions.truth[shown], predictions.predicted[shown]
    known = predictions.used[shown]
    guessed = predictions.probabilities[shown, np.where(known, predicted, 0)]
    return {
        "name": list(predictions.videos.names.take(shown)),
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "pPredicted": _where(known, guessed),
        "pTruth": _where(known, predictions.probabilities[shown, truth]),
    }


def _where(known: Iterable[bool], values: Iterable[float]) -> list[float | None]:
    return [_number(value) if there else None for there, value in zip(known, values, strict=True)]


def _points(curve: Curve) -> list[list[float]]:
    """Recall and precision of the corners of its steps, recall growing."""
    precision, recall = steps(curve, MOST_POINTS)
    return [np.round(values, 4).tolist() for values in (recall, precision)]


def _number(value: Any) -> float | None:
    """As JSON has it, where numbers are finite."""
    return round(float(value), 4) if value is not None and math.isfinite(value) else None
