"""Several processes of one run, as torchrun and `accelerate launch` start them: who is first, and how they agree."""

import os
import re
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from actrec_zoo.errors import ActrecZooError, ConfigError, RunError, first_line

T = TypeVar("T")

_PATIENCE = timedelta(hours=12)
"""How long a process waits for another one that lives: the first may have to count the frames of a million videos."""

_LOSS = re.compile(
    r"connection (was likely )?closed|connection reset|connection refused|broken pipe|remote process exit|"
    r"ncclRemoteError|communicator was aborted|timed out waiting|(application|socket|collective operation) timeout",
    re.IGNORECASE,
)
"""How gloo, NCCL and torch's store put it that another process is gone, or does not answer."""


def was_launched() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> None:
    """Meet the other processes; alone, nothing happens.

    They agree by gloo, which keeps no GPU waiting; GPUs exchange gradients by NCCL.

    Raises:
        ConfigError: the launcher has started one process alone where several were asked for.
        RunError: they do not meet.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise ConfigError(
            "accelerate launch --cpu has started one process where several were asked for: "
            "start them with torchrun --nproc-per-node N -m actrec_zoo"
        )
    if not was_launched() or _met():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"{os.environ['WORLD_SIZE']} processes were launched and do not meet: {error}") from error


@contextmanager
def losses_named() -> Iterator[None]:
    """Within, what the end of another process does to this one is an error that says so.

    Raises:
        RunError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not _met() or not _tells_of_a_loss(error):
            raise
        raise RunError(
            f"process {rank()} ends because another process of the run has ended: its message, or the launcher's, says "
            f"why. A run that has a checkpoint goes on with --resume. What was seen here: {first_line(error)}"
        ) from error


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _met() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _met() else 0


def is_first() -> bool:
    """Whether this process writes files and speaks; before the processes meet, as it was launched."""
    return rank() == 0 if _met() else int(os.environ.get("RANK", "0")) == 0


def together(action: Callable[[], T]) -> T:
    """Do something in every process; what one of them raises, all raise. No process may wait for another within."""
    if not _met():
        return action()
    result: Any = None
    error: ActrecZooError | None = None
    try:
        result = action()
    except ActrecZooError as raised:
        error = raised
    for number, (text, kind) in enumerate(collect((_described(error), type(error or RunError())))):
        if text:
            told = error if error is not None and number == rank() else kind(text)
            told.agreed = True
            raise told
    done: T = result
    return done


def from_first(action: Callable[[], T]) -> T:
    """Do something in the first process, and give its result, or raise its error, in every one."""
    result = together(lambda: action() if is_first() else None)
    if not _met():
        return result  # type: ignore[return-value]
    box: list[Any] = [result]
    dist.broadcast_object_list(box)
    value: T = box[0]
    return value


def first_before_others(action: Callable[[], T]) -> T:
    """Do something in the first process, then in the others, which find what it has left in a cache."""
    if not _met():
        return action()
    of_first = together(lambda: action() if is_first() else None)
    of_others = together(lambda: None if is_first() else action())
    return of_first if is_first() else of_others  # type: ignore[return-value]


@contextmanager
def held_by_first(make: Callable[[], AbstractContextManager[T]]) -> Iterator[T | None]:
    """A context that the first process is in, and no other one."""
    with ExitStack() as held:
        yield together(lambda: held.enter_context(make()) if is_first() else None)


def require_same(value: Callable[[], object], error: Callable[[int], ActrecZooError]) -> None:
    """Raise an error, made from the number of the first process that has another value than the first one."""
    if not _met():
        return
    values = collect(value())
    other = next((number for number, found in enumerate(values) if found != values[0]), None)
    if other is not None:
        raised = error(other)
        raised.agreed = True
        raise raised


def wait_for_all() -> None:
    """Wait until every process has come here."""
    collect(None)


def part() -> None:
    """Take leave of the other processes, when all is done."""
    if _met():
        wait_for_all()
        dist.destroy_process_group()


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


def spread(tensors: Iterable[Tensor]) -> None:
    """Give every process the values of the first one, in place."""
    if _met():
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(total(torch.tensor(float(flag))))


def share(items: Sequence[T], part: int = 0, parts: int = 1) -> Sequence[T]:
    """What this process takes of one of several parts of `items`."""
    return items[part * size() + rank() :: parts * size()]


class Crew(NamedTuple):
    """The processes that see one folder.

    Attributes:
        rank: number of this process among them.
        size: how many they are.
        first: number of the first of them among all processes.
    """

    rank: int
    size: int
    first: int

    @property
    def leads(self) -> bool:
        """Whether this process is the first of them."""
        return self.rank == 0


def crew(folder: Path) -> Crew:
    """The processes that see a folder: all of them, or where it lies on the disk of each node, those of this node."""
    if not _met():
        return Crew(0, 1, 0)
    mark = folder / f".seen-{from_first(uuid.uuid4)}"
    if is_first():
        with suppress(OSError):  # whoever writes there will say so
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
    wait_for_all()
    seen_by_all = all(collect(mark.exists()))
    if is_first():
        with suppress(OSError):
            mark.unlink()
    if seen_by_all:
        return Crew(rank(), size(), 0)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return Crew(local, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), rank() - local)


def device_of_process(kind: str) -> torch.device:
    """The device of this process among those of a kind.

    Raises:
        ConfigError: there are more processes on this machine than GPUs.
    """
    if kind != "cuda" or not was_launched():
        return torch.device(kind)
    own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if own >= there:
        raise ConfigError(f"more processes than GPUs on this machine ({there}): launch as many, or --device cpu")
    return torch.device("cuda", own)


def _met() -> bool:
    return dist.is_available() and dist.is_initialized()


def _described(error: ActrecZooError | None) -> str:
    """The message of an error, with where it happened where that is not the first process."""
    if error is None or is_first():
        return "" if error is None else str(error)
    return f"process {rank()} on {socket.gethostname()}: {error}"


def _tells_of_a_loss(error: RuntimeError) -> bool:
    return _LOSS.search(str(error)) is not None
