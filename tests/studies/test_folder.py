"""What in a folder is a study's and what is not: nothing stands in its table that it did not measure."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file, save_file

import actrec_zoo
from actrec_zoo.errors import ActrecZooError, ConfigError, DataError, RunError
from actrec_zoo.studies import look, plan_study
from actrec_zoo.training.state import Callback, TrainingState

ONE = """
protocol = "report"
[settings]
epochs = 1
size = 32
frames = 4
stride = 1
sampling = "blocks"
workers = 0
device = "cpu"
[models.narrow]
model = "tiny_conv3d"
options.width = 4
"""
PARTS = {"train": range(6), "val": range(6, 8), "test": range(8, 10)}
HOW: dict[str, Any] = {"protocol": "report", "workers": 0, "device": "cpu", "report": False}


class Given(NamedTuple):
    """A study that is done, and what it was given."""

    file: Path
    data: Path
    classes: Path
    splits: Path
    out: Path

    @property
    def run(self) -> Path:
        return self.out / "runs" / "narrow-seed0"

    def arguments(self, **others: Any) -> dict[str, Any]:
        own = {"study": self.file, "data": self.data, "classes": self.classes, "splits": self.splits, "out": self.out}
        return {key: str(value) if isinstance(value, Path) else value for key, value in {**own, **others}.items()}

    def states(self, **others: Any) -> list[str]:
        return [state for _, state in look(plan_study(**self.arguments(**others)))]


def write_split_files(folder: Path, parts: dict[str, range]) -> Path:
    folder.mkdir()
    for name, numbers in parts.items():
        rows = [f"{label}/clip{number},{label}\n" for label in ("left", "right") for number in numbers]
        (folder / f"{name}.csv").write_text("path,label\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def made(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("made")
    (folder / "one.toml").write_text(ONE)
    (folder / "classes.txt").write_text("left\nright\n")
    splits = write_split_files(folder / "given", PARTS)
    given = Given(folder / "one.toml", squares, folder / "classes.txt", splits, folder / "out")
    assert not actrec_zoo.study(**given.arguments()).failures
    return given


@pytest.fixture
def done(made: Given, tmp_path: Path) -> Given:
    """A copy that a test may change."""
    shutil.copytree(made.out.parent, tmp_path / "own")
    record = tmp_path / "own" / made.run.relative_to(made.out.parent) / "run.json"
    record.write_text(record.read_text().replace(str(made.out.parent), str(tmp_path / "own")))
    return made._replace(
        **{
            name: tmp_path / "own" / getattr(made, name).relative_to(made.out.parent)
            for name in ("file", "classes", "splits", "out")
        }
    )


def row(out: Path) -> dict[str, str]:
    with (out / "table.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    return found


class NoTraining(Callback):
    def on_start(self, state: TrainingState) -> None:
        raise AssertionError("a run was trained again")


# Runs


def test_a_run_of_another_model_is_not_the_studys(done: Given) -> None:
    done.file.write_text(ONE.replace('"tiny_conv3d"', '"r3d"').replace("options.width = 4", ""))
    with pytest.raises(ConfigError, match=r"runs/narrow-seed0 is a run of tiny:tiny_conv3d, and the study has r3d:r3d"):
        done.states()


def test_a_run_on_other_videos_is_not_the_studys(done: Given, tmp_path: Path) -> None:
    moved = done.run.rename(tmp_path / "kept")
    shutil.copytree(moved, done.run)
    write_split_files(tmp_path / "other", {"train": range(2, 8), "val": range(2), "test": range(8, 10)})
    shutil.copytree(tmp_path / "other", done.run / "splits", dirs_exist_ok=True)
    with pytest.raises(ConfigError, match=r"narrow-seed0 was begun with other data .*: .*train\.csv has other videos"):
        done.states()
    shutil.rmtree(done.run)
    shutil.copytree(moved, done.run)
    record = json.loads((done.run / "run.json").read_text())
    record["config"]["data"] = str(tmp_path / "squares")
    (done.run / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=rf"data {tmp_path}/squares -> {done.data}"):
        done.states()


# The division


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: {"data": given.out.parent / given.data.name}, "data .*squares -> .*/own/squares"),
        (lambda given: {"data_format": "folders"}, "data_format None -> folders"),
        (lambda given: given.classes.write_text("left\n"), "the list of --classes changed"),
        (lambda given: {"classes": None}, "the list of --classes was there"),
        (lambda given: (given.splits / "val.csv").write_text("path,label\n"), "the split files of --splits changed"),
        (lambda given: {"splits": None}, "the split files of --splits was there"),
        (lambda given: given.file.write_text(ONE + "[data]\nseed = 3\n"), "seed 0 -> 3"),
        (lambda given: given.file.write_text(ONE + "[data]\nallow_leak = true\n"), "allow_leak False -> True"),
    ],
)
def test_data_that_are_divided_otherwise_need_another_folder(
    done: Given, change: Callable[[Given], Any], said: str
) -> None:
    assert done.states() == ["done"]
    given = change(done)
    with pytest.raises(ConfigError, match=rf"own/out was begun with other data .*: {said}.*Choose another --out"):
        actrec_zoo.study(**done.arguments(**(given if isinstance(given, dict) else {})))


def test_a_folder_may_be_named_from_elsewhere(done: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.out)
    (done.out.parent / "squares").symlink_to(done.data)
    near = {"data": "../squares", "classes": "../classes.txt", "splits": "../given", "out": "../out"}
    assert done.states(**near) == ["done"]


# Evaluations


def other_weights(given: Given) -> None:
    file = given.run / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, {"format": "pt"})


def other_labels(given: Given) -> dict[str, Any]:
    file = given.out / "labels.toml"
    file.write_text('[labels]\n"left" = "right"\n"right" = "left"\n')
    return {"map_labels": file}


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda given: {}, "done"),
        (lambda given: {"corrupt": ["shuffle"]}, "done"),
        (lambda given: {"splits": write_split_files(given.out / "o", {"test": range(2, 4)})}, "trained"),
        (lambda given: {"splits": write_split_files(given.out / "o", {"test": range(8, 9)})}, "trained"),
        (lambda given: {"split": "val"}, "trained"),
        (lambda given: {"protocol": "video"}, "trained"),
        (lambda given: {"precision": "bf16"}, "trained"),
        (other_labels, "trained"),
        (lambda given: {"data": shutil.copytree(given.data, given.out / "squares")}, "trained"),
    ],
    ids=["same", "corrupted beside", "seen", "fewer", "val", "video", "bf16", "mapped", "copy"],
)
def test_an_evaluation_made_otherwise_is_not_the_studys(
    done: Given, change: Callable[[Given], dict[str, Any]], state: str
) -> None:
    given = {"data": done.data, **HOW, **change(done)}
    actrec_zoo.evaluate(done.run, given.pop("data"), **given)
    assert done.states() == [state]


def test_an_evaluation_that_is_not_the_studys_is_made_again(done: Given) -> None:
    before = row(done.out)
    other_weights(done)
    assert done.states() == ["trained"]
    assert not actrec_zoo.study(**done.arguments(), callbacks=[NoTraining()]).failures
    assert done.states() == ["done"] and float(row(done.out)["minutes"]) >= float(before["minutes"])


def test_a_damaged_evaluation_is_made_again(done: Given) -> None:
    (done.run / "eval.json").write_text("{")
    assert done.states() == ["trained"]


def test_figures_of_other_versions_are_told(done: Given) -> None:
    told = json.loads((done.run / "eval.json").read_text())
    now, told["versions"]["torch"] = told["versions"]["torch"], "2.0"
    (done.run / "eval.json").write_text(json.dumps(told))
    done.file.write_text(ONE + '[models.same]\nmodel = "tiny_conv3d"\noptions.width = 4\n')
    shutil.copytree(done.run, done.out / "runs" / "same-seed0")
    assert actrec_zoo.study(**done.arguments()).results["versions"]["torch"] == ["2.0"]
    assert "other versions" not in (done.out / "table.md").read_text()
    (done.run / "eval.json").unlink()
    assert actrec_zoo.study(**done.arguments()).results["versions"]["torch"] == sorted({"2.0", now})
    assert f"Measured with several versions: torch 2.0, {now}" in (done.out / "table.md").read_text()


@pytest.mark.slow
def test_a_leak_that_is_allowed_is_no_other_evaluation(done: Given, tmp_path: Path) -> None:
    done.file.write_text(ONE + "[data]\nallow_leak = true\n")
    leaky = write_split_files(tmp_path / "leaky", {**PARTS, "test": range(7, 10)})
    given = {"splits": leaky, "out": tmp_path / "out"}
    assert not actrec_zoo.study(**done.arguments(**given)).failures
    assert done.states(**given) == ["done"]


# Kills, and folders of others


REST = ("study.json", "table.md", "table.csv", "ledger.json", "plots/curves.png")
CARD, EVALUATION = "runs/narrow-seed0/README.md", "runs/narrow-seed0/eval.json"


@pytest.mark.parametrize(
    ("lost", "state"),
    [(REST, "done"), ((*REST[:2], CARD), "done"), ((EVALUATION,), "trained"), ((*REST, CARD, EVALUATION), "trained")],
)
def test_a_study_goes_on_without_what_a_kill_left_out(done: Given, lost: tuple[str, ...], state: str) -> None:
    before = row(done.out)
    for name in lost:
        (done.out / name).unlink()
    assert done.states() == [state]
    actrec_zoo.study(**done.arguments(), callbacks=[NoTraining()])
    told = row(done.out)
    assert {**told, "minutes": ""} == {**before, "minutes": ""}
    assert bool(told["minutes"]) == ("ledger.json" not in lost)  # those of the evaluation alone are not the run's
    figure = json.loads((done.out / EVALUATION).read_text())["clip"]["top1"]
    assert f"{figure:.4f}" in (done.out / CARD).read_text()
    assert all((done.out / name).is_file() for name in lost if name != "ledger.json")


@pytest.mark.slow
@pytest.mark.parametrize("at", ["splits", "ledger.json", "runs/narrow-seed0/run.json", EVALUATION, CARD])
def test_a_study_that_was_killed_ends_as_any_other(done: Given, at: str) -> None:
    before = row(done.out)
    shutil.rmtree(done.out)
    flags = [f"--{key}={value}" for key, value in done.arguments().items() if key != "study"]
    command = [sys.executable, "-m", "actrec_zoo", "study", str(done.file), *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (done.out / at).exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not actrec_zoo.study(**done.arguments()).failures
    assert done.states() == ["done"]
    assert {**row(done.out), "minutes": ""} == {**before, "minutes": ""}


def test_splits_are_there_with_what_they_are_of_or_not_at_all(done: Given) -> None:
    half = done.out.parent / "half"
    shutil.copytree(done.out / "splits", half / ".splits.part")
    (half / ".splits.part" / "origin.json").unlink()
    (half / ".lock").touch()
    assert done.states(out=half) == ["new"]
    (half / ".splits.part").rename(half / "splits")
    with pytest.raises(RunError, match=r"half exists and is no study: it holds splits, and no splits/origin\.json"):
        done.states(out=half)


@pytest.mark.parametrize("name", ["train.csv", "val.csv", "test.csv"])
def test_splits_that_were_changed_are_noticed(done: Given, name: str) -> None:
    file = done.out / "splits" / name
    text = file.read_text()
    file.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(RunError, match=rf"splits/{name} is not as when the study was begun"):
        done.states()
    file.unlink()
    with pytest.raises(RunError, match=rf"splits/{name} is gone"):
        done.states()
    file.write_text(text)
    assert done.states() == ["done"]


def test_a_folder_of_another_study_is_refused(done: Given, tmp_path: Path) -> None:
    other = shutil.copy(done.file, tmp_path / "other.toml")
    with pytest.raises(RunError, match=r"own/out holds the study 'one.toml', not 'other.toml'. Choose another --out"):
        done.states(study=other)
    for file in (done.out / "splits").iterdir():
        file.unlink()
    with pytest.raises(RunError, match=r"out exists and is no study: it holds .*, and no splits/origin\.json"):
        done.states()
    (done.out / "splits" / "origin.json").write_text("[]")
    with pytest.raises(RunError, match=r"origin\.json is not the record of a study"):
        done.states()


def test_a_damaged_ledger_is_told_at_once(done: Given) -> None:
    (done.out / "ledger.json").write_text("{}")
    with pytest.raises(RunError, match=r"ledger\.json is not the ledger of a study: remove it"):
        done.states()


@pytest.mark.parametrize("missing", ["classes", "splits"])
def test_what_is_missing_is_told_before_anything_is_written(done: Given, missing: str) -> None:
    out = done.out.parent / "new"
    with pytest.raises(DataError, match="nowhere"):
        actrec_zoo.study(**done.arguments(out=out, **{missing: "nowhere"}))
    assert not out.exists()


def test_a_dry_run_tells_the_same_errors(
    done: Given, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [f"--{key}={value}" for key, value in done.arguments().items() if key not in ("study", "data")]
    calls = [("study", done.file, "--data", data, *flags, "--dry-run") for data in (done.data, "other")]
    assert "narrow-seed0   done" in invoke(*calls[0]).out
    told = invoke(*calls[1])
    assert told.code == 2 and "was begun with other data" in told.err
    with pytest.raises(ActrecZooError) as error:
        actrec_zoo.study(**done.arguments(data=Path("other")))
    assert str(error.value) in told.err
