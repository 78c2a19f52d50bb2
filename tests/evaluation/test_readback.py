"""eval.json and predictions.csv read back; what is damaged or changed by hand is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.readback import read_evaluation
from tests.evaluation.known import write_evaluation

GROUPS = ["g", "", "", "h\r", "g"]
NAMES = ["c/\udcff", "x\ry", 'a,"b"', "d\ne", "é"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_evaluation(
        tmp_path / "run", "aabbc", "ab-bc", labels="abc", names=NAMES, groups=["g", "", "", "h\r", "g"]
    )


def test_what_was_written_is_read_back(folder: Path) -> None:
    for place in (folder, folder / "eval.json"):
        found = read_evaluation(place)
        assert list(found.videos.names) == NAMES and list(found.videos.groups) == GROUPS
        assert found.predicted.tolist() == [0, 1, 3, 1, 2] and found.videos.truth.tolist() == [0, 0, 1, 1, 2]
        assert found.in_top(1).tolist() == [True, False, False, True, True]
        assert found.in_top(5).tolist() == [True, True, False, True, True], "what was not read is in no top five"
        assert [found.answer(row) for row in range(3)] == ["a", "b", None]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("video,group", "video;group", "has other columns than video,group,label"),
        ("é,g,c,c,", "é,g,c,", "8 cells for 9 columns"),
        ("é,g,c,c,", "é,g,e,e,", "label: 'e' is no class of eval.json"),
        ("é,g,c,c,", "é,g,c,x,", "predicted: 'x' is no class of eval.json"),
        ("é,g,c,c,", "é,g,c,a,", "rank 1 does not go with 'a' for 'c'"),
        ("é,g,c,c,0.500000", "é,g,c,c,much", "could not convert string to float: 'much'"),
        ("é,g,c,c,0.500000", "é,g,c,c,nan", "p_predicted: nan"),
        (",1,1,\n", ",one,1,\n", "rank: 'one' is no whole number"),
        (",1,1,\n", ",9,1,\n", r"rank: 9 is not in 1..3"),
        (",1,1,\n", ",1,0,\n", "it has an answer without a clip"),
        (",1,1,\n", ",1,-1,\n", "clips: '-1' is no whole number"),
        ("é,g,", '"é,g,', "unexpected end of data"),
        ("é,", '"a,""b""",', "has two rows of"),
        ("é,g,c,c,0.500000,0.500000,1", "é,g,c,b,0.500000,0.500000,2", "top1 is 0.4 in one and 0.6 in the other"),
    ],
)
def test_a_table_that_was_changed_is_refused(folder: Path, old: str, new: str, words: str) -> None:
    table = folder / "predictions.csv"
    before = table.read_bytes()
    after = before.replace(old.encode(), new.encode(), 1)
    assert after != before
    table.write_bytes(after)
    with pytest.raises(RunError, match=re.escape(words)) as refused:
        read_evaluation(folder)
    assert str(table) in str(refused.value) and "Run `actrec-zoo eval` again" in str(refused.value)


def test_a_table_that_was_cut_is_refused(folder: Path) -> None:
    table = folder / "predictions.csv"
    lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(RunError, match="n is 4 in one and 5 in the other"):
        read_evaluation(folder)
    table.write_bytes(b"")
    with pytest.raises(RunError, match="has other columns"):
        read_evaluation(folder)


def test_files_that_are_missing_are_named(folder: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere does not exist: give an eval\.json"):
        read_evaluation(folder / "nowhere")
    (folder / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv is missing: it lies beside eval\.json"):
        read_evaluation(folder)
    (folder / "eval.json").unlink()
    with pytest.raises(RunError, match=r"run/eval\.json does not exist"):
        read_evaluation(folder)


@pytest.mark.parametrize(
    ("text", "words"), [("[", "not valid JSON"), ("{}", "model: Field required"), ("[]", "the file")]
)
def test_an_eval_json_that_is_none_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "eval.json").write_text(text)
    with pytest.raises(RunError, match=words):
        read_evaluation(folder)
