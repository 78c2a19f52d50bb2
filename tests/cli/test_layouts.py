"""Training and evaluating on data whose layout states parts of videos, splits, or more classes than are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SMALL, Outcome

Invoke = Callable[..., Outcome]
QUICK = (*SMALL, "--epochs", "1", "--workers", "0", "--device", "cpu")


@pytest.fixture
def table(squares: Path, tmp_path: Path) -> Path:
    """Halves of the videos of the squares, with a column for train and test, as a table beside a third class."""
    file = tmp_path / "halves.csv"
    rows = ["path,label,split,start_frame,end_frame"]
    for label in ("left", "right"):
        for clip in range(10):
            video, split = squares / label / f"clip{clip}", "test" if clip > 7 else "train"
            rows += [f"{video},{label},{split},0,6", f"{video},{label},{split},6,12"]
    rows.append(f"{squares / 'left' / 'clip0'},nowhere,,0,1")
    file.write_text("\n".join(rows) + "\n")
    (tmp_path / "classes.txt").write_text("right\nleft\n")
    return file


def test_stated_splits_parts_and_a_choice_of_classes(table: Path, tmp_path: Path, invoke: Invoke) -> None:
    run, flags = tmp_path / "run", ("--classes", tmp_path / "classes.txt", "--data-format", "table")
    trained = invoke("train", "tiny_conv3d", "--data", table, "--out", run, *flags, *QUICK)
    assert trained.code == 0, trained.err
    assert "40 videos in 2 classes (28 train, 4 val, 8 test)" in trained.err
    assert "1 video of another class" in trained.err
    assert f"--classes={tmp_path / 'classes.txt'}" in trained.out
    assert json.loads((run / "config.json").read_text())["labels"] == ["left", "right"]
    evaluated = invoke("eval", run, "--data", table, *flags, "--workers", "0", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["n_used"] == 8


def test_a_model_without_splits_is_evaluated_on_those_of_the_data(table: Path, tmp_path: Path, invoke: Invoke) -> None:
    run, flags = tmp_path / "run", ("--classes", tmp_path / "classes.txt")
    assert invoke("train", "tiny_conv3d", "--data", table, "--out", run, *flags, *QUICK).code == 0
    (run / "splits").rename(tmp_path / "elsewhere")
    evaluated = invoke("eval", run, "--data", table, *flags, "--workers", "0", "--json")
    assert json.loads(evaluated.out)["n_expected"] == 8
    refused = invoke("eval", run, "--data", table, *flags, "--split", "val", "--workers", "0")
    assert refused.code == 2 and "has no videos for val" in refused.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--data-format", "tables"), "there is no data format 'tables'. Did you mean table"),
        (("--classes", "nowhere.txt"), "cannot read --classes nowhere.txt"),
        (("--classes", "hmdb_simp"), "has no video of 25 of the classes asked for"),
    ],
)
def test_bad_flags_leave_nothing_behind(
    table: Path, tmp_path: Path, invoke: Invoke, flags: tuple[str, ...], words: str
) -> None:
    outcome = invoke("train", "tiny_conv3d", "--data", table, "--out", tmp_path / "run", *flags, *QUICK)
    assert outcome.code == 2 and words in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_clips_at_a_rate_of_their_own_in_training_evaluation_and_prediction(
    videos: Path, tmp_path: Path, invoke: Invoke
) -> None:
    run, flags = tmp_path / "run", ("--sampling", "blocks", "--set", "fps=12.5")
    trained = invoke("train", "tiny_conv3d", "--data", videos, "--out", run, *flags, *QUICK)
    assert trained.code == 0, trained.err
    assert json.loads((run / "config.json").read_text())["input"]["fps"] == 12.5
    report = json.loads(invoke("eval", run, "--data", videos, "--split", "all", "--workers", "0", "--json").out)
    assert (report["protocol"]["fps"], report["clip"]["n"]) == (12.5, 8)
    assert invoke("predict", run, videos / "left" / "clip0.mp4").code == 0
    assert "12.5 a second" in invoke("card", run).out
