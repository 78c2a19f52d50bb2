"""What a step does, however it is computed: in parts, clipped, averaged, in mixed precision."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._dynamo.utils import counters

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Batch, blank_batch
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from actrec_zoo.training.state import Callback, Running, TrainingState
from actrec_zoo.training.trainer import make_accelerator
from actrec_zoo.training.update import Update
from tests.training.test_trainer import TINY, rows

NO_BATCH_STATISTICS: dict[str, Any] = TINY | {"trainable": ("backbone.?.0.weight", "backbone.?.3.weight", "@head")}


class Watch(Callback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []

    def on_start(self, state: TrainingState) -> None:
        self.on_step(state)

    def on_step(self, state: TrainingState) -> None:
        self.weights.append({name: p.detach().clone() for name, p in state.model.net.named_parameters()})


class RaiseAt(Callback):
    """Fails, or sends a signal, after so many steps."""

    def __init__(self, steps: int, number: int | None = None) -> None:
        self.left = steps
        self.number = number

    def on_step(self, state: TrainingState) -> None:
        self.left -= 1
        if self.left == 0 and self.number is not None:
            signal.raise_signal(self.number)
        elif self.left == 0:
            raise OSError("the machine is gone")


def last(run: Path) -> dict[str, Tensor]:
    return load_file(run / "checkpoints" / "last.safetensors")


def test_a_resumed_run_may_compute_its_steps_in_other_parts(squares: Path, tmp_path: Path) -> None:
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", epochs=2, **NO_BATCH_STATISTICS)
    settings = NO_BATCH_STATISTICS | {"epochs": 2, "callbacks": [RaiseAt(2, signal.SIGINT)]}
    with pytest.raises(InterruptedRun):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", **settings)
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True, accumulate=3)
    assert json.loads((cut.path / "run.json").read_text())["config"]["accumulate"] == 3
    ends = [load_file(run.path / "model.safetensors") for run in (whole, cut)]
    assert all(torch.allclose(tensor, ends[1][name], atol=1e-5) for name, tensor in ends[0].items())


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_parts_of_a_batch_make_the_same_step(squares: Path, tmp_path: Path, parts: int) -> None:
    whole, divided = (
        actrec_zoo.train(
            "tiny_conv3d", squares, out=tmp_path / str(n), epochs=2, **NO_BATCH_STATISTICS | {"accumulate": n}
        )
        for n in (1, parts)
    )
    first, second = last(whole.path), last(divided.path)
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-5), name
    for one, other in zip(whole.result.history, divided.result.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5) and one.train_top1 == other.train_top1


def update_of(scaler: torch.amp.GradScaler | None = None) -> tuple[Update, TrainingState, nn.Linear]:
    """An update of one weight, 1, with plain SGD; the loss of a batch is the mean of its inputs times the weight."""
    model = actrec_zoo.load("tiny_conv3d", weights=None)
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    config = TrainConfig(model="tiny_conv3d", data="data")
    state = TrainingState(model, optimizer, config, Running(model.device), steps=4, scaler=scaler)
    accelerator = make_accelerator(model.device)
    accelerator.scaler = scaler

    def objective(network: Callable[[Tensor], Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return network(batch.inputs).mean(), {}

    return Update(accelerator, layer, state, objective), state, layer


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_is_the_same_with_a_scaled_loss_and_one_that_overflows_is_left_out(scaled: bool) -> None:
    update, _, layer = update_of(torch.amp.GradScaler("cpu", init_scale=2.0**10) if scaled else None)
    update.add(blank_batch(torch.tensor([[0.25]])), of=1, last=True)
    update.apply()
    assert layer.weight.item() == 1 - 0.5 * 0.25 and layer.weight.grad is None
    if scaled:
        update.add(blank_batch(torch.tensor([[3e38]])), of=1, last=True)
        update.apply()
        assert layer.weight.item() == 1 - 0.5 * 0.25


@pytest.mark.parametrize("scaled", [False, True])
def test_a_gradient_is_clipped_at_its_own_length_not_at_that_of_the_scaled_one(scaled: bool) -> None:
    update, state, layer = update_of(torch.amp.GradScaler("cpu", init_scale=2.0**10) if scaled else None)
    state.config = state.config.model_copy(update={"clip_grad": 0.5})
    update.add(blank_batch(torch.tensor([[4.0]])), of=1, last=True)
    update.apply()
    assert layer.weight.item() == pytest.approx(1 - 0.5 * 0.5, abs=1e-6)


ENVIRONMENT = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_USE_MEGATRON_LM": "true",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
    "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
    "ACCELERATE_MIXED_PRECISION": "fp16",
    "ACCELERATE_TORCH_DEVICE": "meta",
    "ACCELERATE_DEBUG_MODE": "maybe",
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_settings_of_accelerate_in_the_environment_change_no_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, ENVIRONMENT[name])
    update, state, layer = update_of()
    state.config = state.config.model_copy(update={"clip_grad": 8.0})
    update.add(blank_batch(torch.tensor([[0.25]])), of=1, last=True)
    update.apply()
    assert layer.weight.item() == 1 - 0.5 * 0.25
    made = make_accelerator(torch.device("cpu"))
    assert made.distributed_type == "NO" and made.mixed_precision == "no" and made.device.type == "cpu"
    assert made.state.dynamo_plugin.backend == "NO" and made.gradient_accumulation_steps == 1
    assert made.prepare(layer) is layer
    assert os.environ[name] == ENVIRONMENT[name]


def test_nor_do_those_that_it_looks_at_in_every_step(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "neither yes nor no")
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    assert run.result.last.epoch == 1 and os.environ["ACCELERATE_USE_CPU"] == "neither yes nor no"


@pytest.mark.parametrize("clip_grad", [None, 1.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_of_which_no_clip_could_be_read_changes_nothing(scaled: bool, clip_grad: float | None) -> None:
    update, state, layer = update_of(torch.amp.GradScaler("cpu", init_scale=2.0**10) if scaled else None)
    state.config = state.config.model_copy(update={"clip_grad": clip_grad})
    update.add_nothing(blank_batch(torch.tensor([[1.0]])), last=True)
    update.apply()
    assert layer.weight.item() == 1


@pytest.mark.parametrize("asked", ["a checkpoint", "an interrupt"])
def test_weights_that_are_no_numbers_are_not_saved_within_an_epoch(squares: Path, tmp_path: Path, asked: str) -> None:
    """The gradient of the fourth step is none, and its loss is a number still."""

    class Spoil(Callback):
        def on_step(self, state: TrainingState) -> None:
            if state.step == 3:
                next(state.model.net.parameters()).register_hook(lambda gradient: gradient * torch.nan)
            if state.step == 4 and asked == "an interrupt":
                signal.raise_signal(signal.SIGINT)

    settings = TINY | {"batch_size": 2, "checkpoint_steps": 2 if asked == "a checkpoint" else 3}
    with pytest.raises(RunError, match=r"a weight is not a number in epoch 1 after step 4.*--set lr="):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, callbacks=[Spoil()], **settings)
    assert all(tensor.isfinite().all() for tensor in last(tmp_path / "run").values())
    again = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", resume=True)
    assert again.result.last.epoch == 1


class Searches(Callback):
    """Notes the modules that are looked for from the first step to the last one, as a finder of Python."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps = 0
        self.noting = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if self.noting:
            self.names.append(name)

    def on_step(self, state: TrainingState) -> None:
        self.steps += 1
        self.noting = state.step < state.steps


def test_a_step_does_not_look_through_the_installed_packages(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = Searches()
    monkeypatch.setattr(sys, "meta_path", [searches, *sys.meta_path])
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, callbacks=[searches], **TINY)
    assert searches.steps > 2 and not searches.names


def test_the_first_loss_that_is_no_number_is_found_once() -> None:
    update, state, _ = update_of()
    for state.step, value in enumerate([1.0, float("nan"), 2.0, float("inf")]):
        update.add(blank_batch(torch.tensor([[value]])), of=1, last=True)
    assert update.first_not_finite() == 1
    assert update.first_not_finite() is None


def test_the_moving_average_is_what_is_validated_and_kept(squares: Path, tmp_path: Path) -> None:
    watch = Watch()
    run = actrec_zoo.train(
        "tiny_conv3d", squares, out=tmp_path / "run", epochs=1, callbacks=[watch], ema=0.5, lr=0.1, **TINY
    )
    average = watch.weights[0]
    for step, weights in enumerate(watch.weights[1:]):
        decay = min(0.5, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * weights[name] for name in average}
    kept = run.model.net.state_dict()
    for name, expected in average.items():
        assert torch.allclose(kept[name], expected, atol=1e-6), name
    assert not torch.equal(kept["head.classifier.weight"], watch.weights[-1]["head.classifier.weight"])
    report = actrec_zoo.evaluate(run.path, squares, split="val", workers=0, device="cpu")
    assert report["video"]["loss"] == pytest.approx(run.result.best.val_loss, abs=1e-6)


def test_the_gradient_is_no_longer_than_allowed(squares: Path, tmp_path: Path) -> None:
    watch = Watch()
    settings = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "clip_grad": 1e-3}
    settings |= {"schedule": "constant", "warmup_epochs": 0}
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, callbacks=[watch], **TINY | settings)
    for before, after in zip(watch.weights, watch.weights[1:], strict=False):
        moved = torch.cat([(after[name] - before[name]).flatten() for name in before]).norm()
        assert 0.9e-3 < moved <= 1.001e-3


def test_mixed_precision_trains_the_same_model_a_little_less_exactly(squares: Path, tmp_path: Path) -> None:
    exact, mixed = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / name, epochs=1, **TINY | {"precision": name})
        for name in ("fp32", "bf16")
    )
    first, second = exact.result.last.train_loss, mixed.result.last.train_loss
    assert first != second and first == pytest.approx(second, rel=0.02)
    assert all(t.dtype != torch.bfloat16 for t in mixed.model.net.state_dict().values())
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "fp16", **TINY | {"precision": "fp16"})
    assert not (tmp_path / "fp16").exists()


def test_an_evaluation_says_what_it_was_computed_in(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    exact, mixed = (
        actrec_zoo.evaluate(run.path, squares, split="val", workers=0, device="cpu", **settings)
        for settings in ({}, {"precision": "bf16"})
    )
    assert (exact["protocol"]["precision"], mixed["protocol"]["precision"]) == ("fp32", "bf16")
    first, second = exact["video"]["loss"], mixed["video"]["loss"]
    assert first != second and first == pytest.approx(second, rel=0.02)
    assert exact["video"]["loss"] == pytest.approx(run.result.best.val_loss, abs=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.slow
@pytest.mark.parametrize("only_head", [False, True])
def test_a_compiled_network_trains_to_the_same_weights(squares: Path, tmp_path: Path, only_head: bool) -> None:
    settings = TINY | ({"trainable": ("@head",), "cache_features": "off"} if only_head else {}) | {"epochs": 1}
    plain = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "plain", **settings)
    torch._dynamo.reset()
    counters.clear()
    compiled = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "compiled", **settings, compile=True)
    assert counters["aot_autograd"]["total"] >= 2, "one graph with gradients and one without"
    weights = compiled.model.net.state_dict()
    for name, expected in plain.model.net.state_dict().items():
        assert torch.allclose(weights[name], expected, atol=1e-4), name


def test_a_compiler_that_is_missing_is_named(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(RunError, match=r"torch.compile fails: .*compiler.*--set compile=false"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, compile=True, **TINY)


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9, "accumulate": 2, "clip_grad": 1.0}, {"optimizer": "adam"}])
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_run_that_was_stopped_within_an_epoch_ends_in_the_same_bytes(
    squares: Path, tmp_path: Path, settings: dict[str, Any], number: int | None
) -> None:
    every = TINY | settings | {"checkpoint_steps": 3, "epochs": 2}
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", **every)
    with pytest.raises(InterruptedRun if number else OSError):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", callbacks=[RaiseAt(8, number)], **every)
    assert (tmp_path / "cut" / "checkpoints" / "last.safetensors").is_file()
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    first, second = last(whole.path), last(cut.path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert rows(cut.path) == rows(whole.path)


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_checkpoint_before(squares: Path, tmp_path: Path) -> None:
    class Explode(Callback):
        def on_step(self, state: TrainingState) -> None:
            if state.epoch == 1 and state.step == 2:
                with torch.no_grad():
                    next(state.model.net.parameters()).fill_(torch.nan)

    with pytest.raises(RunError, match=r"not a number in epoch 2, step 3 \((left|right)/clip\d+, .*clip_grad"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=3, callbacks=[Explode()], **TINY)
    kept = last(tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    again = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", resume=True)
    assert again.result.last.epoch == 3
