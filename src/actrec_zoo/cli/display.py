"""Tables and progress bars, the same for every command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from actrec_zoo.cli.table import printable as printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
_PIPE_WIDTH = 200
_BAR_WIDTH = 20


def make_console(*, stderr: bool = False) -> Console:
    """A console that does not cut lines when the output is no terminal."""
    console = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(stderr=stderr, highlight=False, markup=False, width=_PIPE_WIDTH)


def make_table(*columns: str) -> Table:
    """A table without wrapping; a column whose name begins with `>` is right-aligned."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


class ProgressDisplay:
    """One live progress display for a command, on stderr; silent when that is no terminal, and in all but the first of
    several processes."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = make_console(stderr=True)
        self.progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_WIDTH),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal or int(os.environ.get("RANK", "0")) > 0,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> ProgressDisplay:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def add_task(self, description: str, total: int) -> TaskID:
        """A bar of its own; its `figures` are a text behind it."""
        return self.progress.add_task(description, total=total, figures="")

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        """Show how far an iteration has come."""
        task = self.add_task(description, total)
        try:
            for item in items:
                yield item
                self.progress.advance(task)
        finally:
            self.progress.remove_task(task)
