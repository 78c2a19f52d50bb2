"""Everything that eval.json says beyond the figures of a validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from actrec_zoo.evaluation.calibration import calibration
from actrec_zoo.evaluation.curves import average_precisions
from actrec_zoo.evaluation.evaluator import EvalReport
from actrec_zoo.evaluation.intervals import intervals_of
from actrec_zoo.evaluation.metrics import mean_where, most_confused
from actrec_zoo.evaluation.predictions import Predictions


def analyse(predictions: Predictions, report: EvalReport) -> dict[str, Any]:
    """Figures over all videos, as eval.json has them.

    A video that could not be read is wrong: a miss of its class in recall and F1, and at every threshold of average
    precision. It has no confidence, so that it is not in the calibration. Means over classes leave out those without
    videos.

    Args:
        predictions: of a model.
        report: on the same videos.
    """
    used, truth = predictions.used, predictions.truth
    rows = report.per_class
    present = [row["support"] > 0 for row in rows]
    precisions = average_precisions(predictions)
    return {
        "coverage": float(used.mean()) if len(used) else 0.0,
        "mean_class_accuracy": mean_where(present, [row["recall"] for row in rows]) or 0.0,
        "macro_f1": mean_where(present, [row["f1"] for row in rows]) or 0.0,
        "mean_average_precision": mean_where([p is not None for p in precisions], precisions),
        "per_class": [{**row, "average_precision": p} for row, p in zip(rows, precisions, strict=True)],
        "calibration": calibration(
            predictions.probabilities[used].max(axis=1, initial=0), (predictions.predicted == truth)[used]
        ).to_dict(),
        "confused": most_confused(np.asarray(report.confusion), report.labels),
        "intervals": intervals_of(predictions),
    }
