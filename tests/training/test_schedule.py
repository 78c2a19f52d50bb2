"""Learning rates."""

import pytest

from actrec_zoo.config import TrainConfig
from actrec_zoo.training.schedule import lr_factor


def config(**settings: object) -> TrainConfig:
    return TrainConfig(model="m", data="d", **settings)  # type: ignore[arg-type]


def test_step_divides_the_rate_after_the_milestones() -> None:
    settings = config(schedule="step", milestones=(5, 10), epochs=12)
    factors = [lr_factor(settings, epoch, 0, 7) for epoch in range(12)]
    assert factors == pytest.approx([1] * 5 + [0.1] * 5 + [0.01] * 2)


def test_cosine_falls_from_one_to_nearly_zero() -> None:
    settings = config(schedule="cosine", epochs=4)
    factors = [lr_factor(settings, epoch, step, 10) for epoch in range(4) for step in range(10)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[20] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.01


def test_warm_up_rises_to_the_full_rate() -> None:
    settings = config(warmup_epochs=2, epochs=4)
    factors = [lr_factor(settings, epoch, step, 5) for epoch in range(3) for step in range(5)]
    assert factors[:10] == sorted(factors[:10])
    assert 0 < factors[0] < 0.2
    assert factors[10:] == [1.0] * 5
