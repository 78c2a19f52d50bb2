"""`actrec-zoo compare` on two runs, and on evaluations written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import actrec_zoo
from tests.conftest import Outcome
from tests.evaluation.known import write_evaluation

Invoke = Callable[..., Outcome]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Evaluations of 30 videos of class a and b: B has lost two videos and gained 22."""
    first = write_evaluation(tmp_path / "first", "a" * 15 + "b" * 15, "aa" + "b" * 13 + "a" * 9 + "b" * 6)
    second = write_evaluation(tmp_path / "second", "a" * 15 + "b" * 15, "bb" + "a" * 13 + "b" * 15, frames=8)
    return first, second


def test_two_evaluations_side_by_side(two: tuple[Path, Path], invoke: Invoke) -> None:
    done = invoke("compare", *two)
    assert done.code == 0, done.err
    assert "frames: 4 in A, 8 in B" in done.out
    assert "top-1   0.2667  0.9333  +0.6667  [+" in done.out and "intervals over 30 videos" in done.out
    assert "p = 3.59e-05" in done.out, "2 (1 + 24 + 24 * 23 / 2) / 2 ** 24"
    assert done.out.index("+0.7333") < done.out.index("+0.6000"), "the class with the largest difference first"
    assert "... and 4 more: --json has all of them" in done.out and "v19 " in done.out and "v20 " not in done.out


def test_json_has_everything(two: tuple[Path, Path], invoke: Invoke) -> None:
    found = json.loads(invoke("compare", *two, "--json").out)
    assert found == actrec_zoo.compare_evaluations(*two)
    assert len(found["changed"]) == 24
    assert found["changed"][0] == {"video": "v0", "label": "a", "a": "a", "b": "b", "gained": False}


def test_a_run_and_the_same_run_under_another_protocol(
    trained_and_evaluated: tuple[Path, Path], invoke: Invoke
) -> None:
    done = invoke("compare", *trained_and_evaluated)
    assert done.code == 0, done.err
    assert 'name: "video" in A, "report" in B' in done.out
    assert "quotes clip level; what is compared is video level" in done.out


@pytest.fixture
def trained_and_evaluated(squares: Path, tmp_path: Path) -> tuple[Path, Path]:
    flags = {"options.width": 4, "size": 32, "frames": 4, "stride": 1, "workers": 0, "device": "cpu"}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, batch_size=4, **flags).path
    for name, protocol in (("one", "video"), ("two", "report")):
        actrec_zoo.evaluate(run, squares, split="all", protocol=protocol, out=tmp_path / name, workers=0, device="cpu")
    return tmp_path / "one", tmp_path / "two"


def test_names_that_are_no_utf_8_are_shown(tmp_path: Path, invoke: Invoke) -> None:
    names = ["c/\udcff", "x\ry", 'a,"b"', "d\ne"]
    folders = [write_evaluation(tmp_path / said, "abab", said, names=names) for said in ("abab", "baba")]
    done = invoke("compare", *folders)
    assert done.code == 0 and "c/?" in done.out, done.err
    found = json.loads(invoke("compare", *folders, "--json").out)
    assert [row["video"] for row in found["changed"]] == names


@pytest.mark.parametrize("damage", ["no folder", "no table", "other videos", "itself"])
def test_what_cannot_be_compared_is_refused_in_one_line(two: tuple[Path, Path], invoke: Invoke, damage: str) -> None:
    first, second = two
    if damage == "no folder":
        second, words = first / "nothing", f"{first / 'nothing'} does not exist"
    elif damage == "no table":
        (second / "predictions.csv").unlink()
        words = f"{second / 'predictions.csv'} is missing"
    elif damage == "other videos":
        second = write_evaluation(first.parent / "third", "ab", "ab")
        words = f"lacks 28 videos (v2, v3, v4, ...) of {first / 'eval.json'}"
    else:
        second, words = first / "eval.json", "is named twice"
    done = invoke("compare", first, second)
    assert done.code == 2 and words in done.err and "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1
