"""`batch_size=auto`, and what is said when memory ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from actrec_zoo.registry import get_registry
from actrec_zoo.training.batch_size import choose_batch_size, tried
from actrec_zoo.training.objective import Classification
from actrec_zoo.training.rehearsal import rehearse
from tests.conftest import moving_square, write_frames
from tests.distributions import run_python
from tests.training.test_recompute import small
from tests.training.test_rehearsal import Blank
from tests.training.test_trainer import TINY, InterruptAt

MIB = 2**20


class Clips(Blank):
    def __init__(self, frames: int, size: int, length: int) -> None:
        super().__init__(frames, size)
        self.length = length

    def __len__(self) -> int:
        return self.length


@pytest.mark.parametrize(("name", "room"), [("tiny_conv3d", 20), ("tiny_conv3d", 60), ("timesformer", 700)])
def test_the_largest_power_of_two_that_fits_is_chosen(name: str, room: int) -> None:
    model = small(get_registry().find(name))
    config = TrainConfig(model=name, data="none", batch_size="auto", optimizer="sgd", momentum=0)
    clips = Clips(4, 64, 10_000)
    loss = Classification(config)
    chosen = choose_batch_size(model, clips, config, loss, room * MIB)
    assert 1 < chosen < 256 and chosen & (chosen - 1) == 0
    assert rehearse(model, clips, config, loss, chosen) <= room * MIB
    assert rehearse(model, clips, config, loss, 2 * chosen) > room * MIB


def test_parts_are_counted_and_there_is_a_bound() -> None:
    model = small(get_registry().find("tiny_conv3d"))
    config = TrainConfig(model="tiny_conv3d", data="none", batch_size="auto", accumulate=4)
    loss = Classification(config)
    assert choose_batch_size(model, Clips(4, 64, 10_000), config, loss, 20_000 * MIB) == 4 * 256
    assert choose_batch_size(model, Clips(4, 64, 15), config, loss, 20_000 * MIB) == 4 * 2, "there are 15 clips"


def test_when_no_clip_fits_the_message_says_what_takes_less() -> None:
    model = small(get_registry().find("r3d"))
    config = TrainConfig(model="r3d", data="none", batch_size="auto")
    with pytest.raises(RunError, match=r"a step of one clip takes \d+ MiB, and 100 MiB may be used"):
        choose_batch_size(model, Clips(4, 64, 8), config, Classification(config), 100 * MIB)


def test_a_run_notes_the_number_and_a_resumed_one_keeps_it(squares: Path, tmp_path: Path) -> None:
    settings = TINY | {"batch_size": "auto", "epochs": 2}
    with pytest.raises(InterruptedRun):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", callbacks=[InterruptAt(1)], **settings)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["batch_size"] == 16 and record["origins"]["batch_size"] == "auto", "of 16 clips"
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", resume=True, batch_size="auto")
    assert run.result.last.epoch == 2
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", **settings | {"batch_size": 16})
    assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_word_that_is_no_number_is_refused(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **TINY | {"batch_size": "many"})


@pytest.mark.parametrize(
    "words", ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
)
def test_a_shortage_halves_the_step_however_it_is_put(words: str) -> None:
    model = small(get_registry().find("tiny_conv3d"))
    config = TrainConfig(model="tiny_conv3d", data="none")
    loss, steps = Classification(config), []

    def limited(network: Any, batch: Any) -> Any:
        steps.append(len(batch))
        if len(batch) > 8:
            raise RuntimeError(words)
        return loss(network, batch)

    assert tried(model, Clips(4, 64, 64), config, limited, 32) == 8 and steps == [32, 16, 8]

    def broken(network: Any, batch: Any) -> Any:
        raise RuntimeError("the shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        tried(model, Clips(4, 64, 64), config, broken, 32)


TRY = """
import sys, torch
from actrec_zoo.config import TrainConfig
from actrec_zoo.registry import get_registry
from actrec_zoo.training.batch_size import tried
from actrec_zoo.training.objective import Classification
from tests.training.test_batch_size import Clips
from tests.training.test_recompute import small
from tests.watching import limit_memory

torch.set_num_threads(1)
model = small(get_registry().find("r3d"))
config = TrainConfig(model="r3d", data="none")
before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
limit_memory(int(sys.argv[1]) << 20)
print(tried(model, Clips(4, 64, 512), config, Classification(config), 256))
assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
assert all(parameter.grad is None for parameter in model.parameters())
"""


@pytest.mark.slow
def test_a_real_step_is_tried_until_one_fits(tmp_path: Path) -> None:
    script = tmp_path / "tries.py"
    script.write_text(TRY)
    fitting = run_python(str(script), "1500")
    assert fitting.code == 0, fitting.err
    assert 1 <= int(fitting.out) < 256
    hopeless = run_python(str(script), "60")
    assert "RunError: not enough memory to train: one clip is too much" in hopeless.err


LIMITED = """
import sys
from tests.watching import limit_memory
import torch
from actrec_zoo.cli import main
import actrec_zoo.api
torch.set_num_threads(1)
limit_memory(int(sys.argv[1]) << 20)
sys.argv[1:] = sys.argv[2:]
main()
"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    for label, step in (("left", -2), ("right", 2)):
        for number in range(10):
            write_frames(
                tmp_path / "large" / label / f"clip{number}", moving_square(4, step=step, start=number, side=224)
            )
    return tmp_path / "large"


def limited(tmp_path: Path, mebibytes: int, *words: object) -> Any:
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    return run_python(str(script), str(mebibytes), *map(str, words))


FLAGS = (
    "--set",
    "options.width=32",
    "--size",
    224,
    "--frames",
    4,
    "--set",
    "stride=1",
    "--workers",
    0,
    "--device",
    "cpu",
)


def test_memory_that_ends_in_training_ends_the_run_with_what_to_lower(large: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny_conv3d", "--data", large, "--out", run, *FLAGS, "--set", "options.width=512")
    ended = limited(tmp_path, 700, *words, "--epochs", 1, "--batch-size", 16)
    assert ended.code == 2 and "Traceback" not in ended.err, ended.err
    assert "error: not enough memory to train" in ended.err and "--set accumulate=2" in ended.err
    assert not run.exists(), "nothing was trained, so nothing is left"


@pytest.mark.slow
def test_memory_that_ends_in_validation_keeps_the_run_and_a_smaller_batch_goes_on(large: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny_conv3d", "--data", large, "--out", run, *FLAGS)
    words = (*words, "--epochs", 1, "--batch-size", 1, "--set", "checkpoint_steps=4", "--set", "eval_batch_size=64")
    words = (*words, "--set", "ratios=[0.3, 0.6, 0.1]")
    ended = limited(tmp_path, 120, *words)
    assert ended.code == 2 and "eval_batch_size=1" in ended.err, ended.err
    assert (run / "checkpoints" / "last.safetensors").is_file()
    finished = limited(
        tmp_path, 400, "train", "tiny_conv3d", "--data", large, "--out", run, "--resume", "--set", "eval_batch_size=1"
    )
    assert finished.code == 0, finished.err
    evaluated = limited(
        tmp_path, 120, "eval", run, "--data", large, "--split", "all", "--batch-size", 64, "--workers", 0
    )
    assert evaluated.code == 2 and "not enough memory to evaluate" in evaluated.err, evaluated.err
