from __future__ import annotations

from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.training.pace import look
from actrec_zoo.training.state import Callback, TrainingState
from tests.training.test_trainer import TINY


class Look(Callback):
    """Looks after every step and notes how long the run will take."""

    def __init__(self) -> None:
        self.left: list[float] = []

    def on_step(self, state: TrainingState) -> None:
        pace = look(state)
        assert (pace.loss, pace.top1) == state.running.means()
        assert pace.clips_per_second == pytest.approx(4 * state.step / state.seconds)
        assert pace.waited is not None and 0 <= pace.waited <= 1
        step = state.seconds / state.step
        epoch = sum(r.seconds for r in state.history) / state.epoch if state.epoch else 4 * step
        assert pace.seconds_left == pytest.approx(step * (4 - state.step) + epoch * (1 - state.epoch))
        self.left.append(pace.seconds_left)


def test_figures_speed_and_what_is_left(squares: Path, tmp_path: Path) -> None:
    watcher = Look()
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=2, callbacks=[watcher], **TINY)
    assert len(watcher.left) == 8 and watcher.left[-1] == 0 and all(watcher.left[:-1])
