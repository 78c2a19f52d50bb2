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

        `model` turns `batch.inputs` into logits. With mixup or cutmix, `batch.labels` are shares of classes.
        """


class Classification:
    """Cross-entropy with the class of the video, or with the classes of two that are mixed.

    With `class_weights` every clip's loss is weighted, and the sum divided by the number of clips, not by their
    weights: parts of a batch then add up to the batch. Of mixed clips the class with the larger share counts as right.

    Args:
        config: for `label_smoothing`.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._smoothing = config.label_smoothing

    def __call__(self, model: Callable[[Tensor], Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        logits = model(batch.inputs)
        losses = functional.cross_entropy(
            logits, batch.labels, batch.class_weights, label_smoothing=self._smoothing, reduction="none"
        )
        classes = batch.labels if batch.labels.dim() == 1 else batch.labels.argmax(1)
        return losses.mean(), {"top1": (logits.detach().argmax(1) == classes).float().mean()}
