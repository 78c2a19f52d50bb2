"""Damaged inputs, a fixed number of a fixed seed; `make fuzz` tries others for as long as it is told."""

from pathlib import Path

import pytest

from tests.fuzz.subjects import put, subjects
from tests.fuzz.target import Target

INPUTS = 600


def test_damaged_inputs_end_as_they_should(tmp_path: Path) -> None:
    faults = list(Target(tmp_path, seed=0).faults(0, INPUTS))
    assert not faults, "\n".join(f"input {fault.number} ({fault.subject}): {fault.error}" for fault in faults)


def test_inputs_are_right_before_they_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise only errors would be tested."""
    monkeypatch.setattr("tests.fuzz.subjects._tries", lambda *uses: [use() for use in uses])
    for subject in subjects(tmp_path).values():
        subject.read(put(tmp_path / "input", subject, subject.content))


def test_an_input_is_a_function_of_its_seed_and_number(tmp_path: Path) -> None:
    contents = []
    for turn in ("first", "second"):
        (tmp_path / turn).mkdir()
        target = Target(tmp_path / turn, seed=3)
        contents.append([target.make(number)[1].read_bytes() for number in (0, 40, 41)])
    assert contents[0] == contents[1]
