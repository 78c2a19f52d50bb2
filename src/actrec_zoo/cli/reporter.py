"""What `actrec-zoo train` shows while it runs."""

import time
from datetime import timedelta

import click
from rich.progress import TaskID

from actrec_zoo import distributed
from actrec_zoo.cli.display import ProgressDisplay, printable
from actrec_zoo.data.dataset import Failure
from actrec_zoo.training.pace import Pace, look
from actrec_zoo.training.profile import DataWait
from actrec_zoo.training.state import Callback, TrainingState

_MUCH = 0.1
_ADVICE = "more --workers may help, or decoding once: see `actrec-zoo data pack --help`"
_SECONDS_A_LOOK = 1.0
_SECONDS_A_LINE = 60.0


class Reporter(Callback):
    """A line an epoch, and while it trains a progress bar with figures, or a line a minute when there is no terminal.

    Args:
        display: of the command.
        seconds: from one look at the figures, for which the device is waited for, to the next; without it, one second
            on a terminal and a minute else.
    """

    def __init__(self, display: ProgressDisplay, seconds: float | None = None) -> None:
        self._display = display
        self._bars = display.console.is_terminal
        self._seconds = seconds if seconds is not None else _SECONDS_A_LOOK if self._bars else _SECONDS_A_LINE
        self._looked = time.monotonic()
        self._task: TaskID | None = None
        self._told_profile = False

    def on_start(self, state: TrainingState) -> None:
        """Say what trains, and where a resumed run goes on."""
        if state.done:
            click.echo(f"nothing to resume: {_all_done(state)}")
        elif state.epoch or state.step:
            click.echo(f"resumed at epoch {state.epoch + 1}, step {state.step}")
        trained = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        total = sum(p.numel() for p in state.model.parameters())
        click.echo(
            f"{state.model.id}: {trained:,} of {total:,} parameters train, {len(state.model.labels)} classes, "
            f"{state.steps} steps an epoch, on {state.model.device.type}{_processes()}"
        )

    def on_step(self, state: TrainingState) -> None:
        """Move the bar, and now and then tell the figures."""
        if self._task is None:
            self._task = self._display.add_task(_epoch(state), state.steps)
        progress = self._display.progress
        progress.update(self._task, completed=state.step)
        self._tell_profile(state)
        if time.monotonic() - self._looked < self._seconds:
            return
        told = _figures(look(state), state.wait)
        if self._bars:
            progress.update(self._task, figures=told, refresh=True)
        else:
            click.echo(f"{_epoch(state)}, step {state.step}/{state.steps}  {told}", err=True)
        self._looked = time.monotonic()

    def on_failure(self, state: TrainingState, failure: Failure) -> None:
        """Name a video that cannot be read."""
        click.echo(printable(f"skipped: {failure.error}"))

    def on_epoch_end(self, state: TrainingState) -> None:
        """One line an epoch."""
        if self._task is not None:
            self._display.progress.remove_task(self._task)
            self._task = None
        record = state.history[-1]
        mark = "  best" if record is state.best else ""
        click.echo(
            f"epoch {record.epoch:3d}/{state.config.epochs}  train loss {record.train_loss:.4f} "
            f"top-1 {record.train_top1:.4f}  val loss {record.val_loss:.4f} top-1 {record.val_top1:.4f}  "
            f"lr {record.lr:.2e}  {record.seconds:.1f} s{mark}"
        )
        if state.config.profile and state.wait is not None:
            _report_wait(state.wait)
        self._tell_profile(state)
        if state.done and state.epoch < state.config.epochs:
            click.echo(_all_done(state))

    def _tell_profile(self, state: TrainingState) -> None:
        """The profile's summary, once it is there."""
        if state.profile is not None and state.profile.summary is not None and not self._told_profile:
            click.echo(state.profile.summary.text(), nl=False)
            self._told_profile = True


def _processes() -> str:
    return f" in {distributed.size()} processes" if distributed.size() > 1 else ""


def _epoch(state: TrainingState) -> str:
    return f"Epoch {state.epoch + 1}/{state.config.epochs}"


def _figures(pace: Pace, wait: DataWait | None) -> str:
    parts = [f"loss {pace.loss:.4f}", f"top-1 {pace.top1:.4f}", f"{pace.clips_per_second:.1f} clips/s"]
    if pace.waited is not None:
        at_most = "" if wait is None or wait.exact else "at most "
        parts.append(f"data wait {at_most}{pace.waited:.0%}")
    parts.append(f"{timedelta(seconds=round(pace.seconds_left))} left in all")
    return "  ".join(parts)


def _all_done(state: TrainingState) -> str:
    if state.epoch >= state.config.epochs:
        return f"all {state.epoch} epochs are done"
    return f"stopped after epoch {state.epoch}: none of the last {state.config.patience} was better than the best one"


def _report_wait(wait: DataWait) -> None:
    click.echo(f"  waited for data: {wait.share:.1%} of the training steps ({wait.waited:.1f} of {wait.total:.1f} s)")
    if wait.share > _MUCH:
        click.echo(f"  {_ADVICE}")
