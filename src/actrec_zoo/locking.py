"""One process at a time works in a folder; a process that is killed leaves no lock behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from actrec_zoo.errors import RunError

LOCK_FILE = ".lock"
_PATIENCE = 3.0
"""Seconds to wait: as long as another process may take to look at the lock, or the workers of a killed one to end."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that exists. The file of the lock stays; it means nothing by itself.

    Raises:
        RunError: another process holds it, or the file cannot be made.
    """
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise RunError(
            f"{folder} is in use: another process is working on that run. Wait for it, stop it, or choose another --out"
        ) from error
    except OSError as error:
        raise RunError(f"cannot lock {folder}: {error.strerror or error}. Choose another folder.") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool | None:
    """Whether a process holds the lock of a folder now; None where that cannot be found out."""
    file = folder / LOCK_FILE
    if not file.is_file():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return None
    lock.release()
    return False
