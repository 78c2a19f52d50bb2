"""What corruptions cost a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.evaluation.corruption import Corruption
from actrec_zoo.evaluation.evaluator import VideoEvaluator
from actrec_zoo.evaluation.intervals import Interval, difference_interval
from actrec_zoo.evaluation.predictions import Predictions
from actrec_zoo.evaluation.protocol import LevelName


def accuracy_lost(
    corruptions: Sequence[Corruption], gathered: Mapping[str, VideoEvaluator], before: Predictions, level: LevelName
) -> list[dict[str, Any]]:
    """Figures under each corruption, as eval.json has them.

    Args:
        corruptions: that the clips were shown under.
        gathered: the scores of each corruption by title.
        before: what the model says of the clips as they are.
        level: whose accuracy counts as lost.
    """
    rows = []
    for corruption in corruptions:
        evaluator = gathered[corruption.title]
        after = evaluator.compute()
        lost, interval = top1_lost(before, evaluator.predictions(before.videos), level)
        rows.append(
            {
                "name": corruption.name,
                "severity": corruption.severity,
                "description": corruption.description,
                "clip": asdict(after.clip),
                "video": asdict(after.video),
                "lost_top1": lost,
                "lost_top1_interval": interval,
            }
        )
    return rows


def top1_lost(before: Predictions, after: Predictions, level: LevelName) -> tuple[float, Interval | None]:
    """The top-1 accuracy lost, and its interval from the differences video by video, None where it cannot be had.

    Args:
        before: of the clips as they are.
        after: of the same clips under a corruption.
        level: whose accuracy it is.
    """
    kept, had = _hits(after, level), _hits(before, level)
    counted = before.counted_clips if level == "clip" else np.ones(len(before.videos))
    lost = float((had - kept).sum() / max(1, counted.sum()))
    return lost, difference_interval(kept, had, counted, before.videos.clusters)


def _hits(predictions: Predictions, level: LevelName) -> NDArray[np.float64]:
    """Clips of each video, or videos, whose highest score is on the true class, float64[N]."""
    if level == "clip":
        return predictions.clip_sums[:, 0]
    return np.where(predictions.predicted == predictions.truth, 1.0, 0.0)
