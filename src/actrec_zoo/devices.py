"""Which device a command runs on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from actrec_zoo.errors import ConfigError

_MOST_WORKERS = 8
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, then MPS, then the CPU.

    Raises:
        ConfigError: the device asked for is absent.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if name not in available:
        raise ConfigError(f"unknown device {name!r}: auto, {', '.join(available)}")
    if not available[name]:
        raise ConfigError(f"device {name!r} was asked for and there is none here: use --device auto or cpu")
    return torch.device(name)


@contextmanager
def cpu_threads(number: int | None) -> Iterator[None]:
    """Let torch's operations use so many threads in a block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def default_workers() -> int:
    """Decoding processes when nothing is said: one a core but one, which the main process computes on; at most 8."""
    return min(max(1, usable_cores() - 1), _MOST_WORKERS)


def usable_cores(quota: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use: those of the machine, less what an affinity or a container's quota takes away.

    Args:
        quota: file with microseconds of CPU time, or `max`, a period, and the microseconds of the period.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    time, _, period = quota.read_text().partition(" ") if quota.is_file() else ("max", "", "")
    return cores if time == "max" else max(1, min(cores, int(time) // int(period)))
