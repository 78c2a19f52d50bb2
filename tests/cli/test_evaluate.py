"""What `actrec-zoo eval` prints."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from actrec_zoo.cli.evaluate import _print_cautions


@pytest.mark.parametrize(
    ("failed", "expected"), [(0, ""), (1, "coverage 0.9999: 1 of"), (5000, "coverage 0.9500: 5000 of")]
)
def test_coverage_is_printed_below_one_and_never_as_one(failed: int, expected: str) -> None:
    text, videos = io.StringIO(), 100_000
    result = {"coverage": 1 - failed / videos, "n_failed": failed, "n_expected": videos, "protocol": {"seen": 0}}
    _print_cautions(Console(file=text, width=200), result)
    assert expected in text.getvalue() and bool(text.getvalue()) == bool(expected)
