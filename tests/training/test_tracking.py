"""Trackers, with their real packages and files: what they know of a run that was interrupted and resumed."""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import ConfigError
from actrec_zoo.training.tracking import Tracking
from tests.conftest import SMALL, Outcome
from tests.distributions import run_python

NAMES = ("tensorboard", "wandb", "mlflow", "trackio")
MISSING = [name for name in NAMES if find_spec(name) is None]
Figures = dict[str, list[tuple[int, float]]]
"""Steps and values, by name."""

INTERRUPTED = """
import sys
import actrec_zoo
from actrec_zoo.errors import InterruptedRun
from tests.training.test_trainer import TINY, InterruptAt

data, out, tracker = sys.argv[1:]
try:
    actrec_zoo.train(
        "tiny_conv3d", data, out=out, epochs=3, trackers=(tracker,), callbacks=[InterruptAt(6)], **TINY
    )
except InterruptedRun:
    print("interrupted")
"""


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(name in MISSING, reason=f"{name} is not installed: pip install 'actrec-zoo[{name}]'")


def python(*arguments: object, **environ: str) -> Outcome:
    """Run the interpreter; trackers stay in the folder that `environ` gives them."""
    return run_python(*map(str, arguments), **environ)


def tracked_twice(squares: Path, run: Path, tracker: str, **environ: str) -> None:
    """A run of three epochs of four steps, interrupted after six and resumed."""
    first = python("-c", INTERRUPTED, squares, run, tracker, **environ)
    assert first.code == 0 and "interrupted" in first.out.splitlines(), first.err
    second = python("-m", "actrec_zoo", "train", "tiny_conv3d", "--data", squares, "--out", run, "--resume", **environ)
    assert second.code == 0 and "resumed at epoch 2, step 2" in second.out, second.err
    assert "warning" not in second.err.lower(), second.err


def assert_figures_are_those_of_the_history(found: Figures, run: Path) -> None:
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("train_loss", "train_top1", "val_loss", "val_top1", "lr", "epoch"):
        expected = [(4 * int(row["epoch"]), pytest.approx(float(row[column]), rel=1e-6)) for row in rows]
        assert found[column.replace("_", "/")] == expected


def identity(run: Path, tracker: str) -> str:
    known: str = json.loads((run / "trackers.json").read_text())[tracker]
    return known


def read_tensorboard(folder: Path) -> Figures:
    code = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
"""
    outcome = python("-c", code, folder)
    assert outcome.code == 0, outcome.err
    return {tag: [(step, value) for step, value in points] for tag, points in json.loads(outcome.out).items()}


@needs("tensorboard")
def test_tensorboard(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tracked_twice(squares, run, "tensorboard")
    assert_figures_are_those_of_the_history(read_tensorboard(run / "tensorboard"), run)
    (settings,) = (run / "tensorboard").glob("*/hparams.yml")
    assert "batch_size: 4" in settings.read_text() and f"run: {run}" in settings.read_text()


@pytest.mark.slow
@needs("tensorboard")
def test_steps_are_told_now_and_then(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = (
        *SMALL[:4],
        "--frames",
        "3",
        "--set",
        "stride=1",
        "--sampling",
        "blocks",
        "--batch-size",
        "1",
        "--epochs",
        "2",
    )
    command = ("train", "tiny_conv3d", "--data", squares, "--out", run, *flags, "--workers", "0", "--device", "cpu")
    outcome = python("-m", "actrec_zoo", *command, "--track", "tensorboard")
    assert outcome.code == 0 and "64 steps an epoch" in outcome.out, outcome.err
    found = read_tensorboard(run / "tensorboard")
    assert [step for step, _ in found["step/loss"]] == [50, 64 + 50]
    assert [step for step, _ in found["val/loss"]] == [64, 128]
    assert all(0 <= value <= 1 for _, value in found["step/top1"])


def wandb_records(file: Path) -> Iterator[bytes]:
    """Records of an offline run: a log as LevelDB writes it, in blocks of 32 KiB, behind a header of 7 bytes."""
    content, position, record = file.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def read_wandb(folder: Path) -> tuple[Figures, dict[str, Any], list[int]]:
    """Figures, settings and exit codes of all the offline parts of a run."""
    from wandb.proto.wandb_internal_pb2 import Record

    figures: Figures = {}
    settings: dict[str, Any] = {}
    codes = []
    for file in sorted(folder.glob("offline-run-*/*.wandb")):
        for content in wandb_records(file):
            record = Record.FromString(content)
            row = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            for name in row.keys() - {"_step", "_timestamp", "_runtime"}:
                figures.setdefault(name, []).append((json.loads(row["_step"]), json.loads(row[name])))
            for update in (*record.run.config.update, *record.config.update):
                settings[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
            codes += [record.exit.exit_code] if record.WhichOneof("record_type") == "exit" else []
    return figures, settings, codes


@pytest.mark.slow
@needs("wandb")
def test_wandb_offline(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tracked_twice(squares, run, "wandb", WANDB_MODE="offline", WANDB_SILENT="true")
    names = [path.name for path in (run / "wandb").glob("offline-run-*")]
    assert len(names) == 2 and all(name.endswith(f"-{identity(run, 'wandb')}") for name in names)
    figures, settings, codes = read_wandb(run / "wandb")
    assert_figures_are_those_of_the_history(figures, run)
    assert settings["batch_size"] == 4 and settings["run"] == str(run)
    assert codes == [130, 0]


@pytest.mark.slow
@needs("wandb")
def test_wandb_without_a_login_says_what_to_do(squares: Path, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "WANDB_MODE": "online", "WANDB_API_KEY": "", "NETRC": str(tmp_path / "netrc")}
    command = ("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *SMALL, "--workers", "0")
    outcome = python("-m", "actrec_zoo", *command, "--track", "wandb", **environ)
    assert outcome.code == 2 and "WANDB_MODE=offline" in outcome.err.splitlines()[-1], outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: --track wandb cannot start: ")
    assert not (tmp_path / "run").exists()


def read_mlflow(store: str, run: str) -> tuple[Figures, dict[str, str], str]:
    """Figures, settings and status of a run."""
    code = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
run = client.get_run(sys.argv[2])
history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
figures = {key: [(metric.step, metric.value) for metric in metrics] for key, metrics in history.items()}
print(json.dumps([figures, run.data.params, run.info.status]))
"""
    outcome = python("-c", code, store, run)
    assert outcome.code == 0, outcome.err
    figures, settings, status = json.loads(outcome.out.splitlines()[-1])
    return {name: [(s, v) for s, v in points] for name, points in figures.items()}, settings, status


@pytest.mark.slow
@needs("mlflow")
def test_mlflow(squares: Path, tmp_path: Path) -> None:
    run, store = tmp_path / "run", f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracked_twice(squares, run, "mlflow", MLFLOW_TRACKING_URI=store)
    figures, settings, status = read_mlflow(store, identity(run, "mlflow"))
    assert_figures_are_those_of_the_history(figures, run)
    assert settings["batch_size"] == "4" and settings["run"] == str(run) and status == "FINISHED"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)


@pytest.mark.slow
@needs("mlflow")
def test_a_run_that_the_tracker_has_lost_begins_anew_there(squares: Path, tmp_path: Path) -> None:
    run, store = tmp_path / "run", f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert python("-c", INTERRUPTED, squares, run, "mlflow", MLFLOW_TRACKING_URI=store).code == 0
    before = identity(run, "mlflow")
    assert read_mlflow(store, before)[2] == "KILLED"
    (tmp_path / "mlflow.db").unlink()
    command = ("train", "tiny_conv3d", "--data", squares, "--out", run, "--resume")
    outcome = python("-m", "actrec_zoo", *command, MLFLOW_TRACKING_URI=store)
    assert outcome.code == 0 and "tracker mlflow cannot go on where it was" in outcome.err
    assert identity(run, "mlflow") != before
    assert [step for step, _ in read_mlflow(store, identity(run, "mlflow"))[0]["val/loss"]] == [8, 12]


LOST = """
import sqlite3, sys
import actrec_zoo
from actrec_zoo.training.state import Callback
from tests.training.test_trainer import TINY

class Drop(Callback):
    def on_epoch_end(self, state):
        if state.epoch == 1:
            with sqlite3.connect(sys.argv[3]) as database:
                database.execute("DROP TABLE metrics")

settings = TINY | {"epochs": 3, "trackers": ("mlflow",)}
actrec_zoo.train("tiny_conv3d", sys.argv[1], out=sys.argv[2], callbacks=[Drop()], **settings)
"""


@pytest.mark.slow
@needs("mlflow")
def test_a_tracker_that_fails_later_does_not_end_the_run(squares: Path, tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    outcome = python("-c", LOST, squares, tmp_path / "run", store, MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    assert outcome.code == 0 and outcome.err.count("tracker mlflow is left out from here on: ") == 1, outcome.err
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.slow
@needs("trackio")
def test_trackio(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tracked_twice(squares, run, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    figures: Figures = {}
    with sqlite3.connect(tmp_path / "trackio" / "actrec-zoo.db") as database:
        for step, content in database.execute("SELECT step, metrics FROM metrics ORDER BY id"):
            for name, value in json.loads(content).items():
                figures.setdefault(name, []).append((step, value))
        ((settings,),) = database.execute("SELECT config FROM configs").fetchall()
        names = database.execute("SELECT DISTINCT run_name FROM metrics").fetchall()
    assert_figures_are_those_of_the_history(figures, run)
    assert json.loads(settings)["batch_size"] == 4 and json.loads(settings)["run"] == str(run)
    assert names == [(identity(run, "trackio"),)]


@pytest.mark.parametrize("name", NAMES)
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()  # as wandb leaves one in the working directory
    others = [path for path in sys.path if not (Path(path) / name / "__init__.py").exists()]
    monkeypatch.setattr("sys.path", [str(tmp_path), *others])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=rf"--track {name} needs .* pip install 'actrec-zoo\[{name}\]'"):
        Tracking(tmp_path, TrainConfig(model="m", data="d", trackers=(name,)))


@pytest.mark.skipif(not MISSING, reason="the packages of all trackers are installed")
def test_a_missing_package_is_told_before_any_data_is_read(tmp_path: Path, invoke: Callable[..., Outcome]) -> None:
    outcome = invoke("train", "tiny_conv3d", "--data", tmp_path / "nowhere", "--track", MISSING[0])
    assert outcome.code == 2 and "nowhere" not in outcome.err
    assert outcome.err.startswith(f"error: --track {MISSING[0]} needs a package that is not installed")
