"""`batch_size=auto`: as many clips as memory holds."""

from __future__ import annotations

import logging
import os

import torch
from accelerate.utils.memory import clear_device_cache

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Batch, ClipDataset
from actrec_zoo.errors import RunError
from actrec_zoo.memory import free_memory, in_words, is_shortage
from actrec_zoo.precision import autocast, resolve_precision
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.parameters import set_training_mode
from actrec_zoo.training.rehearsal import rehearse
from actrec_zoo.training.update import TrainedNetwork

MOST = 256
"""Clips that are computed at once, at most: more make no step faster."""

_SHARES = {"cuda": 0.9}
_SHARE = 0.7  # of main memory, which worker processes take a quarter of
_log = logging.getLogger(__name__)


def choose_batch_size(
    model: VideoClassifier, clips: ClipDataset, config: TrainConfig, objective: Objective, room: int | None = None
) -> int:
    """Clips a step, over all parts and processes: for each a power of two whose step fits in memory.

    The step is rehearsed in fake tensors; on a GPU it is then tried, since kernels may need room of their own.

    Args:
        model: on its device, as it will train.
        clips: that train; no part has more clips than there are of them.
        config: of the run; its `batch_size` is not looked at.
        objective: the loss.
        room: bytes that a step may take; None takes 90 % of what is free on a GPU, 70 % of what is free elsewhere.

    Raises:
        RunError: not even one clip fits, or the step cannot be rehearsed.
    """
    room = _room(model.device) if room is None else room
    parts = config.accumulate * distributed.size()
    most = min(MOST, max(1, len(clips) // parts))
    fitting = _fitting(model, clips, config, objective, room, most)
    if model.device.type == "cuda":
        fitting = tried(model, clips, config, objective, fitting)
    chosen = parts * min(distributed.collect(fitting))
    divided = f" in {parts} parts" if parts > 1 else ""
    _log.info("batch_size=auto: %d clips a step%s; %s of memory may be used", chosen, divided, in_words(room))
    return chosen


def _room(device: torch.device) -> int:
    sharing = 1 if device.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(_SHARES.get(device.type, _SHARE) * free_memory(device) / sharing)


def _fitting(
    model: VideoClassifier, clips: ClipDataset, config: TrainConfig, objective: Objective, room: int, most: int
) -> int:
    """The largest power of two, up to `most`, whose rehearsed step takes no more than `room`."""
    one, two = (rehearse(model, clips, config, objective, number) for number in (1, 2))
    if one > room:
        raise RunError(
            f"not enough memory to train: a step of one clip takes {in_words(one)}, and {in_words(room)} may be used. "
            "--set checkpoint_activations=true, a smaller --size or fewer --frames take less"
        )
    guess = 1 + (room - one) // max(two - one, 1)
    size = _power_of_two(min(guess, most))
    while size > 1 and rehearse(model, clips, config, objective, size) > room:
        size //= 2  # the peak may grow faster than from one clip to two
    return size


def tried(model: VideoClassifier, clips: ClipDataset, config: TrainConfig, objective: Objective, size: int) -> int:
    """The first of `size` and its halves of which a real step is possible; nothing of the model changes.

    Raises:
        RunError: not even one clip fits.
    """
    while not _fits(model, clips, config, objective, size):
        if size == 1:
            raise RunError(
                "not enough memory to train: one clip is too much. --set checkpoint_activations=true, a smaller --size "
                "or fewer --frames take less"
            )
        clear_device_cache(garbage_collection=True)
        size //= 2
    return size


def _fits(model: VideoClassifier, clips: ClipDataset, config: TrainConfig, objective: Objective, size: int) -> bool:
    try:
        _compute(model, clips, config, objective, size)
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_shortage(error):
            raise
        return False
    return True


def _compute(model: VideoClassifier, clips: ClipDataset, config: TrainConfig, objective: Objective, size: int) -> None:
    """A step's forward and backward pass on black clips, with room for the optimizer's state held meanwhile."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    trained = [p for p in model.parameters() if p.requires_grad]
    held = [torch.empty_like(p) for p in trained for _ in range(2)]
    held += [torch.empty_like(p) for p in trained if config.ema is not None]
    blank = clips.blank(model.device).inputs
    labels = torch.zeros(size, dtype=torch.int64, device=model.device)
    batch = Batch(blank.new_zeros(size, *blank.shape[1:]), labels, labels, labels, ((0, 0),) * size)
    set_training_mode(model)
    try:
        with autocast(model.device, resolve_precision(config.precision, model.device)):
            loss, _ = objective(TrainedNetwork(model, clips), batch)
        loss.backward()  # type: ignore[no-untyped-call]
    finally:
        held.clear()
        for parameter in trained:
            parameter.grad = None
        for buffer, before in buffers:
            buffer.copy_(before)


def _power_of_two(number: int) -> int:
    """The largest one that is no larger than `number`, which is 1 or more."""
    return 1 << (number.bit_length() - 1)
