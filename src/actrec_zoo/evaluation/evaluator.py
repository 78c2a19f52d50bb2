"""Gathers the scores of clips and says how good they are, clip by clip and video by video."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actrec_zoo.data.dataset import Failure
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.evaluation.metrics import TOP_K, confusion, in_top_k, per_class
from actrec_zoo.evaluation.predictions import Predictions, Videos

FORMAT = 1
_NO_NUMBERS = (
    "the model's scores are NaN or infinite. Where --precision is bf16 or fp16, try fp32; else the weights are broken"
)

Metric = Callable[[NDArray[np.int64], NDArray[np.float64]], float | None]
"""Labels int64[N] and probabilities float64[N, K] of videos to a number, or to None where there is none."""


@dataclass(frozen=True)
class Level:
    """Figures over clips or over videos; ratios are 0..1.

    Attributes:
        n: how many were counted.
        top1: share with the highest score on the true class.
        top5: share with the true class among the five highest (all classes, where there are fewer).
        loss: mean cross-entropy over those that could be read; None where none could.
    """

    n: int
    top1: float
    top5: float
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class EvalReport:
    """The result of an evaluation; `to_dict` is eval.json.

    Attributes:
        labels: class names.
        n_expected: videos that were to be evaluated.
        n_used: videos that could be read.
        n_failed: videos that could not; each counts as one wrong video, and as one wrong clip.
        failures: path and error of those.
        clip: figures over clips.
        video: figures over videos, each the mean of the softmax of its clips.
        per_class: precision, recall and support of each class, over videos.
        confusion: videos, rows true, columns predicted, a last column for failed ones.
        metrics: figures of plugins, over the videos that could be read.
    """

    labels: tuple[str, ...]
    n_expected: int
    n_used: int
    n_failed: int
    failures: list[dict[str, str]]
    clip: Level
    video: Level
    per_class: list[dict[str, Any]]
    confusion: list[list[int]]
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(
        self, *, model: str, protocol: Mapping[str, Any], versions: Mapping[str, str], **further: Any
    ) -> dict[str, Any]:
        """The report as eval.json holds it; what else there is to say comes last."""
        return {
            "format": FORMAT,
            "model": model,
            "protocol": dict(protocol),
            **asdict(self),
            "labels": list(self.labels),
            "versions": dict(versions),
            **further,
        }


class Evaluator(Protocol):
    """Turns scores into a report. Each (video, view) counts once, however often it comes."""

    def update(self, video_ids: Tensor, view_ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the scores of clips: int64[B], int64[B], float[B, K], int64[B]."""

    def fail(self, failure: Failure) -> None:
        """Note that a video cannot be read; its clips, before and after, do not count."""

    def compute(self) -> EvalReport:
        """The report on all that was added."""


@dataclass(frozen=True)
class Scores:
    """What an evaluator has gathered.

    Attributes:
        probabilities: float64[N, K], sums over the clips of each video.
        sums: float64[N, 4], clips, top-1 hits, top-5 hits and loss of each video.
        failures: by row.
    """

    probabilities: NDArray[np.float64]
    sums: NDArray[np.float64]
    failures: Mapping[int, Failure]


class VideoEvaluator:
    """The evaluator of the zoo.

    Args:
        labels: class names.
        videos: ids of the videos to evaluate, int64[N].
        truth: their class indices, int64[N].
        metrics: further metrics by name.
    """

    def __init__(
        self, labels: Sequence[str], videos: IntArray, truth: IntArray, metrics: Mapping[str, Metric] | None = None
    ) -> None:
        self._labels = tuple(labels)
        self._truth = truth
        self._metrics = dict(metrics or {})
        self._row = {video: row for row, video in enumerate(videos.tolist())}
        self._seen = [0] * len(videos)  # a bit for each view
        self._failures: dict[int, Failure] = {}
        self._probabilities = np.zeros((len(videos), len(labels)), dtype=np.float64)
        self._sums = np.zeros((len(videos), 4), dtype=np.float64)  # clips, top-1 hits, top-5 hits, loss

    def update(self, video_ids: Tensor, view_ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        """See `Evaluator.update`."""
        log_probabilities = logits.detach().double().log_softmax(1).cpu().numpy()
        truth = labels.cpu().numpy()
        loss = -np.take_along_axis(log_probabilities, truth[:, None], axis=1)[:, 0]
        top1, top5 = in_top_k(log_probabilities, truth, 1), in_top_k(log_probabilities, truth, TOP_K)
        for i, (video, view) in enumerate(zip(video_ids.tolist(), view_ids.tolist(), strict=True)):
            row = self._row[video]
            if self._seen[row] >> view & 1:
                continue
            self._seen[row] |= 1 << view
            self._probabilities[row] += np.exp(log_probabilities[i])
            self._sums[row] += (1, top1[i], top5[i], loss[i])

    def fail(self, failure: Failure) -> None:
        """See `Evaluator.fail`; of several failures of a video one is kept, whichever comes first."""
        row = self._row[failure.video]
        known = self._failures.get(row)
        self._failures[row] = failure if known is None else min(known, failure)

    def fail_where_not_finite(self, names: Sequence[str]) -> None:
        """Count videos as failed for which the model gave no numbers, but NaN or infinity.

        Args:
            names: of the videos, in this evaluator's order.
        """
        videos = list(self._row)
        for row in np.flatnonzero(~np.isfinite(self._sums).all(axis=1)).tolist():
            if row not in self._failures:
                self._failures[row] = Failure(videos[row], names[row], f"{names[row]}: {_NO_NUMBERS}")
            self._probabilities[row] = self._sums[row] = 0

    def scores(self) -> Scores:
        """What was gathered so far."""
        return Scores(self._probabilities, self._sums, self._failures)

    def take(self, scores: Scores) -> None:
        """Go on with other scores than one's own, such as those of several evaluators of the same videos."""
        self._probabilities, self._sums, self._failures = scores.probabilities, scores.sums, dict(scores.failures)

    def predictions(self, videos: Videos) -> Predictions:
        """What was gathered, video by video.

        Args:
            videos: those of this evaluator, in its order.
        """
        clips, probabilities = self._by_video()
        errors = {row: failure.error for row, failure in self._failures.items()}
        return Predictions(videos, probabilities, clips, np.where(clips[:, None] > 0, self._sums[:, 1:], 0.0), errors)

    def compute(self) -> EvalReport:
        """See `Evaluator.compute`."""
        clips_read, probabilities = self._by_video()
        used = clips_read > 0
        probabilities, truth = probabilities[used], self._truth[used]
        predicted = np.full(len(self._truth), len(self._labels), dtype=np.int64)
        predicted[used] = probabilities.argmax(axis=1)
        clips = self._sums[used].sum(axis=0)
        return EvalReport(
            labels=self._labels,
            n_expected=len(self._truth),
            n_used=int(used.sum()),
            n_failed=int((~used).sum()),
            failures=[{"path": f.path, "error": f.error} for _, f in sorted(self._failures.items())],
            clip=_level(int(clips[0]) + int((~used).sum()), clips[1], clips[2], clips[3], int(clips[0])),
            video=self._video_level(probabilities, truth),
            per_class=per_class(self._truth, predicted, self._labels),
            confusion=confusion(self._truth, predicted, len(self._labels)),
            metrics=self._further(truth, probabilities),
        )

    def _by_video(self) -> tuple[IntArray, NDArray[np.float64]]:
        """Clips that were read, int64[N], and their mean probabilities, float64[N, K], of each video."""
        failed = np.isin(np.arange(len(self._truth)), list(self._failures))
        clips = np.where(failed, 0, self._sums[:, 0]).astype(np.int64)
        probabilities = self._probabilities / np.maximum(clips, 1)[:, None]
        probabilities[clips == 0] = 0
        return clips, probabilities

    def _further(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
        values = {name: metric(truth, probabilities) for name, metric in self._metrics.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _video_level(self, probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> Level:
        true = np.take_along_axis(probabilities, truth[:, None], axis=1)
        loss = -np.log(np.maximum(true, np.finfo(np.float64).tiny)).sum()
        top1 = in_top_k(probabilities, truth, 1).sum()
        top5 = in_top_k(probabilities, truth, TOP_K).sum()
        return _level(len(self._truth), top1, top5, loss, len(truth))


def _level(n: int, top1: float, top5: float, loss: float, readable: int) -> Level:
    return Level(
        n=n,
        top1=float(top1 / n) if n else 0.0,
        top5=float(top5 / n) if n else 0.0,
        loss=float(loss / readable) if readable else None,
    )
