"""Runs a model over a data set and hands its scores to an evaluator."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.data.dataset import Batch, ClipDataset, Failure, WholeBatches, make_loader
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.workers import worker_deaths_named
from actrec_zoo.evaluation.evaluator import Metric, Scores, VideoEvaluator
from actrec_zoo.precision import Precision, autocast

TrainingData = ClipDataset | FeatureDataset
Forward = Callable[[Tensor], Tensor]


def forward_of(model: VideoClassifier, data: TrainingData) -> Forward:
    """What turns the inputs of a batch of `data` into logits."""
    if isinstance(data, FeatureDataset):
        return model.forward_head
    return lambda clips: model(model.preprocess(clips))


Corruption = Callable[[Tensor, Batch], Tensor]
"""Clips uint8[B, T, 3, S, S] and the batch that they are of, to the same clips made worse."""

OnScores = Callable[[Batch, Tensor], None]
"""Told the logits, float[B, K], of each batch of this process."""

AS_THEY_ARE = ""
"""Name of the evaluator of clips that nothing is done to."""


@worker_deaths_named()
@torch.inference_mode()
def gather(
    model: VideoClassifier,
    data: TrainingData,
    *,
    batch_size: int,
    workers: int = 0,
    precision: Precision = "fp32",
    metrics: Mapping[str, Metric] | None = None,
    corruptions: Mapping[str, Corruption] | None = None,
    on_scores: OnScores = lambda batch, logits: None,
    track: Track[Batch] = no_progress,
    check: Callable[[], None] = lambda: None,
) -> dict[str, VideoEvaluator]:
    """Show every clip of `data` to a model, once, and gather its scores; several processes share the clips, and each
    gets the scores of all.

    Args:
        model: left in evaluation mode.
        data: clips, or features of them.
        batch_size: clips at once, in each process.
        workers: decoding processes.
        precision: that the network computes in; scores are float32 and more.
        metrics: further metrics by name, of the clips as they are.
        corruptions: what else the clips are shown like, by name; each is decoded once for all. Not for features.
        on_scores: told the scores of the clips as they are.
        track: shows the progress over batches.
        check: called for every batch; may raise to stop.

    Returns:
        An evaluator for the clips as they are, named `AS_THEY_ARE`, and one for each corruption.
    """
    model.eval()
    shown: dict[str, Corruption | None] = {AS_THEY_ARE: None, **(corruptions or {})}
    truth = data.manifest.labels[data.videos].astype(np.int64)
    further = {AS_THEY_ARE: metrics}
    evaluators = {name: VideoEvaluator(model.labels, data.videos, truth, further.get(name)) for name in shown}
    batches = WholeBatches(len(data), batch_size)
    loader = make_loader(data, batches, workers=workers, pin=model.device.type == "cuda")
    forward = forward_of(model, data)
    _note(data.failures, evaluators)
    for batch in track(loader, len(batches), "Evaluating"):
        check()
        _note(batch.failures, evaluators)
        if not len(batch):
            continue
        there = batch.to(model.device)
        for name, corrupt in shown.items():
            inputs = there.inputs if corrupt is None else corrupt(there.inputs, batch)
            with autocast(model.device, precision):
                logits = forward(inputs)
            if corrupt is None:
                on_scores(batch, logits)
            evaluators[name].update(batch.videos, batch.views, logits, batch.labels)
    for evaluator in evaluators.values():
        evaluator.take(_over_all_processes(evaluator.scores()))
    return evaluators


def _note(failures: Iterable[Failure], evaluators: Mapping[str, VideoEvaluator]) -> None:
    for failure in failures:
        for evaluator in evaluators.values():
            evaluator.fail(failure)


def _over_all_processes(own: Scores) -> Scores:
    """The scores of all clips, from those of the clips of each process."""
    probabilities, sums = (
        distributed.total(torch.from_numpy(values)).numpy() for values in (own.probabilities, own.sums)
    )
    failures: dict[int, Failure] = {}
    for part in distributed.collect(dict(own.failures)):
        failures |= {row: min(failure, failures.get(row, failure)) for row, failure in part.items()}
    return Scores(probabilities, sums, failures)
