"""A moving average of the weights that train: a model of its own, which answers in place of the one that trains."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from actrec_zoo.classifier import VideoClassifier


class MovingAverage:
    """An exponential moving average.

    The first steps count more, as in TensorFlow's `ExponentialMovingAverage` with `num_updates`: after n steps the
    decay is (1 + n) / (10 + n) where that is smaller. Otherwise a short run would end near its first weights.

    Args:
        model: that trains.
        decay: of the average.

    Attributes:
        model: with the averages; it shares with the other what does not train, and all buffers.
    """

    def __init__(self, model: VideoClassifier, decay: float) -> None:
        shared = [p for p in model.parameters() if not p.requires_grad] + list(model.buffers())
        self.model: VideoClassifier = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
        self.model.requires_grad_(False)
        self._decay = decay
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._current = list(trained.values())
        self._averages = {name: p for name, p in self.model.named_parameters() if name in trained}

    def update(self, steps: int) -> None:
        """Take in the weights as they are now.

        Args:
            steps: of the run before the one that led to them.
        """
        decay = min(self._decay, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(list(self._averages.values()), self._current, None)  # type: ignore[no-untyped-call]

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of the parameters."""
        return dict(self._averages)

    @torch.no_grad()
    def load_state_dict(self, averages: Mapping[str, Tensor]) -> None:
        """Go on with averages that were saved.

        Raises:
            KeyError: one is missing.
        """
        for name, average in self._averages.items():
            average.copy_(averages[name])
