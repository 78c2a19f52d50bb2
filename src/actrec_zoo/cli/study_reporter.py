"""What `actrec-zoo study` shows while it runs."""

import time
from datetime import timedelta
from typing import Any

import click
from rich.progress import TaskID

from actrec_zoo.cli.display import ProgressDisplay, printable
from actrec_zoo.studies import Listener, PlannedRun
from actrec_zoo.training.state import Callback, TrainingState

_SECONDS_A_LINE = 60.0


class StudyReporter(Listener, Callback):
    """A line for the begin and the end of each run, and in between a bar, or a line a minute without a terminal.

    Args:
        display: of the command.
    """

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._told = time.monotonic()
        self._task: TaskID | None = None

    def on_run_start(self, run: PlannedRun, number: int, total: int, seconds_left: float | None) -> None:
        """Say what is begun, and how long the study will take."""
        left = "" if seconds_left is None else f", about {_duration(seconds_left)} left in all"
        click.echo(f"[{number}/{total}] {run.entry}, seed {run.seed}: {run.config.epochs} epochs{left}")

    def on_epoch_end(self, state: TrainingState) -> None:
        """Move the bar, and now and then tell the figures."""
        if self._task is None:
            self._task = self._display.add_task("Epochs", state.config.epochs)
        last = state.history[-1]
        figures = f"val loss {last.val_loss:.4f} top-1 {last.val_top1:.4f}"
        self._display.progress.update(self._task, completed=state.epoch, figures=figures)
        if not self._display.console.is_terminal and time.monotonic() - self._told > _SECONDS_A_LINE:
            self._told = time.monotonic()
            click.echo(f"  epoch {state.epoch}/{state.config.epochs}  {figures}", err=True)

    def on_run_end(self, run: PlannedRun, evaluation: dict[str, Any], seconds: float) -> None:
        """The figure of the run."""
        self._end_bar()
        name = evaluation["protocol"]["headline"]
        level = evaluation[name]
        click.echo(f"  top-1 {level['top1']:.4f} of {level['n']} {name}s, {_duration(seconds)}")

    def on_run_failure(self, run: PlannedRun, error: str) -> None:
        """Why a run could not be finished."""
        self._end_bar()
        click.echo(printable(f"  {run.name} failed: {error}"), err=True)

    def _end_bar(self) -> None:
        if self._task is not None:
            self._display.progress.remove_task(self._task)
            self._task = None


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
