"""What is remembered of runs, over calls that plan other ones, and over kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.studies.ledger import LEDGER_FILE, Ledger


def test_attempts_add_up_and_an_error_lives_until_the_next(tmp_path: Path) -> None:
    ledger = Ledger.read(tmp_path)
    ledger.begin("a-seed0", afresh=True)
    ledger.end("a-seed0", 3.0, "no memory")
    ledger.begin("b-seed0", afresh=True)
    ledger.end("b-seed0", 1.0, None)
    again = Ledger.read(tmp_path)
    assert (again.seconds("a-seed0"), again.error("a-seed0"), again.error("b-seed0")) == (3.0, "no memory", None)
    again.begin("a-seed0", afresh=False)
    assert again.error("a-seed0") is None and again.seconds("a-seed0") is None  # it is on its way
    again.end("a-seed0", 4.0, None)
    assert Ledger.read(tmp_path).seconds("a-seed0") == 7.0
    assert Ledger.read(tmp_path).seconds("c-seed0") is None


def test_a_part_of_the_time_is_not_told_as_the_whole(tmp_path: Path) -> None:
    Ledger.read(tmp_path).begin("killed", afresh=True)
    ledger = Ledger.read(tmp_path)
    ledger.begin("killed", afresh=False)
    ledger.end("killed", 2.0, None)
    ledger.begin("trained by hand", afresh=False)
    ledger.end("trained by hand", 2.0, None)
    assert ledger.seconds("killed") is None and ledger.seconds("trained by hand") is None
    ledger.begin("killed", afresh=True)  # its folder was removed: nothing of the old time is in the new run
    ledger.end("killed", 5.0, None)
    assert Ledger.read(tmp_path).seconds("killed") == 5.0


@pytest.mark.parametrize(
    "text", ["[]", '{"format": 1, "runs": {"a": {"seconds": "3"}}}', '{"format": 1, "runs": {"a": 3}}']
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / LEDGER_FILE).write_text(text)
    with pytest.raises(RunError, match=r"ledger\.json is not the ledger of a study: remove it"):
        Ledger.read(tmp_path)
