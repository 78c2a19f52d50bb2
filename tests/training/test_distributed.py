"""Two processes on the CPU train the model that one would."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import actrec_zoo
from tests.training.test_trainer import FROZEN, broken_copy
from tests.training.test_update import NO_BATCH_STATISTICS


def torchrun(
    data: Path, out: Path, settings: dict[str, object], processes: int = 2
) -> subprocess.CompletedProcess[str]:
    """`actrec-zoo train` in several processes."""
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "actrec_zoo", "train", "tiny_conv3d", "--data", str(data), "--out", str(out), *flags]
    return subprocess.run([*launch, *command], capture_output=True, text=True, timeout=120, check=False)


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "settings",
    [NO_BATCH_STATISTICS | {"accumulate": 2}, FROZEN | {"batch_size": 5}],
    ids=["clips in two parts", "features"],
)
def test_two_processes_train_the_model_that_one_does(
    squares: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    alone = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "one", epochs=2, **settings)
    done = torchrun(squares, tmp_path / "two", settings | {"epochs": 2})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch   2/2") == 1, "one process speaks"
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in alone.path.iterdir()}
    for one, two in zip(history(alone.path), history(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    first, second = (load_file(run / "model.safetensors") for run in (alone.path, tmp_path / "two"))
    for name, weights in first.items():
        assert torch.allclose(weights, second[name], atol=1e-5), name


def test_what_one_process_cannot_read_is_known_to_all(squares: Path, tmp_path: Path) -> None:
    data = broken_copy(squares, tmp_path / "data", broken=2)
    done = torchrun(data, tmp_path / "run", NO_BATCH_STATISTICS | {"epochs": 1, "sampling": "blocks"})
    assert done.returncode == 0, done.stderr
    report = actrec_zoo.evaluate(tmp_path / "run", data, split="all", workers=0, device="cpu")
    assert report["n_failed"] == 2


def test_bad_input_ends_every_process(squares: Path, tmp_path: Path) -> None:
    done = torchrun(squares, tmp_path / "run", NO_BATCH_STATISTICS | {"epochs": 1, "augment": ["flop"]})
    assert done.returncode != 0
    assert "unknown augmentation 'flop'" in done.stderr
    assert not (tmp_path / "run").exists()
