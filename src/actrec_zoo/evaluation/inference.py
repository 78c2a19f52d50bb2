"""Runs a model over a data set and hands its scores to an evaluator."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.data.dataset import Batch, ClipDataset, WholeBatches, make_loader
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.workers import worker_deaths_named
from actrec_zoo.evaluation.evaluator import EvalReport, Metric, Scores, VideoEvaluator
from actrec_zoo.precision import Precision, autocast

TrainingData = ClipDataset | FeatureDataset
Forward = Callable[[Tensor], Tensor]


def forward_of(model: VideoClassifier, data: TrainingData) -> Forward:
    """What turns the inputs of a batch of `data` into logits."""
    if isinstance(data, FeatureDataset):
        return model.forward_head
    return lambda clips: model(model.preprocess(clips))


@worker_deaths_named()
@torch.inference_mode()
def run_evaluation(
    model: VideoClassifier,
    data: TrainingData,
    *,
    batch_size: int,
    workers: int = 0,
    precision: Precision = "fp32",
    metrics: Mapping[str, Metric] | None = None,
    track: Track[Batch] = no_progress,
    check: Callable[[], None] = lambda: None,
) -> EvalReport:
    """Evaluate every clip of `data`, once; several processes share the clips, and each gets the whole report.

    Args:
        model: left in evaluation mode.
        data: clips, or features of them.
        batch_size: clips at once, in each process.
        workers: decoding processes.
        precision: that the network computes in; scores are float32 and more.
        metrics: further metrics by name.
        track: shows the progress over batches.
        check: called for every batch; may raise to stop.
    """
    model.eval()
    evaluator = VideoEvaluator(model.labels, data.videos, data.manifest.labels[data.videos].astype(np.int64), metrics)
    for failure in data.failures:
        evaluator.fail(failure)
    batches = WholeBatches(len(data), batch_size)
    loader = make_loader(data, batches, workers=workers, pin=model.device.type == "cuda")
    forward = forward_of(model, data)
    for batch in track(loader, len(batches), "Evaluating"):
        check()
        for failure in batch.failures:
            evaluator.fail(failure)
        if len(batch):
            with autocast(model.device, precision):
                logits = forward(batch.to(model.device).inputs)
            evaluator.update(batch.videos, batch.views, logits, batch.labels)
    evaluator.take(_over_all_processes(evaluator.scores()))
    return evaluator.compute()


def _over_all_processes(own: Scores) -> Scores:
    """The scores of all clips, from those of the clips of each process."""
    probabilities, sums = (
        distributed.total(torch.from_numpy(values)).numpy() for values in (own.probabilities, own.sums)
    )
    failures = distributed.collect(dict(own.failures))
    return Scores(probabilities, sums, {row: failure for part in failures for row, failure in part.items()})
