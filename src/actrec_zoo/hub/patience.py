"""Asking the Hub again, where it is busy or a connection broke: its client does so for some requests only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Answer = TypeVar("Answer")

_TRIES = 5
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_PATIENCE = 20.0
"""After which nothing is asked again. All in seconds; the client's own tries come on top."""
_LIBRARIES = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "requests")
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again, after longer and longer waits, while the answer is that the Hub is busy or a transfer broke.

    Raises:
        Exception: what the last try raised, or the first that asking again does not help.
    """
    begun = time.monotonic()
    for number in range(_TRIES - 1):
        try:
            return ask()
        except Exception as error:
            wait = _wait(error, _FIRST_WAIT * 2**number)
            if wait is None or time.monotonic() - begun > _PATIENCE:
                raise
            time.sleep(wait)
    return ask()


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error, or what it came from, tells of."""
    for one in chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def is_of_the_client(error: BaseException) -> bool:
    """Whether huggingface_hub, or what it talks through, raised an error; the kinds have changed with its versions."""
    library = type(error).__module__.partition(".")[0]
    return library in _LIBRARIES or isinstance(error, OSError | RuntimeError | ValueError)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _wait(error: BaseException, usual: float) -> float | None:
    """Seconds to wait before asking again; None where that does not help."""
    status = status_of(error)
    if status is not None:
        return max(usual, _asked_wait(error)) if status in _BUSY else None
    broken = any(type(one).__name__ in ("RemoteProtocolError", "ReadError", "ReadTimeout") for one in chain(error))
    return usual if broken or "onsistency check failed" in str(error) else None


def _asked_wait(error: BaseException) -> float:
    """Seconds that the Hub asks to wait, as far as anybody would."""
    for one in chain(error):
        headers = getattr(getattr(one, "response", None), "headers", None)
        asked = str(headers.get("Retry-After", "")) if headers is not None else ""
        if asked.isdecimal():
            return min(float(asked), _LONGEST_WAIT)
    return 0.0
