"""What a training step computes."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Batch


class Objective(Protocol):
    """The loss of a batch, and figures to report with it."""

    def __call__(self, model: Callable[[Tensor], Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss over the batch, and means by name; `top1` is reported as the training accuracy.

        `model` turns `batch.inputs` into logits.
        """


class Classification:
    """Cross-entropy with the class of the video.

    Args:
        config: for `label_smoothing`.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._smoothing = config.label_smoothing

    def __call__(self, model: Callable[[Tensor], Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        logits = model(batch.inputs)
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=self._smoothing)
        return loss, {"top1": (logits.detach().argmax(1) == batch.labels).float().mean()}
