"""Which device a command runs on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from actrec_zoo.distributed import device_of_process
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
        return device_of_process(next(device for device, there in available.items() if there))
    if name not in available:
        raise ConfigError(f"unknown device {name!r}: auto, {', '.join(available)}")
    if not available[name]:
        raise ConfigError(f"device {name!r} was asked for and there is none here: use --device auto or cpu")
    return device_of_process(name)


@contextmanager
def cpu_threads(number: int | None) -> Iterator[None]:
    """Let torch's operations use so many threads in a block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_draws(device: torch.device, seed: int) -> None:
    """Begin anew what is drawn on the CPU and on a device.

    `torch.manual_seed` does so for every kind of device there could be, which takes longer than a small step: it keeps
    a stack trace for each kind that is not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def default_workers() -> int:
    """Decoding processes when nothing is said: one a core but one, which the main process computes on; at most 8.

    Several processes of one run on one machine share its cores.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(1, usable_cores() // processes - 1), _MOST_WORKERS)


def usable_cores(quota: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use: those of the machine, less what an affinity or a container's quota takes away.

    Args:
        quota: file with microseconds of CPU time, or `max`, a period, and the microseconds of the period.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    time, _, period = quota.read_text().partition(" ") if quota.is_file() else ("max", "", "")
    return cores if time == "max" else max(1, min(cores, int(time) // int(period)))
