"""A step in fake tensors, which have shapes and no memory: what a real one will take, found in seconds."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Batch
from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.inference import TrainingData
from actrec_zoo.precision import autocast, resolve_precision
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.optimizers import make_optimizer
from actrec_zoo.training.parameters import set_training_mode
from actrec_zoo.training.recompute import keep_activations
from actrec_zoo.training.update import TrainedNetwork


def rehearse(model: VideoClassifier, data: TrainingData, config: TrainConfig, objective: Objective, clips: int) -> int:
    """Bytes that a step takes at its peak, beyond the weights.

    These are activations, gradients, the optimizer's state and the moving average. The step is gone through as the
    run would do it, on its device and with its kernels, but without a tensor's content.

    Args:
        model: as it will train; it is not touched.
        data: whose inputs have the shape.
        config: of the run.
        objective: the loss.
        clips: that are computed at once.

    Raises:
        RunError: the network or the loss needs to know what is in a tensor.
    """
    with _stage(model) as actor, _LiveBytes() as live:
        optimizer = make_optimizer(actor, config)
        for parameter in actor.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()  # its state is there from the first step on
        optimizer.zero_grad(set_to_none=True)
        live.peak = live.now
        _act(actor, data, config, objective, clips)
        average = sum(p.nbytes for p in actor.parameters() if p.requires_grad) if config.ema is not None else 0
        return int(live.peak + average)


def count_step_flops(model: VideoClassifier, data: TrainingData, config: TrainConfig, objective: Objective) -> int:
    """Floating-point operations that a step needs for one clip, forward and backward.

    Convolutions, matrix products and attention are counted, but nothing that `checkpoint_activations` does again.

    Raises:
        RunError: as `rehearse`.
    """
    with _stage(model) as actor, FlopCounterMode(display=False) as counter:
        keep_activations(actor)
        _act(actor, data, config, objective, 1)
        return int(counter.get_total_flops())


@contextmanager
def _stage(model: VideoClassifier) -> Iterator[VideoClassifier]:
    """Fake tensors within, and the model made of such."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with FakeCopyMode(fake):
            actor = copy.deepcopy(model)
        set_training_mode(actor)
        with fake:
            yield actor
    except Exception as error:  # a plugin's network may raise anything
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise RunError(f"a step of {model.id} cannot be rehearsed: {reason}") from error


def _act(actor: VideoClassifier, data: TrainingData, config: TrainConfig, objective: Objective, clips: int) -> None:
    """Forward and backward."""
    blank = data.blank(actor.device).inputs
    inputs = blank.new_zeros(clips, *blank.shape[1:])
    labels = torch.zeros(clips, dtype=torch.int64, device=actor.device)
    with autocast(actor.device, resolve_precision(config.precision, actor.device)):
        loss, _ = objective(TrainedNetwork(actor, data), Batch(inputs, labels, labels, labels, ((0, 0),) * clips))
    loss.backward()  # type: ignore[no-untyped-call]


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations within make, from when they are made until nothing holds them.

    Attributes:
        now: bytes.
        peak: most bytes at one time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._known:
                self._take(storage)
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        size, key = storage.nbytes(), storage._cdata
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
