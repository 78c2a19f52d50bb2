"""Where a training run stands, and who is told."""

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Failure
from actrec_zoo.training.average import MovingAverage
from actrec_zoo.training.profile import DataWait
from actrec_zoo.training.step_profile import StepProfile

_UNMEASURED: AbstractContextManager[None] = contextlib.nullcontext()


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv.

    `val_*` are video-level, `train_*` over the clips as they were trained on, `lr` is the rate of the last step.
    """

    epoch: int
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    lr: float
    seconds: float

    @property
    def rank(self) -> tuple[float, float, int]:
        """Greater is better: top-1, then loss, then the earliest."""
        return self.val_top1, -self.val_loss, -self.epoch


class Running:
    """Sums of an epoch's figures, kept on the device so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self._clips = 0.0
        self._sums = torch.zeros(2, device=device)  # loss, top-1 hits

    def add(self, clips: int, loss: Tensor, top1: Tensor) -> None:
        """Add a batch: its size and its mean loss and accuracy."""
        self._clips += clips
        self._sums.add_(torch.stack((loss, top1)).detach(), alpha=clips)

    def means(self) -> tuple[float, float]:
        """Loss and top-1 so far, over all processes."""
        clips, loss, top1 = self.save()
        return loss / max(clips, 1), top1 / max(clips, 1)

    def own(self) -> list[float]:
        """Clips, and the sums of loss and top-1 over them, that this process has seen; no other one is asked."""
        values: list[float] = self._all().tolist()
        return values

    def save(self) -> list[float]:
        """The sums over all processes as plain numbers."""
        values: list[float] = distributed.total(self._all()).tolist()
        return values

    def restore(self, values: list[float]) -> None:
        """Go on from saved sums, which the first process holds."""
        if distributed.is_first():
            self._clips = values[0]
            self._sums.copy_(torch.tensor(values[1:]))

    def _all(self) -> Tensor:
        return torch.cat((self._sums.new_tensor([self._clips]), self._sums))


@dataclass
class TrainingState:
    """Everything that a checkpoint has to hold.

    Attributes:
        model: with the current weights.
        optimizer: with its state.
        profile: times the parts of some steps; None where nothing is profiled, and in processes but the first.
        ema: the moving average of the weights; None without one.
        scaler: of the loss in fp16; None otherwise.
        config: of the run.
        running: sums of the current epoch.
        epoch: epochs completed.
        step: steps completed in the current epoch.
        steps: steps an epoch.
        seconds: time spent in the current epoch before it was interrupted.
        history: completed epochs.
        best: the best of them.
        failures: videos that could not be read so far, by video index.
        wait: how long the current epoch waited for data; None where it is not measured.
    """

    model: VideoClassifier
    optimizer: Optimizer
    config: TrainConfig
    running: Running
    steps: int
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None
    failures: dict[int, Failure] = field(default_factory=dict)
    wait: DataWait | None = None
    profile: StepProfile | None = None
    ema: MovingAverage | None = None
    scaler: GradScaler | None = None

    def part(self, name: str) -> AbstractContextManager[None]:
        """What surrounds a part of a step, so that a profile can tell its time."""
        return _UNMEASURED if self.profile is None else self.profile.part(name)

    @property
    def answering(self) -> VideoClassifier:
        """The model that is validated and kept: the moving average of the weights where there is one."""
        return self.model if self.ema is None else self.ema.model

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or as many as `patience` allows since the best one."""
        patience = self.config.patience
        exhausted = patience is not None and self.best is not None and self.epoch - self.best.epoch >= patience
        return exhausted or self.epoch >= self.config.epochs


class Callback:
    """A listener to training; override what is needed."""

    def on_start(self, state: TrainingState) -> None:
        """Before the first step; may restore `state`."""

    def on_step(self, state: TrainingState) -> None:
        """After every step."""

    def on_checkpoint(self, state: TrainingState) -> None:
        """Within an epoch, after as many steps as `checkpoint_steps` says."""

    def on_failure(self, state: TrainingState, failure: Failure) -> None:
        """A video cannot be read; once a video."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """After validation; the epoch is the last of `state.history`."""

    def on_interrupt(self, state: TrainingState) -> None:
        """After Ctrl-C, at the end of a step; not after a second Ctrl-C, which may cut a step in two."""


class Callbacks(Callback):
    """Several callbacks as one, told in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = tuple(callbacks)

    def on_start(self, state: TrainingState) -> None:
        for callback in self._callbacks:
            callback.on_start(state)

    def on_step(self, state: TrainingState) -> None:
        for callback in self._callbacks:
            callback.on_step(state)

    def on_checkpoint(self, state: TrainingState) -> None:
        for callback in self._callbacks:
            callback.on_checkpoint(state)

    def on_failure(self, state: TrainingState, failure: Failure) -> None:
        for callback in self._callbacks:
            callback.on_failure(state, failure)

    def on_epoch_end(self, state: TrainingState) -> None:
        for callback in self._callbacks:
            callback.on_epoch_end(state)

    def on_interrupt(self, state: TrainingState) -> None:
        for callback in self._callbacks:
            callback.on_interrupt(state)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _change_nothing(number: int, frame: FrameType | None) -> None:
    """A launcher sends SIGTERM to the other processes of one that has failed; these end by then, and clean up."""


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Within, SIGTERM does what Ctrl-C does, so that a node that is preempted leaves nothing half done.

    A run that fails in `InterruptFlag` ends as one that failed, whatever is signalled from there on. Outside the main
    thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class NoteSaved(Callback):
    """Knows whether an interruption was told to all the callbacks before it, and so whether its step is saved."""

    saved = False

    def on_interrupt(self, state: TrainingState) -> None:
        self.saved = True


class InterruptBetweenSteps(KeyboardInterrupt):
    """Every process of the run stops after the same step."""


class InterruptFlag:
    """Turns the first Ctrl-C, or SIGTERM, into a flag that is looked at between steps; a later Ctrl-C ends at once.

    A later SIGTERM does not: a node that is taken away signals a launcher and its process, and the launcher passes its
    own signal on. Of several processes none is interrupted within a step: a launcher may pass on a Ctrl-C that they
    have had from the terminal, and ends those by itself that take long. Outside the main thread, where Python delivers
    no signals, it stays unset.

    Attributes:
        set: Ctrl-C was pressed, or SIGTERM has come.
        forced: Ctrl-C was pressed after that, so that a step may have been cut in two.
    """

    def __init__(self) -> None:
        self.set = False
        self.forced = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "InterruptFlag":
        with contextlib.suppress(ValueError):
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fails = kind is not None and issubclass(kind, Exception)
        for number, handler in self._previous.items():
            signal.signal(number, _change_nothing if fails and handler is _interrupt else handler)

    def check(self) -> None:
        """Raise InterruptBetweenSteps if the flag is set, in this process or in another one."""
        if distributed.any_of(self.set):
            raise InterruptBetweenSteps

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.set and number == signal.SIGINT and distributed.size() == 1:
            self.forced = True
            raise KeyboardInterrupt
        self.set = True
