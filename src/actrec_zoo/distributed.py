"""Several processes of one run, as torchrun and `accelerate launch` start them: who is first, and how they agree."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor

from actrec_zoo.errors import ActrecZooError, RunError

T = TypeVar("T")


def was_launched() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(*, cpu: bool) -> None:
    """Meet the other processes; alone, nothing happens.

    Args:
        cpu: whether the processes compute on the CPU, and not on a GPU each.

    Raises:
        RunError: they do not meet.
    """
    if not was_launched():
        return
    wanted = int(os.environ["WORLD_SIZE"])
    if PartialState(cpu=cpu).num_processes != wanted:
        raise RunError(f"{wanted} processes were launched, and {PartialState().num_processes} met")


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _met() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _met() else 0


def is_first() -> bool:
    """Whether this process writes files and speaks; before the processes meet, as it was launched."""
    return rank() == 0 if _met() else int(os.environ.get("RANK", "0")) == 0


def from_first(action: Callable[[], T]) -> T:
    """Do something in the first process, and give its result, or raise its error, in every one."""
    if not _met():
        return action()
    box: list[Any] = [None, None]
    if is_first():
        try:
            box[0] = action()
        except ActrecZooError as error:
            box[1] = error
    dist.broadcast_object_list(box)
    if box[1] is not None:
        raise box[1]
    result: T = box[0]
    return result


def first_before_others(action: Callable[[], T]) -> T:
    """Do something in the first process, then in the others, which find what it has left in a cache."""
    if not _met():
        return action()
    if not is_first():
        dist.barrier()
    result = action()
    if is_first():
        dist.barrier()
    return result


def collect(value: T) -> list[T]:
    """The value of every process, in their order; plain data."""
    if not _met():
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


def total(tensor: Tensor) -> Tensor:
    """Sum of a tensor over the processes."""
    summed = tensor.clone()
    if _met():
        dist.all_reduce(summed)
    return summed


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return flag if not _met() else any(collect(flag))


def share(items: Sequence[T], part: int = 0, parts: int = 1) -> Sequence[T]:
    """What this process takes of one of several parts of `items`."""
    return items[part * size() + rank() :: parts * size()]


def device_of_process(kind: str) -> torch.device:
    """The device of this process among those of a kind."""
    if kind == "cuda" and was_launched():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(kind)


def _met() -> bool:
    return dist.is_available() and dist.is_initialized()
