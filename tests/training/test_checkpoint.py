"""Which checkpoints are kept, and from which one a run goes on, whatever a kill or a bad disk has left."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.amp import GradScaler

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import RunError
from actrec_zoo.training.average import MovingAverage
from actrec_zoo.training.checkpoint import load_checkpoint, read_best, save_checkpoint
from actrec_zoo.training.state import Callback, EpochRecord, Running, TrainingState
from tests.training.test_trainer import FROZEN, TINY, rows

KEEPING: dict[str, Any] = TINY | {"epochs": 3, "keep_checkpoints": 2}


@pytest.fixture
def run(squares: Path, tmp_path: Path) -> Path:
    """A finished run of three epochs that keeps the states of two."""
    return actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **KEEPING).path


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def as_killed_in_the_last_epoch(run: Path) -> None:
    """Take back what the end of a run writes."""
    for name in ("model.safetensors", "README.md"):
        (run / name).unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.unlink()  # its other name keeps the old bytes
    path.write_bytes(content)


def test_the_states_of_so_many_epochs_are_kept(squares: Path, run: Path) -> None:
    kept = ["best.safetensors", "epoch-0002.safetensors", "epoch-0003.safetensors", "last.safetensors"]
    assert checkpoints(run) == kept
    last, third = (load_file(run / "checkpoints" / name) for name in ("last.safetensors", "epoch-0003.safetensors"))
    assert all(torch.equal(last[name], third[name]) for name in last)
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True, keep_checkpoints=1)
    assert checkpoints(run) == ["best.safetensors", "last.safetensors"]


@pytest.mark.parametrize("damage", [cut, flip_a_bit, Path.unlink])
def test_where_the_last_checkpoint_is_damaged_the_one_before_is_taken(
    squares: Path, run: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    folder = run / "checkpoints"
    whole = {name: (run / name).read_bytes() for name in ("model.safetensors", "checkpoints/best.safetensors")}
    history = rows(run)
    as_killed_in_the_last_epoch(run)
    damage(folder / "last.safetensors")
    (folder / "epoch-0003.safetensors").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        resumed = actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    assert resumed.result.last.epoch == 3
    assert {name: (run / name).read_bytes() for name in whole} == whole and rows(run) == history
    assert f"{folder / 'epoch-0003.safetensors'} is damaged" in caplog.text
    assert f"The run goes on from {folder / 'epoch-0002.safetensors'}" in caplog.text
    assert (f"{folder / 'last.safetensors'} is damaged" in caplog.text) == (damage is not Path.unlink)
    caplog.clear()
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    assert "damaged" not in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_names_them(squares: Path, run: Path) -> None:
    for name in ("last", "epoch-0002", "epoch-0003"):
        (run / "checkpoints" / f"{name}.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"last\.safe.* is damaged.*epoch-0003.*epoch-0002.*Delete the run folder"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)


def test_a_kill_between_the_files_of_an_epoch_loses_none(squares: Path, run: Path) -> None:
    """last.safetensors knows the epoch, and neither history.csv nor the other name of the state does."""
    history = (run / "history.csv").read_text()
    as_killed_in_the_last_epoch(run)
    (run / "history.csv").write_text("".join(history.splitlines(keepends=True)[:-1]))
    (run / "checkpoints" / "epoch-0003.safetensors").unlink()
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    assert (run / "history.csv").read_text() == history
    assert "epoch-0003.safetensors" in checkpoints(run)


@pytest.mark.parametrize("left", [("run.json",), ("history.csv", "run.json", "checkpoints/last.safetensors")])
def test_what_a_killed_process_half_wrote_is_removed(squares: Path, run: Path, left: tuple[str, ...]) -> None:
    whole = (run / "model.safetensors").read_bytes()
    if left == ("run.json",):  # killed while it wrote its first file
        shutil.rmtree(run)
        run.mkdir()
    for name in left:
        path = run / name
        (path.parent / f".{path.name}.a1_b2c3d.tmp").write_bytes(b"half")
        (path.parent / ".tmp9XuCEX").write_bytes(b"half")  # of safetensors
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True, **KEEPING)
    assert [path.name for path in run.rglob(".*")] == [".lock"]
    assert (run / "model.safetensors").read_bytes() == whole


def test_other_hidden_files_are_left_alone(squares: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".mine.tmp").write_text("years of work")
    with pytest.raises(RunError, match="no run to resume"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", resume=True, **TINY)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".mine.tmp"]


def test_where_a_run_happens_is_noted_when_it_changes(squares: Path, run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True, trackers=("tensorboard",), checkpoint_steps=2)
    noted = json.loads((run / "run.json").read_text())
    assert noted["config"] == record["config"] | {"trackers": ["tensorboard"], "checkpoint_steps": 2}
    assert noted["origins"]["trackers"] == "flag" and noted["started"] == record["started"]
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    assert json.loads((run / "run.json").read_text()) == noted


def state(scale: float) -> TrainingState:
    """The state of a run in fp16 with a moving average, after an epoch."""
    model = actrec_zoo.load("tiny_conv3d", weights=None)
    config = TrainConfig(model="tiny_conv3d", data="data", precision="fp16", ema=0.5, patience=2)
    made = TrainingState(model, torch.optim.AdamW(model.parameters()), config, Running(torch.device("cpu")), steps=4)
    made.ema = MovingAverage(model, config.ema or 0.5)
    made.scaler = GradScaler("cpu", init_scale=scale, growth_interval=3)
    return made


def test_scaler_average_and_patience_are_restored(tmp_path: Path) -> None:
    saved = state(scale=1024.0)
    assert saved.ema is not None and saved.scaler is not None
    saved.scaler.scale(torch.ones(()))
    saved.scaler.update(512.0)
    for parameter in saved.model.parameters():
        parameter.data.add_(1.0)
    saved.ema.update(100)
    saved.history = [EpochRecord(n, 0.1 * n, 0.0, 1.0, 0.5 - 0.1 * n, 0.3, 0.0) for n in (1, 2)]
    saved.best, saved.epoch, saved.step = saved.history[0], 2, 3
    saved.running.add(3, torch.tensor(1.25), torch.tensor(1.0))
    save_checkpoint(tmp_path / "last.safetensors", saved)
    found = state(scale=2.0)
    assert found.ema is not None and found.scaler is not None
    load_checkpoint(tmp_path / "last.safetensors", found)
    assert found.scaler.state_dict() == saved.scaler.state_dict() and found.scaler.get_scale() == 512.0
    average = saved.ema.state_dict()
    assert len(average) == len(list(saved.model.parameters()))
    assert all(torch.equal(tensor, average[name]) for name, tensor in found.ema.state_dict().items())
    assert (found.history, found.best, found.epoch, found.step) == (saved.history, saved.best, 2, 3)
    assert not found.done and found.running.own() == saved.running.own()
    found.epoch = 3
    assert found.done


def test_what_does_not_train_is_written_once(squares: Path, tmp_path: Path) -> None:
    settings = FROZEN | {"epochs": 2, "cache_features": "off"}
    seen: list[tuple[int, int]] = []

    class Look(Callback):
        def on_epoch_end(self, state: TrainingState) -> None:
            status = (tmp_path / "run" / "checkpoints" / "frozen.safetensors").stat()
            seen.append((status.st_ino, status.st_mtime_ns))

    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", callbacks=[Look()], **settings)
    assert len(seen) == 2 and seen[0] == seen[1]
    trained = {name for name, p in run.model.net.named_parameters() if name.startswith("head.")}
    buffers = {name for name, _ in run.model.net.named_buffers()}
    frozen, best, last = (
        load_file(run.path / "checkpoints" / f"{name}.safetensors") for name in ("frozen", "best", "last")
    )
    whole = load_file(run.path / "model.safetensors")
    assert best.keys() == trained | buffers
    assert {name.removeprefix("model.") for name in frozen} == whole.keys() - best.keys()
    assert not frozen.keys() & last.keys()
    assert all(torch.equal(whole[name.removeprefix("model.")], tensor) for name, tensor in frozen.items())


def test_damage_to_what_does_not_train_is_named(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    actrec_zoo.train("tiny_conv3d", squares, out=run, **FROZEN | {"epochs": 1})
    file = run / "checkpoints" / "frozen.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"frozen.safetensors is damaged: its checksum is wrong"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)


def test_what_does_not_train_may_not_be_missing(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    actrec_zoo.train("tiny_conv3d", squares, out=run, **FROZEN | {"epochs": 1})
    (run / "checkpoints" / "frozen.safetensors").unlink()
    with pytest.raises(RunError, match=r"frozen.safetensors is missing"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    with pytest.raises(RunError, match=r"frozen.safetensors is missing"):
        read_best(run / "checkpoints")


class EndBetween(Callback):
    """Ends the run in an epoch between its state and its weights: a folder stands where they are to be."""

    def __init__(self, run: Path, epoch: int) -> None:
        self.best, self.before = run / "checkpoints" / "best.safetensors", run.with_name("before.safetensors")
        self.epoch = epoch

    def on_step(self, state: TrainingState) -> None:
        if state.epoch == self.epoch - 1 and state.step == state.steps:
            if self.best.is_file():
                self.best.replace(self.before)
            self.best.mkdir(parents=True)

    def undo(self) -> None:
        self.best.rmdir()
        if self.before.is_file():
            self.before.replace(self.best)


IMPROVING: dict[str, Any] = TINY | {"epochs": 3, "lr": 0.003, "sampling": "uniform"}


@pytest.mark.parametrize("settings", [{}, {"ema": 0.5}, FROZEN], ids=["plain", "average", "frozen"])
@pytest.mark.parametrize("when", ["first", "best"])
def test_best_weights_that_a_kill_has_lost_are_those_of_the_state(
    squares: Path, tmp_path: Path, when: str, settings: dict[str, Any]
) -> None:
    run, improving = tmp_path / "run", IMPROVING | settings
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", **improving)
    between = EndBetween(run, 1 if when == "first" else whole.result.best.epoch)
    with pytest.raises(RunError, match=r"cannot write .*best\.safetensors"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, callbacks=[between], **improving)
    between.undo()
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    for name in ("model.safetensors", "checkpoints/best.safetensors"):
        assert (run / name).read_bytes() == (whole.path / name).read_bytes()


def test_weights_of_another_epoch_are_not_taken_for_the_best(
    squares: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    settings = TINY | {"lr": 0.0, "sampling": "uniform"}  # the first epoch stays the best
    done = actrec_zoo.train("tiny_conv3d", squares, out=run, epochs=2, **settings)
    best = run / "checkpoints" / "best.safetensors"
    assert done.result.best.epoch == 1
    with safe_open(best, framework="pt") as file:
        notes = json.loads(file.metadata()["state"])
    assert notes["epoch"] == 1
    save_file(load_file(best), best, {"state": json.dumps(notes | {"epoch": 2})})
    with pytest.raises(RunError, match=r"best.safetensors has weights of epoch 2, and those of epoch 1, the best one"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True)
    assert "unless a later epoch is better" in caplog.text


def test_damage_to_the_best_weights_is_named(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    actrec_zoo.train("tiny_conv3d", squares, out=run, epochs=1, **TINY)
    flip_a_bit(run / "checkpoints" / "best.safetensors")
    with pytest.raises(RunError, match=r"best.safetensors is damaged: its checksum is wrong"):
        read_best(run / "checkpoints")


def test_frozen_parameters_of_a_start_before_are_not_believed(squares: Path, tmp_path: Path) -> None:
    first, whole = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / str(seed), **FROZEN | {"epochs": 1, "seed": seed})
        for seed in (1, 2)
    )
    killed = tmp_path / "killed" / "checkpoints"
    killed.mkdir(parents=True)
    shutil.copy(first.path / "checkpoints" / "frozen.safetensors", killed)
    shutil.copy(whole.path / "run.json", killed.parent)
    again = actrec_zoo.train("tiny_conv3d", squares, out=killed.parent, resume=True)
    assert (again.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
