"""Runs damaged inputs in processes of their own, which may die without harm, and tells what went wrong."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from actrec_zoo.errors import ActrecZooError
from tests.fuzz.damage import damaged
from tests.fuzz.subjects import Subject, one_line, put, subjects
from tests.watching import limit_memory

SECONDS = 20
MEMORY = 1536 << 20
"""More than the largest frame that is allowed needs, with its copies."""


class Fault(NamedTuple):
    """An input that did not end as it should: its number, its subject, and what happened."""

    number: int
    subject: str
    error: str


class Target:
    """All inputs of a seed.

    Args:
        scratch: an empty folder.
        seed: of all that is random.
    """

    def __init__(self, scratch: Path, seed: int) -> None:
        self.scratch = scratch
        self.seed = seed
        self.subjects = subjects(scratch)

    def subject(self, number: int) -> str:
        """Name of what input `number` damages: all take turns."""
        return list(self.subjects)[number % len(self.subjects)]

    def make(self, number: int) -> tuple[Subject, Path]:
        """Write input `number`."""
        subject = self.subjects[self.subject(number)]
        content = damaged(Random(f"{self.seed} {number}"), subject.content, text=subject.text)
        return subject, put(self.scratch / "input", subject, content)

    def run(self, number: int) -> None:
        """Read input `number`; whatever is raised, and no `ActrecZooError`, is a fault."""
        subject, path = self.make(number)
        try:
            subject.read(path)
        except ActrecZooError as error:
            one_line(error)

    def faults(self, first: int, count: int) -> Iterator[Fault]:
        """What goes wrong with the inputs from `first` on."""
        number, end = first, first + count
        while number < end:
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(target=self._run_all, args=(number, end, theirs))
            process.start()
            theirs.close()
            with contextlib.suppress(EOFError):
                while number < end:
                    error = ours.recv()
                    if error:
                        yield Fault(number, self.subject(number), error)
                    number += 1
            process.join()
            if number < end:
                yield Fault(number, self.subject(number), _death(process.exitcode))
                number += 1

    def _run_all(self, first: int, end: int, answer: Connection) -> None:
        _be_quiet()
        warnings.simplefilter("error")
        limit_memory(MEMORY)
        for number in range(first, end):
            signal.alarm(SECONDS)
            try:
                self.run(number)
                answer.send("")
            except BaseException:
                answer.send(traceback.format_exc())


def _be_quiet() -> None:
    """Decoders write to the terminal what they think of a file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)


def _death(code: int | None) -> str:
    if code == -signal.SIGALRM:
        return f"no end within {SECONDS} seconds"
    return f"the process ended with {code}"
