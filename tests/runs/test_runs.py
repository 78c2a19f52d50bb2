"""What `actrec-zoo runs` and `runs compare` say of real runs, whole and damaged."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.errors import InterruptedRun
from actrec_zoo.locking import locked
from actrec_zoo.runs.comparison import compare_runs
from actrec_zoo.runs.listing import list_runs
from actrec_zoo.runs.record import STATES, read_run
from actrec_zoo.training.checkpoint import read_history
from tests.conftest import Outcome
from tests.test_docs import quoted, rows, section
from tests.training.test_trainer import TINY, InterruptAt

Invoke = Callable[..., Outcome]


@pytest.fixture(scope="module")
def trained(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `first` (finished, evaluated), `deep/second` (finished, other settings) and `cut` (interrupted)."""
    root = tmp_path_factory.mktemp("trained")
    os.environ["ACTREC_ZOO_HOME"], before = str(root / "home"), os.environ.get("ACTREC_ZOO_HOME")
    try:
        actrec_zoo.train("tiny_conv3d", squares, out=root / "runs" / "first", epochs=2, **TINY)
        actrec_zoo.evaluate(root / "runs" / "first", squares, workers=0, device="cpu")
        other = TINY | {"options.width": 6, "lr": 0.01, "splits": str(root / "runs" / "first" / "splits")}
        actrec_zoo.train("tiny_conv3d", squares, out=root / "runs" / "deep" / "second", epochs=1, **other)
        with pytest.raises(InterruptedRun):
            callbacks = [InterruptAt(6)]
            actrec_zoo.train("tiny_conv3d", squares, out=root / "runs" / "cut", epochs=3, callbacks=callbacks, **TINY)
    finally:
        os.environ.pop("ACTREC_ZOO_HOME") if before is None else os.environ.update(ACTREC_ZOO_HOME=before)
    return root / "runs"


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may damage."""
    return shutil.copytree(trained, tmp_path / "runs")


def change(file: Path, **values: object) -> None:
    """Set keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_runs_are_found_at_any_depth_the_newest_first(runs: Path) -> None:
    for name, day in (("first", 1), ("deep/second", 3), ("cut", 2)):
        change(runs / name / "run.json", started=f"2026-01-0{day}T00:00:00+00:00")
    found = list_runs(runs)
    assert [str(run.path.relative_to(runs)) for run in found] == ["deep/second", "cut", "first"]
    assert [run.state for run in found] == ["finished", "interrupted", "finished"]
    assert [(run.model, run.data, run.epochs) for run in found] == [
        ("tiny:tiny_conv3d", "squares", epochs) for epochs in (1, 1, 2)
    ]


def test_a_record_has_the_figures_of_the_run(trained: Path) -> None:
    run = read_run(trained / "first")
    history = read_history(trained / "first" / "history.csv")
    best = max(history, key=lambda record: record.rank)
    assert run.best is not None and run.evaluation is not None
    assert (run.best["epoch"], run.best["val_top1"]) == (best.epoch, best.val_top1)
    assert run.labels == ("left", "right") and run.problems == ()
    assert run.evaluation["video"]["top1"] == json.loads((trained / "first" / "eval.json").read_text())["video"]["top1"]


def test_a_run_is_running_while_a_process_holds_it(runs: Path) -> None:
    with locked(runs / "cut"):
        assert read_run(runs / "cut").state == "running"
    assert read_run(runs / "cut").state == "interrupted"


def test_a_run_of_an_older_version_has_the_age_of_its_record(runs: Path) -> None:
    record = json.loads((runs / "first" / "run.json").read_text())
    del record["started"]
    (runs / "first" / "run.json").write_text(json.dumps(record))
    os.utime(runs / "first" / "run.json", (86400, 86400))
    assert read_run(runs / "first").started.isoformat() == "1970-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("run.json", None), ("run.json", b"{"), ("run.json", b"[]"), ("run.json", b'{"config": {"model": 3}}')),
        *(("config.json", None), ("config.json", b"\xff"), ("config.json", b'{"labels": 1}')),
        *(("history.csv", b"epoch\n1\n"), ("history.csv", b"epoch,val_top1,val_loss\n1,2\n")),
        *(("history.csv", b"epoch,val_top1,val_loss\n1,2,3,4\n"), ("history.csv", b"epoch,val_top1,val_loss\n1,x,2\n")),
        *(("eval.json", b""), ("eval.json", b"{}"), ("eval.json", b'{"protocol": {}, "video": {"top1": "high"}}')),
        *(
            ("model.safetensors", b""),
            ("model.safetensors", b"damaged"),
            ("model.safetensors", b"\x02" + b"\0" * 7 + b"{}x"),
        ),
    ],
)
def test_damage_is_named_and_costs_no_other_run(runs: Path, invoke: Invoke, file: str, content: bytes | None) -> None:
    (runs / "first" / file).unlink() if content is None else (runs / "first" / file).write_bytes(content)
    outcome = invoke("runs", runs)
    assert outcome.code == 0 and outcome.err == ""
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("broken: ")]
    assert str(runs / "first" / file) in line
    assert outcome.out.count(" finished ") == 1 and outcome.out.count(" interrupted ") == 1
    outcome = invoke("runs", "compare", runs / "deep" / "second", runs / "first")
    assert outcome.code == 2 and file in outcome.err and "Traceback" not in outcome.err


def test_folders_and_links_in_the_place_of_files(runs: Path, invoke: Invoke) -> None:
    for number, name in enumerate(("run.json", "config.json", "history.csv", "eval.json", "model.safetensors")):
        folder = shutil.copytree(runs / "first", runs / f"odd{number}")
        (folder / name).unlink()
        (folder / name).mkdir()
    (runs / "loop").symlink_to(runs)
    outcome = invoke("runs", runs)
    assert outcome.code == 0 and outcome.out.count("broken: ") == 5


def test_the_table(trained: Path, invoke: Invoke) -> None:
    outcome = invoke("runs", trained)
    assert outcome.code == 0
    (line,) = [line for line in outcome.out.splitlines() if line.startswith(str(trained / "first"))]
    assert "2/2" in line and "test of squares, 2 videos, blocks 4x32" in line and line.endswith("min")
    (cut,) = [line for line in outcome.out.splitlines() if line.startswith(str(trained / "cut"))]
    assert "interrupted" in cut and "1/3" in cut


def test_the_json_and_its_documentation(trained: Path, invoke: Invoke) -> None:
    found = json.loads(invoke("runs", trained, "--json").out)
    assert found == json.loads(invoke("runs", "--json", trained).out) and len(found) == 3
    text = section("docs/reference/formats.md", "## runs --json")
    assert [name for cells in rows(text) for name in quoted(cells[0])] == list(found[0])
    first = next(run for run in found if run["path"].endswith("first"))
    for key in ("best", "evaluation"):
        assert "{" + ", ".join(first[key]) + "}" in text
    compared = json.loads(invoke("runs", "compare", trained / "first", trained / "cut", "--json").out)
    text = section("docs/reference/formats.md", "## runs compare --json")
    assert [name for cells in rows(text) for name in quoted(cells[0])] == list(compared)


def test_the_states_are_documented() -> None:
    table = rows(section("docs/reference/cli.md", "## actrec-zoo runs").split("\n### ")[0])
    assert {cells[0]: cells[1] for cells in table if cells[0] in STATES} == STATES


def test_the_folder_is_runs_without_one(trained: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    assert "runs/first" in invoke("runs").out
    monkeypatch.chdir(trained)
    outcome = invoke("runs")
    assert outcome.code == 2 and "error: there is no folder runs" in outcome.err
    outcome = invoke("runs", "first/splits")
    assert outcome.code == 0 and outcome.out == "no runs in first/splits\n"


def test_comparison(trained: Path) -> None:
    found = compare_runs([trained / "first", trained / "deep" / "second"])
    assert found.settings["options.width"] == [4, 6] and found.settings["lr"] == [0.004, 0.01]
    assert "batch_size" not in found.settings
    assert found.figures["epochs"] == [2, 1] and found.figures["eval top-1"][1] is None
    assert found.same_splits == {"train": True, "val": True, "test": True} and found.splits["train"] == [16, 16]
    assert found.warnings == (f"not evaluated: {trained / 'deep' / 'second'}",)


def test_what_makes_figures_incomparable_is_said(runs: Path) -> None:
    third = shutil.copytree(runs / "first", runs / "third")
    protocol = json.loads((third / "eval.json").read_text())["protocol"]
    change(third / "eval.json", protocol=protocol | {"split": "all", "views": 5, "seen": 3}, n_failed=1)
    change(third / "config.json", labels=["left", "up"])
    record = json.loads((third / "run.json").read_text())
    change(third / "run.json", config=record["config"] | {"data": "/elsewhere/circles.csv"})
    with (third / "splits" / "test.csv").open() as file:
        lines = list(csv.reader(file))
    (third / "splits" / "test.csv").write_text("\n".join(",".join(line) for line in lines[:-1]) + "\n")
    said = "\n".join(compare_runs([runs / "first", third, runs / "cut"]).warnings)
    for words in (
        *("cut is interrupted: 1 of 3 epochs", "the data differ: squares, circles, squares", "the classes differ"),
        *("the test videos differ (2, 1, 2; 1 of them in all)", "not evaluated: ", "differ in split: test, all"),
        *("differ in views", "1 videos of its evaluation could not be read", "has seen 3 videos"),
    ):
        assert words in said, words
    assert "the val videos" not in said


def test_the_comparison_that_is_printed(trained: Path, invoke: Invoke) -> None:
    outcome = invoke("runs", "compare", trained / "first", trained / "cut")
    assert outcome.code == 0
    for words in ("settings that differ", "epochs", "train videos (the same)", "warning: ", "is interrupted"):
        assert words in outcome.out, words


def test_nonsense_is_refused(runs: Path, squares: Path, invoke: Invoke) -> None:
    for arguments, words in (
        ((runs / "first",), "two runs or more"),
        ((runs / "first", runs / "deep" / ".." / "first"), "is named twice"),
        ((runs / "first", squares), "is no run"),
        ((runs / "first", runs / "absent"), "is no run"),
        ((), "Missing argument"),
    ):
        outcome = invoke("runs", "compare", *arguments)
        assert outcome.code == 2 and words in outcome.err and "Traceback" not in outcome.err
    (runs / "first" / "splits" / "val.csv").write_text("video;class\n")
    outcome = invoke("runs", "compare", runs / "first", runs / "deep" / "second")
    assert outcome.code == 2 and "val.csv is not a split file" in outcome.err
