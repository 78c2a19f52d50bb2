"""Everything that eval.json says beyond the figures of a validation."""

from __future__ import annotations

from typing import Any

from actrec_zoo.evaluation.predictions import Predictions


def analyse(predictions: Predictions) -> dict[str, Any]:
    """Figures over all videos, as eval.json has them.

    Args:
        predictions: of a model.
    """
    return {"coverage": float(predictions.used.mean()) if len(predictions.used) else 0.0}
