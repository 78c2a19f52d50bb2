"""`actrec-zoo study`: the plan, the lines and the table, the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome

Invoke = Callable[..., Outcome]
STUDY = """
seeds = [0, 1]
[settings]
epochs = 1
size = 32
frames = 4
stride = 1
[models.good]
model = "tiny_conv3d"
options.width = 4
[models.bad]
model = "tiny_conv3d"
weights = "no/such/run"
published = { top1 = 0.7442, dataset = "HMDB_simp", protocol = "8-frame blocks", source = "the 2023 study" }
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.toml"
    file.write_text(STUDY)
    return file


def test_the_plan_is_printed_and_nothing_written(invoke: Invoke, file: Path, squares: Path) -> None:
    done = invoke(
        "study", file, "--data", squares, "--set", "good.lr=0.5", "--seeds", "0,7", "--epochs", 3, "--dry-run"
    )
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines() if "seed" in line]
    assert [line[:3] for line in lines] == [
        [f"{name}-seed{seed}", "new", "3"] for name in ("good", "bad") for seed in (0, 7)
    ]
    assert "lr=0.5" in lines[0] and "lr=0.5" not in lines[2] and "studies/mine" in done.out
    assert list(file.parent.iterdir()) == [file]


def test_a_run_that_fails_is_told_and_costs_the_exit_code(invoke: Invoke, file: Path, squares: Path) -> None:
    flags = ("--data", squares, "--out", "out", "--seeds", "0", "--workers", 0, "--device", "cpu")
    done = invoke("study", file, *flags)
    assert done.code == 1, done.err
    assert "[1/2] good, seed 0: 1 epochs" in done.out and "bad-seed0 failed: " in done.err
    assert "failed: bad-seed0: " in done.out and "out/table.md" in done.out
    assert "published by others on HMDB_simp, other data: top-1" in done.out and "74.42" in done.out
    assert invoke("study", file, *flags, "--models", "good").code == 0
    plan = invoke("study", file, *flags, "--dry-run").out
    assert "good-seed0   done" in plan and "bad-seed0    new" in plan
    assert invoke("study", file, *flags, "--fail-fast").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reprot", "--data", "x"), "there is no study 'reprot'. Did you mean report?"),
        (("report", "--data", "x", "--models", "r3d_atn8"), "Did you mean r3d_attn8"),
        (("report",), "give --data DATA"),
        (("report", "--data", "x", "--seeds", "a"), "'a' is no list of numbers"),
        (("report", "--data", "x", "--set", "epochs=2", "--epochs", "3"), "epochs is given twice"),
        (("report", "--data", "none", "--models", "r3d"), "none"),
        (("report", "--data", "x", "--set", "fail_fast=true"), "there is no setting 'fail_fast' (flag)"),
        (("report", "--data", "x", "--set", "told=1"), "there is no setting 'told' (flag)"),
        (("report", "--data", "x", "--set", "out=y"), "there is no setting 'out' (flag)"),
    ],
)
def test_what_does_not_fit_ends_in_one_line(
    invoke: Invoke, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("study", *arguments)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err
