import time
from collections.abc import Iterator
from typing import Any

import torch

from actrec_zoo.training.profile import DataWait


def batches(count: int, seconds: float) -> Iterator[Any]:
    for number in range(count):
        time.sleep(seconds)
        yield number


def test_time_spent_on_data_is_told_from_time_spent_on_steps() -> None:
    wait = DataWait(torch.device("cpu"))
    assert wait.share == 0
    assert list(wait.over(batches(4, 0.05))) == [0, 1, 2, 3]
    assert wait.waited >= 0.2 and 0.9 < wait.share <= 1
    for _ in wait.over(batches(4, 0)):
        time.sleep(0.05)
    assert wait.total >= 0.2 and wait.share < 0.5, "every epoch counts anew"


class SlowToStart:
    def __iter__(self) -> Iterator[Any]:
        time.sleep(0.2)
        return iter([1, 2])


def test_the_start_of_workers_is_waiting() -> None:
    wait = DataWait(torch.device("cpu"))
    assert list(wait.over(SlowToStart())) == [1, 2]
    assert wait.share > 0.9


def test_an_epoch_without_batches_takes_no_time() -> None:
    wait = DataWait(torch.device("cpu"))
    assert list(wait.over([])) == []
    assert wait.waited == wait.total
