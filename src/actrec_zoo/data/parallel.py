"""Work on many videos at once, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from actrec_zoo.devices import usable_cores

A = TypeVar("A")
B = TypeVar("B")
_AHEAD = 4


def in_parallel(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`map` with a thread a core: results in order, and never more than a few a thread waiting."""
    threads = usable_cores()
    left = iter(items)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting: deque[Future[B]] = deque(pool.submit(work, item) for item in islice(left, _AHEAD * threads))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(left, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
