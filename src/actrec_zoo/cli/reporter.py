"""What `actrec-zoo train` shows while it runs."""

import click
from rich.progress import TaskID

from actrec_zoo.cli.display import ProgressDisplay, printable
from actrec_zoo.data.dataset import Failure
from actrec_zoo.training.profile import DataWait
from actrec_zoo.training.state import Callback, TrainingState

_MUCH = 0.1
_ADVICE = "more --workers may help, or decoding once: see `actrec-zoo data pack --help`"


class Reporter(Callback):
    """A line an epoch, and a progress bar over its steps.

    Args:
        display: of the command.
    """

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._task: TaskID | None = None

    def on_start(self, state: TrainingState) -> None:
        """Say what trains, and where a resumed run goes on."""
        if state.epoch >= state.config.epochs:
            click.echo(f"nothing to resume: all {state.epoch} epochs are done")
        elif state.epoch or state.step:
            click.echo(f"resumed at epoch {state.epoch + 1}, step {state.step}")
        trained = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        total = sum(p.numel() for p in state.model.parameters())
        click.echo(
            f"{state.model.id}: {trained:,} of {total:,} parameters train, {len(state.model.labels)} classes, "
            f"{state.steps} steps an epoch, on {state.model.device.type}"
        )

    def on_step(self, state: TrainingState) -> None:
        """Move the bar."""
        progress = self._display.progress
        if self._task is None:
            self._task = progress.add_task(f"Epoch {state.epoch + 1}/{state.config.epochs}", total=state.steps)
        progress.update(self._task, completed=state.step)

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
        if state.wait is not None:
            _report_wait(state.wait)


def _report_wait(wait: DataWait) -> None:
    click.echo(f"  waited for data: {wait.share:.1%} of the training steps ({wait.waited:.1f} of {wait.total:.1f} s)")
    if wait.share > _MUCH:
        click.echo(f"  {_ADVICE}")
