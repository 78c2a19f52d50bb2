"""Runs something in a process of its own, with limits of memory and of time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

SECONDS = 20
MEMORY = 400 << 20


def limit_memory(more: int) -> None:
    """Let this process take no more than `more` bytes of address space beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)


def watched(use: Callable[[], object], user: int = 0) -> object:
    """What `use` gives, or its error, in a process of its own with a limit of memory and of time."""

    def run(answer: Connection) -> None:
        signal.alarm(SECONDS)
        limit_memory(MEMORY)
        if user:
            os.setuid(user)
        try:
            answer.send(use())
        except BaseException as error:
            answer.send((type(error), str(error)))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=run, args=(theirs,))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        pytest.fail(f"the process ended with {process.exitcode}")
    finally:
        process.join()
