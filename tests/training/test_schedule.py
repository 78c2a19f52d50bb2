"""Learning rates."""

import pytest

from actrec_zoo.config import TrainConfig
from actrec_zoo.training.schedule import learning_rate


def config(**settings: object) -> TrainConfig:
    return TrainConfig(**{"model": "m", "data": "d", "lr": 1.0, **settings})  # type: ignore[arg-type]


def test_step_divides_the_rate_after_the_milestones() -> None:
    settings = config(schedule="step", milestones=(5, 10), epochs=12)
    factors = [learning_rate(settings, epoch, 0, 7) for epoch in range(12)]
    assert factors == pytest.approx([1] * 5 + [0.1] * 5 + [0.01] * 2)


def test_cosine_falls_from_one_to_nearly_zero() -> None:
    settings = config(schedule="cosine", epochs=4)
    factors = [learning_rate(settings, epoch, step, 10) for epoch in range(4) for step in range(10)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[20] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.01


def test_warm_up_rises_to_the_full_rate() -> None:
    settings = config(warmup_epochs=2, epochs=4)
    factors = [learning_rate(settings, epoch, step, 5) for epoch in range(3) for step in range(5)]
    assert factors[:10] == sorted(factors[:10])
    assert 0 < factors[0] < 0.2
    assert factors[10:] == [1.0] * 5


def test_cosine_ends_at_the_least_rate() -> None:
    settings = config(schedule="cosine", epochs=4, lr=0.5, min_lr=0.1)
    rates = [learning_rate(settings, epoch, step, 10) for epoch in range(4) for step in range(10)]
    assert rates[0] == 0.5 and rates[20] == pytest.approx(0.3)
    assert rates == sorted(rates, reverse=True) and 0.1 < rates[-1] < 0.101


def test_warm_up_begins_where_it_is_told() -> None:
    settings = config(warmup_epochs=1, epochs=4, lr=0.5, warmup_lr=0.1)
    rates = [learning_rate(settings, 0, step, 9) for step in range(9)]
    assert rates == pytest.approx([0.1 + 0.4 * step / 10 for step in range(1, 10)])
    assert learning_rate(settings, 1, 0, 9) == 0.5


def test_a_rate_of_zero_stays_zero() -> None:
    settings = config(schedule="cosine", warmup_epochs=1, epochs=2, lr=0.0)
    assert {learning_rate(settings, epoch, 0, 3) for epoch in range(2)} == {0.0}
