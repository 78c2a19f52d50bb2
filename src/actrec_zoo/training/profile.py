"""Where the time of training goes: how long the device waits for data."""

import time
from collections.abc import Iterable, Iterator

import torch

from actrec_zoo.data.dataset import Batch


class DataWait:
    """Measures the time between asking for a batch and having it.

    A GPU works on while the program asks, so that this time is an upper bound of what the GPU waits. For exact
    figures the GPU is waited for before each batch is asked for, which costs a little speed.

    Args:
        device: that the batches are for.
        exact: wait for a GPU before each batch.

    Attributes:
        exact: whether the figures are no upper bounds.
        waited: seconds, of the current epoch.
        total: seconds of the current epoch's steps, waiting included.
    """

    def __init__(self, device: torch.device, *, exact: bool = True) -> None:
        self._device = device
        self.exact = exact or device.type == "cpu"
        self.waited = 0.0
        self.total = 0.0

    @property
    def share(self) -> float:
        """Of the time that was spent waiting, 0 to 1."""
        return self.waited / self.total if self.total else 0.0

    def over(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of an epoch."""
        self.waited = self.total = 0.0
        begin = asked = time.perf_counter()
        source = iter(batches)  # starts the workers
        while True:
            batch = next(source, None)
            had = time.perf_counter()
            self.waited += had - asked
            self.total = had - begin
            if batch is None:
                return
            yield batch
            if self.exact:
                self._finish_work()
            asked = time.perf_counter()

    def _finish_work(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
