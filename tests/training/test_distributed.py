"""Several processes on the CPU, started by a launcher, do what one would, and end together."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file

import actrec_zoo
from actrec_zoo.cli import BAD_INPUT
from actrec_zoo.data import feature_store, features
from actrec_zoo.distributed import losses_named
from actrec_zoo.errors import RunError
from tests.training.test_trainer import FROZEN, TINY, broken_copy
from tests.training.test_update import NO_BATCH_STATISTICS

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch")
SCRIPT = Path(__file__).with_name("launched.py")
PATIENCE = 240.0
ODD = NO_BATCH_STATISTICS | {"batch_size": 5, "workers": 1}
"""Epochs of 42 clips end with two batches of uneven shares."""

Done = subprocess.CompletedProcess[str]


def launched(*command: object, launcher: tuple[str, ...] = TORCHRUN) -> Done:
    """A command in several processes."""
    words = [*launcher, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)


def flags(settings: dict[str, Any]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def trained(data: Path, out: Path, settings: dict[str, Any], *, launcher: tuple[str, ...] = TORCHRUN) -> Done:
    """`actrec-zoo train` in several processes."""
    command = ("-m", "actrec_zoo", "train", "tiny_conv3d", "--data", data, "--out", out, *flags(settings))
    return launched(*command, launcher=launcher)


def watched(what: str, data: Path, out: Path, settings: dict[str, Any]) -> Done:
    """A run that is watched or disturbed."""
    return launched(SCRIPT, what, data, out, json.dumps(settings))


def notes(out: Path, process: int) -> list[object]:
    return [json.loads(line) for line in out.with_name(f"process{process}.jsonl").read_text().splitlines()]


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(one: Path, two: Path) -> None:
    """History and weights agree but for the order of sums."""
    for first, second in zip(history(one), history(two), strict=True):
        assert first == pytest.approx(second, abs=1e-5)
    weights, others = (load_file(run / "model.safetensors") for run in (one, two))
    for name, tensor in weights.items():
        assert torch.allclose(tensor, others[name], atol=1e-5), name


@pytest.mark.parametrize(
    "settings",
    [NO_BATCH_STATISTICS | {"accumulate": 2}, pytest.param(FROZEN | {"batch_size": 5}, marks=pytest.mark.slow)],
    ids=["clips in two parts", "features"],
)
def test_two_processes_train_the_model_that_one_does(squares: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=2, **settings)
    done = trained(squares, tmp_path / "two", settings | {"epochs": 2})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch   2/2") == 1, "one process speaks"
    assert "in 2 processes" in done.stdout
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in alone.path.iterdir()}
    assert_same_run(alone.path, tmp_path / "two")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"optimizer": "sgd", "accumulate": 2}, marks=pytest.mark.slow),
        pytest.param(FROZEN | {"batch_size": 5}, marks=pytest.mark.slow),
    ],
    ids=["adamw", "sgd in two parts", "features"],
)
def test_divided_weights_train_the_model_that_one_process_does(
    squares: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings = ODD | {"epochs": 2, "clip_grad": 0.1} | settings
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", **settings)
    done = watched("divides", squares, tmp_path / "two", settings | {"parallel": "fsdp"})
    assert done.returncode == 0, done.stderr
    assert_same_run(alone.path, tmp_path / "two")
    for checkpoint in ("last", "best"):
        whole, gathered = (
            load_file(tmp_path / run / "checkpoints" / f"{checkpoint}.safetensors") for run in ("one", "two")
        )
        assert {name: t.shape for name, t in whole.items()} == {name: t.shape for name, t in gathered.items()}
    for process in (0, 1):
        (held,) = notes(tmp_path / "two", process)
        assert 0 < int(str(held)) < 0.7 * sum(p.numel() for p in alone.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("fsdp", "ddp"), ("ddp", "fsdp")])
def test_a_run_of_divided_weights_goes_on_whole_and_the_reverse(
    squares: Path, tmp_path: Path, first: str, second: str
) -> None:
    settings = ODD | {"epochs": 2, "checkpoint_steps": 1}
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", **settings)
    done = watched("is terminated", squares, tmp_path / "two", settings | {"parallel": first})
    assert done.stderr.count("interrupted. The checkpoint is saved.") == 1, done.stderr
    words = ("-m", "actrec_zoo", "train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "two", "--resume")
    done = launched(*words, *flags({"parallel": second}))
    assert done.returncode == 0, done.stderr
    assert_same_run(alone.path, tmp_path / "two")


def test_accelerate_launch_starts_the_same_run(squares: Path, tmp_path: Path) -> None:
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=1, **FROZEN)
    launcher = (*ACCELERATE, "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0")
    done = trained(squares, tmp_path / "two", FROZEN | {"epochs": 1}, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert "in 2 processes" in done.stdout
    assert_same_run(alone.path, tmp_path / "two")


@pytest.mark.slow
def test_accelerates_single_process_is_not_taken_for_several(squares: Path, tmp_path: Path) -> None:
    launcher = (*ACCELERATE, "--cpu", "--num_processes", "2", "--num_machines", "1")
    done = trained(squares, tmp_path / "two", FROZEN | {"epochs": 1}, launcher=launcher)
    assert done.returncode != 0
    assert "start them with torchrun" in done.stderr
    assert not (tmp_path / "two").exists()


def test_every_clip_is_seen_once_an_epoch(squares: Path, tmp_path: Path) -> None:
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=2, **ODD)
    done = watched("clips", squares, tmp_path / "two", ODD | {"epochs": 2})
    assert done.returncode == 0, done.stderr
    batches = [batch for process in (0, 1) for batch in notes(tmp_path / "two", process)]
    seen = sorted(tuple(key) for batch in batches for key in batch)  # type: ignore[attr-defined]
    clips = len({index for _, index in seen})
    assert seen == [(epoch, index) for epoch in range(2) for index in range(clips)]
    assert clips % 5 == 1, "the last batch has a clip for one process alone"
    assert_same_run(alone.path, tmp_path / "two")


def test_features_are_shared_out_and_are_those_of_one_process(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "CHUNK", 4)
    monkeypatch.setattr(features, "CHUNK", 4)
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(tmp_path / "cache of one"))
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=2, **FROZEN)
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(tmp_path / "cache of two"))
    done = watched("chunks", squares, tmp_path / "two", FROZEN | {"epochs": 2})
    assert done.returncode == 0, done.stderr
    first, second = ([int(str(n)) for n in notes(tmp_path / "two", process)] for process in (0, 1))
    kept = [
        {file.relative_to(cache): file.read_bytes() for file in cache.rglob("*") if file.is_file()}
        for cache in (tmp_path / "cache of one" / "features", tmp_path / "cache of two" / "features")
    ]
    assert kept[0] == kept[1]
    chunks = sum(file.suffix == ".safetensors" for file in kept[1])
    assert len(first) + len(second) == chunks and abs(len(first) - len(second)) <= 2
    assert_same_run(alone.path, tmp_path / "two")


@pytest.mark.slow
def test_machines_with_caches_of_their_own_fill_each(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(tmp_path / "cache"))
    done = watched("own disks", squares, tmp_path / "run", FROZEN | {"epochs": 1})
    assert done.returncode == 0, done.stderr
    assert notes(tmp_path / "run", 0) == notes(tmp_path / "run", 1) != []
    names = [
        sorted(file.relative_to(cache) for file in (cache / "features").rglob("*.safetensors"))
        for cache in (tmp_path / "cache0", tmp_path / "cache1")
    ]
    assert names[0] == names[1] and len(names[0]) == len(notes(tmp_path / "run", 0))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("other data", "process 1 finds other videos in"),
        pytest.param("other settings", "process 1 has other settings than the first", marks=pytest.mark.slow),
    ],
)
def test_processes_that_were_started_differently_are_refused(
    squares: Path, tmp_path: Path, what: str, message: str
) -> None:
    shutil.copytree(squares, tmp_path / "data")
    shutil.copytree(squares, tmp_path / "data2", ignore=shutil.ignore_patterns("clip3"))
    done = watched(what, tmp_path / "data", tmp_path / "run", ODD | {"epochs": 1})
    assert done.returncode != 0
    assert done.stderr.count(message) == 1
    assert not (tmp_path / "run").exists()


def test_a_process_that_cannot_write_features_ends_all(squares: Path, tmp_path: Path) -> None:
    done = watched("full disk", squares, tmp_path / "run", FROZEN | {"epochs": 1, "cache_features": "on"})
    assert done.returncode != 0
    assert done.stderr.count("the disk of the second process is full") == 1
    assert 'Traceback (most recent call last):\n  File "' + str(SCRIPT) not in done.stderr
    assert not (tmp_path / "run").exists()


def test_other_commands_refuse_a_launcher(squares: Path, tmp_path: Path) -> None:
    done = launched("-m", "actrec_zoo", "tune", "tiny_conv3d", "--data", squares, "--out", tmp_path / "study")
    assert done.returncode != 0
    assert done.stderr.count("tune runs in one process") == 1
    assert not (tmp_path / "study").exists()


def test_what_one_process_cannot_read_is_known_to_all(squares: Path, tmp_path: Path) -> None:
    """Each video is read by one process in the only epoch."""
    data = broken_copy(squares, tmp_path / "data", broken=3)
    settings = NO_BATCH_STATISTICS | {"epochs": 1, "sampling": "uniform", "views": 1, "batch_size": 2}
    alone = actrec_zoo.train("tiny_conv3d", data, out=tmp_path / "one", **settings)
    done = trained(data, tmp_path / "two", settings)
    assert done.returncode == 0, done.stderr
    with safe_open(tmp_path / "two" / "checkpoints" / "last.safetensors", framework="pt") as file:
        failures = json.loads(file.metadata()["state"])["failures"]
    assert {video for video, *_ in failures} == {failure.video for failure in alone.result.failures}
    assert len(failures) >= 2


def test_what_is_validated_is_what_is_kept(squares: Path, tmp_path: Path) -> None:
    """Running statistics of each process are those of its own clips, until they agree."""
    done = trained(squares, tmp_path / "run", TINY | {"epochs": 1, "batch_size": 5, "ema": 0.5})
    assert done.returncode == 0, done.stderr
    report = actrec_zoo.evaluate(tmp_path / "run", squares, split="val", workers=0, device="cpu")
    assert report["video"]["loss"] == pytest.approx(history(tmp_path / "run")[0]["val_loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("nowhere", {}, "nowhere"),
        pytest.param("squares", {"augment": ["flop"]}, "unknown augmentation 'flop'", marks=pytest.mark.slow),
        pytest.param("squares", {"trainable": ["@nothing"]}, "@nothing", marks=pytest.mark.slow),
    ],
    ids=["no data", "augmentation", "group"],
)
def test_bad_input_ends_every_process_with_one_message(
    squares: Path, tmp_path: Path, data: str, settings: dict[str, Any], message: str
) -> None:
    folder = squares if data == "squares" else tmp_path / data
    done = trained(folder, tmp_path / "run", NO_BATCH_STATISTICS | {"epochs": 1} | settings)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0], done.stderr
    assert not (tmp_path / "run").exists()


def test_a_process_that_fails_within_an_epoch_ends_all(squares: Path, tmp_path: Path) -> None:
    done = watched("fails", squares, tmp_path / "run", ODD | {"epochs": 1})
    assert done.returncode != 0
    assert "error: the second process fails here" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", [pytest.param("fails", marks=pytest.mark.slow), "dies"])
def test_a_process_is_told_that_another_one_has_ended(squares: Path, tmp_path: Path, what: str) -> None:
    """Without a launcher, which ends all processes by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    meeting["OMP_NUM_THREADS"] = "1"  # as launchers set it: more threads than cores spin for minutes
    words = [sys.executable, str(SCRIPT), what, str(squares), str(tmp_path / "run"), json.dumps(ODD | {"epochs": 1})]
    started = [
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | meeting | {"RANK": rank})
        for rank in ("0", "1")
    ]
    try:
        told = [process.communicate(timeout=PATIENCE)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert started[0].returncode == BAD_INPUT
    assert "error: process 0 ends because another process of the run has ended" in told[0]
    assert "What was seen here: " in told[0] and "Connection " in told[0].split("What was seen here: ")[1]
    assert "Traceback" not in told[0]
    assert not (tmp_path / "run").exists()


@pytest.fixture
def met() -> Iterator[None]:
    """This process, as the only one of its group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


NCCL = "NCCL error in: ProcessGroupNCCL.cpp:77, "


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (RuntimeError("[pair.cc:553] Read error [10.0.0.1]:2: Connection closed by peer [10.0.0.2]:3"), "Read error"),
        (RuntimeError("[pair.cc:553] Read error [10.0.0.1]:2: Connection reset by peer"), "Connection reset"),
        (RuntimeError("[unbound_buffer.cc:81] Timed out waiting 1000ms for recv operation to complete"), "1000ms"),
        (
            dist.DistBackendError(
                f"{NCCL}remote process exited or there was a network error, NCCL version 2.27.5\nncclRemoteError: "
                "A call failed possibly due to a network error or a remote process exiting prematurely."
            ),
            r"network error, NCCL version 2\.27\.5$",
        ),
        (
            dist.DistNetworkError("Failed to recv, got 0 bytes. Connection was likely closed. Did the server crash?"),
            "got 0 bytes",
        ),
    ],
)
def test_what_tells_of_a_loss_is_told_with_it(met: None, error: RuntimeError, seen: str) -> None:
    told = pytest.raises(RunError, match=f"another process of the run has ended.*What was seen here: .*{seen}")
    with told, losses_named():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        dist.DistBackendError(f"{NCCL}invalid usage, NCCL version 2.27.5\nncclInvalidUsage: Duplicate GPU detected"),
        dist.DistBackendError(
            f"{NCCL}unhandled system error, NCCL version 2.27.5\nncclSystemError: System call (e.g. socket, malloc) or "
            "external library call failed or device error.\nLast error:\nError while creating shared memory segment "
            "/dev/shm/nccl-1 (size 9637888), error: No space left on device (28)"
        ),
        RuntimeError("[enforce fail at gloo/algorithm.cc] tensors have other sizes"),
    ],
    ids=["duplicate GPU", "small /dev/shm", "sizes"],
)
def test_what_else_a_backend_refuses_stays_what_it_is(met: None, error: RuntimeError) -> None:
    with pytest.raises(type(error)) as raised, losses_named():
        raise error
    assert raised.value is error


@pytest.mark.slow
def test_too_many_unreadable_videos_end_all(squares: Path, tmp_path: Path) -> None:
    data = broken_copy(squares, tmp_path / "data", broken=10)
    done = trained(data, tmp_path / "run", ODD | {"epochs": 30, "frames": 12})
    assert done.returncode != 0
    assert "videos cannot be read, more than the 3 allowed" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["dies", pytest.param("is terminated", marks=pytest.mark.slow)])
def test_a_run_that_lost_a_process_goes_on_in_another_number_of_them(squares: Path, tmp_path: Path, what: str) -> None:
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=2, **ODD)
    done = watched(what, squares, tmp_path / "two", ODD | {"epochs": 2, "checkpoint_steps": 1})
    assert done.returncode != 0
    if what == "is terminated":
        assert done.stderr.count("interrupted. The checkpoint is saved.") == 1, done.stderr
    assert not list((tmp_path / "two").rglob("*.tmp"))
    assert not (tmp_path / "two" / "model.safetensors").exists()
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "two", resume=True)
    assert_same_run(alone.path, tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [lambda process: process.terminate(), lambda process: os.killpg(process.pid, signal.SIGINT)],
    ids=["the launcher is terminated", "Ctrl-C in a terminal"],
)
def test_a_launcher_that_is_stopped_leaves_a_checkpoint(
    squares: Path, tmp_path: Path, stop: Callable[[subprocess.Popen[str]], None]
) -> None:
    run = tmp_path / "run"
    words = [*TORCHRUN, "-m", "actrec_zoo", "train", "tiny_conv3d", "--data", squares, "--out", run]
    words += flags(ODD | {"epochs": 10_000})
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*map(str, words)], stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "epoch   1/" in line)
        stop(process)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert told.count("interrupted. The checkpoint is saved.") == 1, told
    assert (run / "checkpoints" / "last.safetensors").is_file()
