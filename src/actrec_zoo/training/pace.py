"""What can be said of an epoch while it trains: figures so far, speed, and how long it will take."""

from dataclasses import dataclass

from actrec_zoo import distributed
from actrec_zoo.training.state import TrainingState


@dataclass(frozen=True)
class Pace:
    """A look at a run in the middle of an epoch.

    Attributes:
        loss: mean over the epoch's clips so far.
        top1: of them.
        clips_per_second: of the epoch so far.
        waited: share of the epoch's time that passed in waiting for data, 0 to 1; None where it is not measured. On a
            GPU that is not waited for (no `profile`) it is an upper bound.
        seconds_left: until the run ends, should no epoch be saved by `patience`.
    """

    loss: float
    top1: float
    clips_per_second: float
    waited: float | None
    seconds_left: float


def look(state: TrainingState) -> Pace:
    """Look at a run after a step of it. The device is waited for, so not after every step."""
    clips, loss, top1 = state.running.own()
    return Pace(
        loss=loss / max(clips, 1),
        top1=top1 / max(clips, 1),
        clips_per_second=clips * distributed.size() / state.seconds if state.seconds else 0.0,
        waited=None if state.wait is None else state.wait.share,
        seconds_left=_seconds_left(state),
    )


def _seconds_left(state: TrainingState) -> float:
    """The rest of this epoch, and the later ones at the mean of those that are done; the first knows no validation."""
    a_step = state.seconds / max(state.step, 1)
    done = [record.seconds for record in state.history]
    an_epoch = sum(done) / len(done) if done else a_step * state.steps
    return a_step * (state.steps - state.step) + an_epoch * (state.config.epochs - state.epoch - 1)
