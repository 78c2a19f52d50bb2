"""One update of the weights: forward and backward over the parts of a batch, then the optimizer's step."""

from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.evaluation.inference import TrainingData
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.parameters import only_head_trains, set_training_mode
from actrec_zoo.training.sharding import own
from actrec_zoo.training.state import TrainingState


class TrainedNetwork(nn.Module):
    """What is run forward and backward: from the inputs of a batch to logits.

    Args:
        model: to train.
        data: gives clips, or features of a frozen backbone.
    """

    def __init__(self, model: VideoClassifier, data: TrainingData) -> None:
        super().__init__()
        self.model = model
        self._takes_features = isinstance(data, FeatureDataset)
        self._only_head = only_head_trains(model.net, model.spec)

    def forward(self, inputs: Tensor) -> Tensor:
        """Clips uint8[B, T, 3, S, S], or features, to logits [B, K]; no gradient goes through what does not train."""
        if self._takes_features:
            return self.model.forward_head(inputs)
        clips = self.model.preprocess(inputs)
        if not self._only_head:
            logits: Tensor = self.model(clips)
            return logits
        with torch.no_grad():
            features = self.model.forward_features(clips)
        return self.model.forward_head(features)


class Update:
    """Updates the weights of a run, part of a batch by part.

    The loss of a part counts by its share of the whole batch, so that neither the number of parts nor that of
    processes changes what a step does. A clip that could not be read counts as one without a gradient.

    Args:
        accelerator: of the run.
        network: to train, as `accelerator.prepare` returns it.
        state: of the run.
        objective: the loss.

    Attributes:
        network: as it was given.
    """

    def __init__(
        self, accelerator: Accelerator, network: nn.Module, state: TrainingState, objective: Objective
    ) -> None:
        self._accelerator = accelerator
        self.network = network
        self._state = state
        self._objective = objective
        self._has_gradient = False
        self._unchecked: list[tuple[int, Tensor]] = []

    def add(self, batch: Batch, of: int, *, last: bool) -> None:
        """Add the gradient of a part of a batch.

        Args:
            batch: on the device; may not be empty.
            of: clips of the whole batch.
            last: whether it is the last part, after which the processes exchange gradients.
        """
        share = len(batch) * distributed.size() / of  # gradients are averaged over the processes
        loss, figures = self._backward(batch, share, last=last)
        value = loss.detach().float()
        self._unchecked.append((self._state.step, value))
        self._state.running.add(len(batch), value, figures["top1"] if "top1" in figures else torch.zeros_like(value))

    def add_nothing(self, blank: Batch, *, last: bool) -> None:
        """Take part in the exchange of gradients without a clip of one's own; alone, nothing happens."""
        if distributed.size() > 1:
            self._state.model.eval()  # so that it has no part in running statistics
            self._backward(blank, 0.0, last=last)
            set_training_mode(self._state.model)

    def _backward(self, batch: Batch, share: float, *, last: bool) -> tuple[Tensor, dict[str, Tensor]]:
        with nullcontext() if last else self._accelerator.no_sync(self.network):
            with self._state.part("forward"), self._accelerator.autocast():
                loss, figures = self._objective(self.network, batch)
            with self._state.part("backward"):
                self._accelerator.backward(loss * share)
        self._has_gradient = True
        return loss, figures

    def apply(self) -> None:
        """Let the optimizer step, and begin the next batch."""
        state = self._state
        if self._has_gradient:  # not where no clip of the batch could be read
            self._step()
            self._has_gradient = False
        if state.ema is not None:
            state.ema.update(state.epoch * state.steps + state.step)

    def _step(self) -> None:
        """Step without accelerate, which looks through the installed packages, and at its own settings, at each."""
        optimizer, scaler, longest = self._state.optimizer, self._state.scaler, self._state.config.clip_grad
        if longest is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], longest)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()

    def weights_are_finite(self) -> bool:
        """Whether all weights that train are numbers, in every process; waits for the device."""
        trained = [p for group in self._state.optimizer.param_groups for p in group["params"]]
        return not distributed.any_of(not torch.stack([own(p).isfinite().all() for p in trained]).all())

    def first_not_finite(self) -> int | None:
        """The first step since the last time of asking of which the loss was no number; waits for the device."""
        if not self._unchecked:
            return None
        steps, losses = zip(*self._unchecked, strict=True)
        self._unchecked = []
        finite = torch.stack(losses).isfinite().tolist()
        return next((step for step, good in zip(steps, finite, strict=True) if not good), None)
