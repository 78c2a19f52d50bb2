"""When training is over, and what a signal does to it."""

from __future__ import annotations

import signal

import pytest
import torch

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import RunError
from actrec_zoo.training.state import EpochRecord, InterruptFlag, Running, TrainingState, terminated_like_interrupted


def state_after(top1: list[float], *, patience: int | None, epochs: int = 30) -> TrainingState:
    """The state after epochs with these validation figures."""
    model = actrec_zoo.load("tiny_conv3d", weights=None)
    config = TrainConfig(model="tiny_conv3d", data="data", patience=patience, epochs=epochs)
    optimizer = torch.optim.SGD(model.parameters())
    state = TrainingState(model, optimizer, config, Running(torch.device("cpu")), steps=1)
    state.history = [EpochRecord(n, 0.0, 0.0, 1.0, figure, 0.0, 0.0) for n, figure in enumerate(top1, start=1)]
    state.best = max(state.history, key=lambda record: record.rank, default=None)
    state.epoch = len(top1)
    return state


@pytest.mark.parametrize(
    ("top1", "patience", "done"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5] + [0.4] * 20, None, False),
    ],
)
def test_patience_counts_the_epochs_since_the_best(top1: list[float], patience: int | None, done: bool) -> None:
    assert state_after(top1, patience=patience).done is done


def test_the_last_epoch_is_the_end_whatever_the_patience() -> None:
    assert state_after([0.1, 0.2], patience=5, epochs=2).done


def test_a_run_that_fails_is_not_interrupted_on_its_way_out() -> None:
    """A launcher terminates the other processes of one that has failed, while these fail for want of it."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError, match="the other one is gone"), terminated_like_interrupted():
        try:
            with InterruptFlag():
                raise RunError("the other one is gone")
        finally:
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_after_training_sigterm_interrupts_again() -> None:
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        with InterruptFlag():
            pass
        signal.raise_signal(signal.SIGTERM)


def test_an_error_outside_a_run_leaves_the_handler_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError), InterruptFlag():
        raise RunError("no run around it")
    assert signal.getsignal(signal.SIGTERM) is before
