"""Asking again, and when not."""

from __future__ import annotations

import pytest

from actrec_zoo.hub import patience
from actrec_zoo.hub.patience import chain, is_of_the_client, patiently, status_of


class Answer:
    """As the client's errors have one."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code, self.headers = status, headers


class AnsweredError(OSError):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.response = Answer(status, **headers)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", found.append)
    return found


def asker(*errors: Exception) -> tuple[list[int], object]:
    left, asked = list(errors), [0]

    def ask() -> str:
        asked[0] += 1
        if left:
            raise left.pop(0)
        return "done"

    return asked, ask


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_hub_is_asked_again_after_longer_and_longer_waits(waits: list[float], status: int) -> None:
    _, ask = asker(*[AnsweredError(status) for _ in range(3)])
    assert patiently(ask) == "done"  # type: ignore[arg-type]
    assert waits == [0.5, 1.0, 2.0]


def test_the_hub_says_how_long_to_wait_within_reason(waits: list[float]) -> None:
    _, ask = asker(AnsweredError(429, **{"Retry-After": "7"}), AnsweredError(429, **{"Retry-After": "90000"}))
    assert patiently(ask) == "done"  # type: ignore[arg-type]
    assert waits == [7.0, 60.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412])
def test_what_asking_again_does_not_help_is_raised_at_once(waits: list[float], status: int) -> None:
    asked, ask = asker(AnsweredError(status))
    with pytest.raises(AnsweredError):
        patiently(ask)  # type: ignore[arg-type]
    assert asked == [1] and waits == []


def test_patience_ends(waits: list[float]) -> None:
    asked, ask = asker(*[AnsweredError(503) for _ in range(9)])
    with pytest.raises(AnsweredError):
        patiently(ask)  # type: ignore[arg-type]
    assert asked == [5] and len(waits) == 4


def test_an_error_that_comes_from_another_tells_its_status() -> None:
    with pytest.raises(KeyError) as raised:
        try:
            raise AnsweredError(503)
        except AnsweredError as first:
            raise KeyError("later") from first
    assert status_of(raised.value) == 503 and len(list(chain(raised.value))) == 2
    assert status_of(ValueError()) is None


def test_errors_of_the_program_are_not_the_clients() -> None:
    from huggingface_hub.errors import HFValidationError

    assert is_of_the_client(HFValidationError("x")) and is_of_the_client(AnsweredError(1))
    assert not is_of_the_client(KeyError("x")) and not is_of_the_client(TypeError("x"))
