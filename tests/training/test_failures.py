"""What ends a run from outside: no space, a folder that cannot be written, a killed worker, SIGTERM.

The last good state stays, and the run goes on from it to the same bytes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.data.probe import no_progress
from actrec_zoo.errors import InterruptedRun, RunError
from actrec_zoo.training.state import Callback, TrainingState
from tests.conftest import SMALL, Outcome
from tests.training.test_trainer import FROZEN, TINY, SendTwiceAt, rows

Invoke = Callable[..., Outcome]
TWO = (*SMALL, "--batch-size", "4", "--epochs", "2", "--workers", "0", "--device", "cpu")


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Exit code 2 and one line on stderr that is no traceback."""
    assert outcome.code == 2
    assert outcome.err.strip().splitlines()[-1].startswith("error: ") and "Traceback" not in outcome.err
    assert all(word in outcome.err for word in words), outcome.err


def assert_goes_on(squares: Path, cut: Path, whole: Path, **settings: Any) -> None:
    """Nothing is half written, and the run goes on to what an uninterrupted one ends with."""
    assert {path.name for path in cut.rglob(".*")} <= {".lock"}
    run = actrec_zoo.train("tiny_conv3d", squares, out=cut, resume=True, **settings)
    assert (run.path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert rows(run.path) == rows(whole)


def whole_run(squares: Path, folder: Path, **settings: Any) -> Path:
    return actrec_zoo.train("tiny_conv3d", squares, out=folder / "whole", **TINY | {"epochs": 2} | settings).path


def test_a_disk_that_is_full_at_any_moment(squares: Path, tmp_path: Path, small_disk: Path, invoke: Invoke) -> None:
    whole = whole_run(squares, tmp_path)
    ballast, refused = small_disk / "ballast", 0
    for number, free in enumerate(range(0, 400, 24)):
        ballast.write_bytes(b"\0" * (400 - free) * 1024)
        run = small_disk / f"run{number}"
        outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", run, *TWO)
        ballast.unlink()
        if not outcome.code:
            break
        refused += 1
        assert_refused(outcome, "Free some space" if run.exists() or free else "error")
        assert_goes_on(squares, run, whole, **{} if run.exists() else TINY | {"epochs": 2})
        subprocess.run(["rm", "-r", run], check=True)
    else:
        pytest.fail("the disk was never large enough")
    assert refused > 5


@contextmanager
def file_size_limited(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: EFBIG, as a quota gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow_any_further(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    command = ("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *TWO)
    for size in (100, 10_000):
        with file_size_limited(size):
            assert_refused(invoke(*command), "cannot write", "File too large")
        assert not (tmp_path / "run").exists()


def make_read_only(folder: Path) -> None:
    """Let a folder be one that cannot be written, even by root; skips the test where that is not possible."""
    for options in (["--bind", folder], ["-o", "remount,bind,ro"]):
        if subprocess.run(["mount", *options, folder], check=False, capture_output=True).returncode:
            pytest.skip("a read-only folder cannot be mounted here")


def test_a_folder_that_cannot_be_written(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "disk" / "run", epochs=1, **TINY).path
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    command = ("train", "tiny_conv3d", "--data", squares, "--out")
    make_read_only(tmp_path / "disk")
    try:
        assert_refused(invoke(*command, tmp_path / "disk" / "other", *TWO), str(tmp_path / "disk"))
        assert_refused(invoke(*command, run, "--resume"), str(run))
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


class ReadOnly(Callback):
    """Lets a folder be read-only from the first epoch on, as a disk with errors is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, state: TrainingState) -> None:
        make_read_only(self.folder)


def test_a_disk_that_turns_read_only_while_it_trains(squares: Path, tmp_path: Path) -> None:
    whole = whole_run(squares, tmp_path)
    folder = tmp_path / "run" / "checkpoints"
    settings = TINY | {"epochs": 2, "callbacks": [ReadOnly(folder)]}
    with pytest.raises(RunError, match=f"cannot write {folder}"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    subprocess.run(["umount", folder], check=True)
    assert_goes_on(squares, tmp_path / "run", whole)


def test_a_loss_that_becomes_no_number(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    """The second epoch has a learning rate that no network stands."""
    exploding = ("--set", "schedule=step", "--set", "milestones=[1]", "--set", "gamma=1e30")
    exploding += ("--set", "optimizer=sgd", "--set", "warmup_epochs=0")
    command = ("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run")
    assert_refused(
        invoke(*command, *TWO, *exploding), "epoch 2, step 2", "/clip", "--set lr=", "Nothing of that step is saved"
    )
    checkpoint = (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes()
    assert len(rows(tmp_path / "run")) == 1
    assert_refused(invoke(*command, "--resume"), "epoch 2, step 2")
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes() == checkpoint
    assert not (tmp_path / "run" / "model.safetensors").exists()


class SendAt(Callback):
    """Sends a signal to some processes after so many steps; from a process that is not their parent."""

    def __init__(self, steps: int, number: int, *, workers: bool, main: bool) -> None:
        self.left, self.number, self.workers, self.main = steps, number, workers, main

    def on_start(self, state: TrainingState) -> None:
        self.on_step(state)

    def on_step(self, state: TrainingState) -> None:
        if self.left == 0:
            processes = [child.pid for child in multiprocessing.active_children() if self.workers]
            processes += [os.getpid()] if self.main else []
            assert processes
            subprocess.run(["kill", f"-{self.number}", *map(str, processes)], check=True)
        self.left -= 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch's handler may run within a fork
def test_a_killed_worker_ends_the_run_and_it_goes_on_from_the_checkpoint(squares: Path, tmp_path: Path) -> None:
    whole = whole_run(squares, tmp_path, epochs=8)
    callbacks = [SendAt(7, signal.SIGKILL, workers=True, main=False)]
    settings = TINY | {"epochs": 8, "workers": 2, "checkpoint_steps": 2, "callbacks": callbacks}
    with pytest.raises(RunError, match="a process that reads videos ended before its time"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    assert_goes_on(squares, tmp_path / "run", whole, workers=1)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="nobody tells here who sent a signal")
@pytest.mark.parametrize(("steps", "workers"), [(0, 2), (1, 1), (4, 2), (6, 2)])
def test_sigterm_to_every_process_of_a_node_saves_the_step(
    squares: Path, tmp_path: Path, steps: int, workers: int
) -> None:
    whole = whole_run(squares, tmp_path)
    callbacks = [SendAt(steps, signal.SIGTERM, workers=steps > 0, main=True)]  # 0: the workers do not run yet
    with pytest.raises(InterruptedRun, match="The checkpoint is saved"):
        settings = TINY | {"epochs": 2, "workers": workers, "callbacks": callbacks}
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    assert_goes_on(squares, tmp_path / "run", whole, workers=0)


def test_a_second_sigterm_does_not_cut_the_step(squares: Path, tmp_path: Path) -> None:
    """As a launcher passes on its own, after the node has sent one to both."""
    whole = whole_run(squares, tmp_path)
    settings = TINY | {"epochs": 2, "callbacks": [SendTwiceAt(3, signal.SIGTERM)]}
    with pytest.raises(InterruptedRun, match="The checkpoint is saved"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    assert_goes_on(squares, tmp_path / "run", whole)


@pytest.mark.parametrize(("steps", "message"), [(3, "No step is saved"), (6, "the checkpoint before stays")])
def test_a_second_ctrl_c_is_not_said_to_save(squares: Path, tmp_path: Path, steps: int, message: str) -> None:
    settings = TINY | {"epochs": 2, "callbacks": [SendTwiceAt(steps, signal.SIGINT)]}
    with pytest.raises(InterruptedRun, match=message):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)


class TerminateWhileValidating(Callback):
    """Sends SIGTERM when the network is first asked without being trained."""

    def on_start(self, state: TrainingState) -> None:
        self.hook = state.model.net.register_forward_pre_hook(self._terminate)

    def _terminate(self, net: Any, inputs: Any) -> None:
        if not net.training:
            self.hook.remove()
            signal.raise_signal(signal.SIGTERM)


def test_sigterm_while_it_validates_saves_the_steps(squares: Path, tmp_path: Path) -> None:
    whole = whole_run(squares, tmp_path, sampling="uniform", views=9)
    settings = TINY | {"epochs": 2, "sampling": "uniform", "views": 9, "callbacks": [TerminateWhileValidating()]}
    with pytest.raises(InterruptedRun, match="The checkpoint is saved"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "history.csv").exists()
    assert_goes_on(squares, tmp_path / "run", whole)


def test_sigterm_while_features_are_computed(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whole_run(squares, tmp_path, **FROZEN)
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(tmp_path / "cache"))

    def track(items: Any, total: int, label: str) -> Iterator[Any]:
        for number, item in enumerate(no_progress(items, total, label)):
            if label == "Backbone features" and number == 1:
                signal.raise_signal(signal.SIGTERM)
            yield item

    settings = FROZEN | {"epochs": 2, "workers": 1}
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRun, match="No step is saved"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", track=track, **settings)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list((tmp_path / "cache").rglob(".*"))
    assert_goes_on(squares, tmp_path / "run", whole, workers=0)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="nobody tells here who sent a signal")
def test_a_preempted_process_group_ends_with_130(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "actrec_zoo", "train", "tiny_conv3d", "--data", squares, "--out", run]
    flags = (*SMALL, "--epochs", "4000", "--workers", "2", "--device", "cpu")
    process = subprocess.Popen(
        [*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "--resume" in errors and "Traceback" not in errors
    assert (run / "checkpoints" / "last.safetensors").is_file()
    assert [path.name for path in run.rglob(".*")] == [".lock"]


@pytest.mark.parametrize("kills", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_runs_end_like_one_that_was_not(tmp_path: Path, kills: int) -> None:
    command = ["benchmarks/resume.py", "--kills", str(kills), "--seed", "3", "--json", str(tmp_path / "tally.json")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads((tmp_path / "tally.json").read_text())
    assert tally["kills"] == sum(tally["kills_by_phase"].values()) == kills
    assert sum(tally["runs_compared"].values()) >= 1 and tally["differences"] == []
