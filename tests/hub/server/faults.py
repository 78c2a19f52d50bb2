"""What goes wrong on purpose: by route, so many times."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "401", "403", "404", "429", "500", "502", "503", "cut", "wrong bytes", "short", "slow", "lost", "conflict"
]
"""A status; a connection cut half-way through the body; bytes that are others; a body that ends early and says so; a
body that comes in drops; an answer that is lost after the work is done; a commit that meets another one."""


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        route: name of the handler's method.
        kind: what.
        times: how often.
        after: how often it goes well before.
        path: what the path has to hold.
        retry_after: seconds that the answer asks to wait.
    """

    route: str
    kind: Kind
    times: int = 1
    after: int = 0
    path: str = ""
    retry_after: int = 0


class Faults:
    """Those that are still to happen."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self, route: str, kind: Kind, times: int = 1, *, after: int = 0, path: str = "", retry_after: int = 0
    ) -> None:
        """Let something go wrong; see `Fault`."""
        self._waiting.append(Fault(route, kind, times, after, path, retry_after))

    def clear(self) -> None:
        self._waiting.clear()

    @property
    def left(self) -> int:
        """How many have not happened."""
        return sum(fault.times for fault in self._waiting)

    def take(self, route: str, path: str) -> Fault | None:
        """The fault of a request, which has happened with that."""
        with self._lock:
            for fault in self._waiting:
                if fault.route != route or fault.path not in path or not fault.times:
                    continue
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None
