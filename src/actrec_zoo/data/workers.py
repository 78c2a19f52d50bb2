"""Worker processes: how many read ahead and how far, so that their batches fit in memory; and when one is killed."""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from actrec_zoo.errors import RunError

_SHARED_MEMORY = Path("/dev/shm")  # where workers put their batches
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARE_OF_MEMORY = 4
_PREFETCH = 2
_MIB = 2**20
_log = logging.getLogger(__name__)


class ReadAhead(NamedTuple):
    """Number of worker processes, and how many batches each has ready or under way."""

    workers: int
    batches: int


class Room(NamedTuple):
    """Bytes that batches may take, and what sets the limit."""

    size: int
    where: str


def read_ahead(workers: int, batch_size: int, room: Room) -> ReadAhead:
    """As many of the workers as there is room for; fewer are told in the log, with what can be done.

    Too small a room would end them with a bus error.

    Args:
        workers: that are asked for.
        batch_size: bytes of a batch.
        room: for the batches that wait, and the one that is in use.
    """
    waiting = room.size // max(batch_size, 1) - 1
    fitting = max(0, min(workers, waiting))
    if fitting < workers:
        _warn(workers, fitting, batch_size, room.where)
    return ReadAhead(fitting, min(_PREFETCH, waiting // fitting) if fitting else 0)


def room_for_batches() -> Room:
    """What is free of the shared memory, but at most a quarter of the memory of this machine or container."""
    rooms = [Room(_memory() // _SHARE_OF_MEMORY, "a quarter of the memory")]
    if _SHARED_MEMORY.is_dir():
        rooms.append(Room(shutil.disk_usage(_SHARED_MEMORY).free, f"the free part of {_SHARED_MEMORY}"))
    return min(rooms)


def heed_terminations_of_parent_alone() -> None:
    """Let SIGTERM end this process only when its parent sent it, or is gone.

    Where the system does not say who sent a signal, any ends it.
    """
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent == os.getppid():
        pass
    os._exit(0)


@contextmanager
def worker_deaths_named() -> Iterator[None]:
    """Within, the death of a worker process is an error that says what to do.

    torch raises it wherever the main process is.

    Raises:
        RunError: a worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        reason = str(error).split("\n", maxsplit=1)[0].rstrip(". ")
        raise RunError(
            f"a process that reads videos ended before its time ({reason}). The memory may be too small: use fewer "
            "--workers or a smaller --batch-size, and in a container more shared memory (docker run --shm-size=2g)"
        ) from error


@cache  # every loader of a run would say it again
def _warn(workers: int, fitting: int, batch_size: int, where: str) -> None:
    _log.warning(
        "warning: %s is too small for the batches of %d worker processes, %d MiB each: %s. Choose a smaller "
        "--batch-size or %s; in a container, enlarge the shared memory (docker run --shm-size=2g)",
        where,
        workers,
        -(-batch_size // _MIB),
        f"{fitting} read ahead" if fitting else "videos are read without any",
        f"--workers {fitting}",
    )


def _memory() -> int:
    """Bytes of memory of this machine, or of the container where that has less."""
    limit = _MEMORY_LIMIT.read_text().strip() if _MEMORY_LIMIT.is_file() else "max"
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**33
    return min(machine, int(limit)) if limit.isdecimal() else machine
