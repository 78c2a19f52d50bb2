"""Whole studies on real frames: their table, what they share, how they go on, what they say of a run that fails."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.data.feature_store import features_folder
from actrec_zoo.errors import ActrecZooError, ConfigError, InterruptedRun, RunError
from actrec_zoo.training.state import Callback, TrainingState

TWO = """
title = "Two widths"
protocol = "report"
seeds = [0, 1]

[data]
ratios = [0.6, 0.2, 0.2]

[settings]
epochs = 1
size = 32
frames = 4
stride = 1
batch_size = 8
sampling = "blocks"
workers = 0
device = "cpu"

[models.narrow]
model = "tiny_conv3d"
options.width = 4
published = { top1 = 0.7442, top5 = 0.923, dataset = "HMDB_simp", protocol = "8-frame blocks", source = "a study" }

[models.wide]
model = "tiny_conv3d"
options.width = 6
published = { top1 = 0.5, dataset = "Squares", protocol = "blocks", source = "a paper" }
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    file = tmp_path / "two.toml"
    file.write_text(TWO)
    return file


def evaluations(out: Path, name: str, seeds: int = 2) -> list[dict[str, Any]]:
    return [json.loads((out / "runs" / f"{name}-seed{seed}" / "eval.json").read_text()) for seed in range(seeds)]


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "table.csv").open(newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def table_text(out: Path) -> str:
    return (out / "table.md").read_text()


def times(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in sorted(folder.rglob("*")) if file.is_file()}


class Interruption(Callback):
    """Ctrl-C at the end of an epoch, counted over all runs; notes where runs begin."""

    def __init__(self, at: int) -> None:
        self.at, self.ended = at, 0
        self.begun: list[int] = []

    def on_start(self, state: TrainingState) -> None:
        self.begun.append(state.epoch)

    def on_epoch_end(self, state: TrainingState) -> None:
        self.ended += 1
        if self.ended == self.at:
            raise KeyboardInterrupt


def test_the_table_is_that_of_the_evaluations(squares: Path, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished = actrec_zoo.study(two, squares, out=out)
    assert finished.path == out and not finished.failures
    for name, row in table(out).items():
        found = evaluations(out, name)
        top1 = [evaluation["clip"]["top1"] for evaluation in found]
        assert float(row["top1"]) == pytest.approx(mean(top1)) and float(row["top1_spread"]) == pytest.approx(
            stdev(top1)
        )
        assert (row["level"], row["seeds"], row["epochs"]) == ("clip", "2", "1")
        assert row["n"] == str(found[0]["clip"]["n"]) == "12"  # four videos of three blocks
        model = actrec_zoo.load(out / "runs" / f"{name}-seed0")
        assert row["trained_parameters"] == str(sum(p.numel() for p in model.parameters()))
    narrow, wide = finished.results["models"]
    assert not narrow["published"]["same_data"] and wide["published"]["same_data"]  # "Squares" is the folder's name
    text = (out / "table.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| narrow")]
    figures = narrow["clip"]["top1"]
    assert f"| {100 * figures['mean']:.1f} ± {100 * figures['spread']:.1f} |" in line and "| 74.42 | 92.30 |" in line
    assert "published by others on HMDB_simp, Squares, other data: top-1" in text
    assert "- a study: HMDB_simp, 8-frame blocks" in text and "percent of the 12 clips of the test split" in text
    assert json.loads((out / "study.json").read_text()) == json.loads(json.dumps(finished.results))
    assert (out / "plots" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "plots" / "curves.svg").read_text().count("<svg") == 1


def test_all_runs_have_one_split_and_cards_with_their_figures(squares: Path, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    actrec_zoo.study(two, squares, out=out, seeds=[5], settings={"wide.epochs": 2})
    splits = {file.name: file.read_text() for file in (out / "splits").glob("*.csv")}
    assert {name: text.count("\n") - 1 for name, text in splits.items()} == {
        "train.csv": 12,
        "val.csv": 4,
        "test.csv": 4,
    }
    runs = sorted((out / "runs").iterdir())
    assert [run.name for run in runs] == ["narrow-seed5", "wide-seed5"]
    for run in runs:
        assert {file.name: file.read_text() for file in (run / "splits").iterdir()} == splits
        evaluation = json.loads((run / "eval.json").read_text())
        assert evaluation["protocol"]["name"] == "report"
        assert f"{evaluation['clip']['top1']:.4f}" in (run / "README.md").read_text()
    rows = table(out)
    assert rows["narrow"]["top1_spread"] == "" and rows["wide"]["epochs"] == "2"


def test_a_study_that_was_interrupted_goes_on(squares: Path, two: Path, tmp_path: Path) -> None:
    out: Path = tmp_path / "out"
    given: dict[str, Any] = {"models": ["narrow"], "settings": {"epochs": 2}}
    first = Interruption(at=3)
    with pytest.raises(InterruptedRun, match=r"run 2 of 2, narrow-seed1. The same command goes on"):
        actrec_zoo.study(two, squares, out=out, callbacks=[first], **given)
    assert table(out)["narrow"]["status"] == "1 of 2 done"
    done = times(out / "runs" / "narrow-seed0")
    second = Interruption(at=0)
    actrec_zoo.study(two, squares, out=out, callbacks=[second], **given)
    assert times(out / "runs" / "narrow-seed0") == done
    assert (first.begun, second.begun) == ([0, 0], [1])
    assert table(out)["narrow"]["status"] == "2 of 2 done"
    again, minutes = times(out / "runs"), table(out)["narrow"]["minutes"]
    for seeds in ([1], [0, 1]):
        actrec_zoo.study(two, squares, out=out, callbacks=[second], seeds=seeds, **given)
    assert times(out / "runs") == again and len(second.begun) == 1
    assert table(out)["narrow"]["minutes"] == minutes  # also those of the seed that one call did not have


def test_other_settings_do_not_go_on(squares: Path, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    actrec_zoo.study(two, squares, out=out, models=["narrow"], seeds=[0])
    before = times(out)
    with pytest.raises(ConfigError, match=r"narrow-seed0 was begun with other settings .*: lr 0.004 -> 0.1\."):
        actrec_zoo.study(two, squares, out=out, seeds=[0], settings={"lr": 0.1})
    assert times(out) == before
    with pytest.raises(RunError, match="exists and is no study"):
        actrec_zoo.study(two, squares, out=squares)


def test_a_model_that_fails_is_listed_and_stops_no_other(squares: Path, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = {"narrow.weights": "no/such/run"}
    finished = actrec_zoo.study(two, squares, out=out, seeds=[0], settings=settings)
    assert list(finished.failures) == ["narrow-seed0"] and "no/such/run" in finished.failures["narrow-seed0"]
    rows = table(out)
    assert (rows["narrow"]["status"], rows["narrow"]["top1"]) == ("0 of 1 done, 1 failed", "")
    assert rows["wide"]["status"] == "1 of 1 done"
    assert "**`narrow-seed0` failed**: " in (out / "table.md").read_text()
    assert not actrec_zoo.study(two, squares, out=out, seeds=[0], models=["wide"], settings=settings).failures
    assert table(out) == rows and "**`narrow-seed0` failed**: " in (out / "table.md").read_text()
    with pytest.raises(ActrecZooError, match="no/such/run"):
        actrec_zoo.study(two, squares, out=out, seeds=[0], fail_fast=True, settings=settings)


class Broken(Callback):
    """A fault of the program in the first epoch."""

    def on_epoch_end(self, state: TrainingState) -> None:
        raise ZeroDivisionError("division by zero")


def test_a_fault_of_the_program_is_told_with_its_file(squares: Path, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunError, match=r"narrow-seed0 failed: ZeroDivisionError: .*errors/narrow-seed0\.txt"):
        actrec_zoo.study(two, squares, out=out, seeds=[0], fail_fast=True, callbacks=[Broken()])
    assert "in on_epoch_end" in (out / "errors" / "narrow-seed0.txt").read_text()
    assert not (out / "runs" / "wide-seed0").exists()
    narrow: dict[str, Any] = {"out": out, "seeds": [0], "models": ["narrow"]}
    assert "ZeroDivisionError" in table_text(out) and not actrec_zoo.study(two, squares, **narrow).failures
    assert "ZeroDivisionError" not in table_text(out) and not list((out / "errors").iterdir())


def test_seeds_share_the_features_of_a_frozen_backbone(squares: Path, two: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    tiny: dict[str, Any] = {"size": 32, "frames": 4, "stride": 1, "options.width": 4, "workers": 0, "device": "cpu"}
    actrec_zoo.train("tiny_conv3d", squares, out=trained, epochs=1, **tiny)
    frozen: dict[str, Any] = {"weights": str(trained), "trainable": ["@head"]}
    actrec_zoo.study(two, squares, out=tmp_path / "out", models=["narrow"], seeds=[0], settings=frozen)
    chunks = {name: time for name, time in times(features_folder()).items() if name.endswith(".safetensors")}
    assert len(chunks) == 2  # the training clips and the validation clips
    actrec_zoo.study(two, squares, out=tmp_path / "out", models=["narrow"], seeds=[0, 1], settings=frozen)
    after = {name: time for name, time in times(features_folder()).items() if name.endswith(".safetensors")}
    assert after == chunks and table(tmp_path / "out")["narrow"]["status"] == "2 of 2 done"
