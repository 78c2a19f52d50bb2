"""How much memory there is to compute in, and what is said when it was not enough."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from actrec_zoo.errors import RunError

_MEMINFO = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")
_SHORTAGE = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|STATUS_ALLOC_FAILED|could not create a primitive",
    re.IGNORECASE,
)
"""How allocators put it: of torch, of the system, of cuBLAS, and of oneDNN, which computes convolutions on a CPU."""
_TRIED = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)


def free_memory(device: torch.device) -> int:
    """Bytes that this process could still take on a device; processes that share it count on the same ones."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free_main_memory()


def free_main_memory(meminfo: Path = _MEMINFO, container: Path = _CONTAINER) -> int:
    """Bytes that can be taken without swapping: of the machine, or of the container where that has less.

    Args:
        meminfo: of Linux; where there is none, all of the machine's memory counts as free.
        container: folder of its control group, version 2.
    """
    found = re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text()) if meminfo.is_file() else None
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _text_of(container / "memory.max").strip()
    if not limit.isdecimal():
        return free
    used = int(_text_of(container / "memory.current") or 0)
    cached = re.search(r"^inactive_file (\d+)", _text_of(container / "memory.stat"), re.MULTILINE)
    return max(0, min(free, int(limit) - used + (int(cached[1]) if cached else 0)))


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory could not be had: of a GPU, of the machine, or in a worker process."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and _SHORTAGE.search(str(error)) is not None


@contextmanager
def shortages_named(doing: str, advice: str) -> Iterator[None]:
    """Within, memory that cannot be had is an error that says what to lower.

    Args:
        doing: what the memory is for, as in `not enough memory to train`.
        advice: a sentence, or more, on what to do.

    Raises:
        RunError: there was not enough memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_shortage(error):
            raise
        tried = _TRIED.search(str(error))
        amount = f" ({in_words(tried[1])} were asked for at once)" if tried else ""
        raise RunError(f"not enough memory to {doing}{amount}. {advice}") from error


def in_words(size: int | str) -> str:
    """A number of bytes in MiB or GiB; a text that has another unit stays as it is."""
    number, _, unit = str(size).partition(" ")
    if unit not in ("", "bytes"):
        return str(size)
    mebibytes = int(float(number)) / 2**20
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"


def _text_of(file: Path) -> str:
    return file.read_text() if file.is_file() else ""
