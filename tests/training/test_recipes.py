"""Recipes in whole runs: what they change, that they resume to the bit, and that parts and processes do not matter."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import SGD, Adam, AdamW

import actrec_zoo
from actrec_zoo.data.dataset import Batch
from actrec_zoo.errors import ConfigError, InterruptedRun
from actrec_zoo.training.objective import Classification
from actrec_zoo.training.state import Callback, TrainingState
from tests.conftest import moving_square, write_frames
from tests.training.test_distributed import trained
from tests.training.test_trainer import FROZEN, TINY, InterruptAt, rows
from tests.training.test_update import NO_BATCH_STATISTICS

EVERYTHING: dict[str, Any] = TINY | {
    "augment": ("random_crop", "horizontal_flip", "rotation", "randaugment", "random_erasing"),
    "flip_labels": {"left": "right"},
    "erasing": 0.5,
    "mixup": 0.8,
    "cutmix": 1.0,
    "layer_decay": 0.7,
    "lr_factors.head": 2.0,
    "no_decay": True,
    "betas": (0.9, 0.95),
    "schedule": "cosine",
    "min_lr": 1e-5,
    "warmup_epochs": 1,
    "warmup_lr": 1e-6,
    "label_smoothing": 0.1,
    "ema": 0.9,
    "clip_grad": 1.0,
    "patience": 5,
    "options.dropout": 0.2,
    "checkpoint_steps": 2,
}


class Watch(Callback):
    """Keeps the optimizer, and what the network is given of every step."""

    def on_start(self, state: TrainingState) -> None:
        self.state = state
        self.names = {id(p): name for name, p in state.model.net.named_parameters()}


class WatchBatches:
    """Keeps the batches that the loss is computed on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[Batch] = []
        compute = Classification.__call__

        def keep(objective: Classification, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            self.batches.append(batch)
            return compute(objective, model, batch)

        monkeypatch.setattr(Classification, "__call__", keep)


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`left` with 20 videos and `right` with 5, of which 16 and 3 train."""
    root = tmp_path_factory.mktemp("data") / "skewed"
    for label, step, count in (("left", -2, 20), ("right", 2, 5)):
        for number in range(count):
            write_frames(root / label / f"clip{number}", moving_square(12, step=step, start=3 * number))
    return root


@pytest.mark.parametrize("balance", ["sampling", "weights"])
@pytest.mark.parametrize("steps", [3, 7])
def test_a_run_with_every_recipe_is_resumed_to_the_same_bytes(
    skewed: Path, tmp_path: Path, balance: str, steps: int
) -> None:
    settings = EVERYTHING | {"balance": balance, "epochs": 2, "accumulate": 2}
    whole = actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "whole", **settings)
    with pytest.raises(InterruptedRun):
        actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "cut", callbacks=[InterruptAt(steps)], **settings)
    cut = actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "cut", resume=True, workers=1)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    first, second = (load_file(run.path / "checkpoints" / "last.safetensors") for run in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert rows(cut.path) == rows(whole.path)


def test_a_run_with_every_recipe_learns(squares: Path, tmp_path: Path) -> None:
    settings = EVERYTHING | {"epochs": 40, "lr": 0.02, "mixup": 0.2, "cutmix": 0.0, "patience": 40}
    settings |= {"augment": ("random_crop", "random_erasing"), "flip_labels": {}, "balance": "weights"}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    report = actrec_zoo.evaluate(run.path, squares, split="all", workers=0, device="cpu")
    assert report["video"]["top1"] >= 0.9


@pytest.mark.parametrize(("name", "kind"), [("adamw", AdamW), ("adam", Adam), ("sgd", SGD)])
def test_the_optimizer_is_the_one_that_is_asked_for(
    squares: Path, tmp_path: Path, name: str, kind: type[torch.optim.Optimizer]
) -> None:
    watch = Watch()
    settings = TINY | {"optimizer": name, "lr": 0.1, "schedule": "constant", "warmup_epochs": 0, "epochs": 1}
    settings |= {"layer_decay": 0.5, "no_decay": True, "weight_decay": 0.03}
    settings |= {"betas": (0.8, 0.9), "eps": 1e-6, "momentum": 0.7, "nesterov": True}
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", callbacks=[watch], **settings)
    assert isinstance(watch.state.optimizer, kind)
    found = {}
    for group in watch.state.optimizer.param_groups:
        assert (group.get("betas"), group.get("eps")) == ((None, None) if name == "sgd" else ((0.8, 0.9), 1e-6))
        assert (group.get("momentum"), group.get("nesterov")) == ((0.7, True) if name == "sgd" else (None, None))
        found |= {watch.names[id(p)]: (group["lr"], group["weight_decay"]) for p in group["params"]}
    assert len(found) == len(watch.names)
    for parameter, (rate, decay) in found.items():
        depth = 3 - int(parameter.split(".")[1]) if parameter.startswith("backbone") else 0
        assert rate == pytest.approx(0.1 * 0.5**depth)
        is_matrix = watch.state.model.net.get_parameter(parameter).dim() > 1
        assert decay == (0.03 if is_matrix else 0.0)


def test_weight_decay_moves_matrices_alone(squares: Path, tmp_path: Path) -> None:
    """Without a gradient: AdamW then multiplies by 1 - lr x decay, and leaves the spared ones as they were."""

    class NoGradient(Callback):
        def on_start(self, state: TrainingState) -> None:
            self.before = {name: p.detach().clone() for name, p in state.model.net.named_parameters()}
            for parameter in state.model.net.parameters():
                parameter.register_hook(torch.zeros_like)

    watch = NoGradient()
    settings = TINY | {"optimizer": "adamw", "lr": 0.1, "weight_decay": 0.5, "no_decay": True, "batch_size": 16}
    settings |= {"schedule": "constant", "warmup_epochs": 0, "epochs": 1}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", callbacks=[watch], **settings)
    for name, weights in run.model.net.named_parameters():
        expected = watch.before[name] * (0.95 if weights.dim() > 1 else 1.0)
        assert torch.allclose(weights, expected, atol=1e-6), name


def test_balanced_sampling_shows_rare_classes_as_often_in_as_many_steps(
    skewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {}
    for balance in ("none", "sampling"):
        seen = WatchBatches(monkeypatch)
        run = actrec_zoo.train(
            "tiny_conv3d", skewed, out=tmp_path / balance, epochs=2, **TINY | {"balance": balance, "sampling": "blocks"}
        )
        counts = torch.bincount(torch.cat([batch.labels for batch in seen.batches])).tolist()
        steps[balance] = len(seen.batches)
        assert sum(counts) == 2 * 3 * 19
        assert counts == [96, 18] if balance == "none" else abs(counts[0] - counts[1]) <= 2
        assert run.result.last.epoch == 2
        monkeypatch.undo()
        shutil.rmtree(run.path)
    assert steps["none"] == steps["sampling"] == 2 * math.ceil(57 / 4)


def test_class_weights_are_inverse_to_the_frequency(
    skewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = WatchBatches(monkeypatch)
    actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "run", epochs=1, **TINY | {"balance": "weights"})
    assert seen.batches[0].class_weights is not None
    assert seen.batches[0].class_weights.tolist() == pytest.approx([19 / 32, 19 / 6])


@pytest.mark.parametrize(
    ("balance", "settings"),
    [pytest.param("sampling", FROZEN, marks=pytest.mark.slow), ("weights", NO_BATCH_STATISTICS)],
    ids=["features drawn", "clips weighted"],
)
def test_two_processes_and_parts_balance_as_one_does(
    skewed: Path, tmp_path: Path, balance: str, settings: dict[str, Any]
) -> None:
    every = settings | {"balance": balance, "epochs": 2, "label_smoothing": 0.1, "layer_decay": 0.5, "no_decay": True}
    alone = actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "one", **every)
    in_parts = actrec_zoo.train("tiny_conv3d", skewed, out=tmp_path / "parts", **every, accumulate=3)
    done = trained(skewed, tmp_path / "two", every)
    assert done.returncode == 0, done.stderr
    for other in (in_parts.path, tmp_path / "two"):
        first, second = (load_file(run / "model.safetensors") for run in (alone.path, other))
        for name, weights in first.items():
            assert torch.allclose(weights, second[name], atol=1e-5), name


def test_features_take_balance_as_clips_do(skewed: Path, tmp_path: Path) -> None:
    for balance in ("sampling", "weights"):
        clips, features = (
            actrec_zoo.train(
                "tiny_conv3d",
                skewed,
                out=tmp_path / f"{balance}-{mode}",
                epochs=2,
                **FROZEN | {"balance": balance, "cache_features": mode},
            )
            for mode in ("off", "on")
        )
        for one, other in zip(clips.result.history, features.result.history, strict=True):
            assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)


@pytest.mark.parametrize("recipe", ["mixup", "cutmix"])
def test_mixed_clips_are_no_features(squares: Path, tmp_path: Path, recipe: str) -> None:
    settings = FROZEN | {recipe: 1.0, "epochs": 1}
    with pytest.raises(ConfigError, match="cache_features=on is not possible: mixup and cutmix mix the pixels"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "on", cache_features="on", **settings)
    mixed, plain = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / name, **FROZEN | given | {"epochs": 1})
        for name, given in (("mixed", {recipe: 1.0}), ("plain", {}))
    )
    assert mixed.result.last.train_loss != plain.result.last.train_loss


@pytest.mark.parametrize("name", ["randaugment", "random_erasing"])
def test_pixel_recipes_make_features_differ_from_epoch_to_epoch(squares: Path, tmp_path: Path, name: str) -> None:
    settings = FROZEN | {"augment": (name,), "epochs": 2, "erasing": 1.0}
    with pytest.raises(ConfigError, match="differ from epoch to epoch"):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "on", cache_features="on", **settings)
    kept, computed = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / str(views), **settings, feature_views=views)
        for views in (2, None)
    )
    for one, other in zip(kept.result.history, computed.result.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)


def test_mixed_labels_train_in_half_precision_too(squares: Path, tmp_path: Path) -> None:
    settings = EVERYTHING | {"precision": "bf16", "balance": "weights", "epochs": 1}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", **settings)
    assert math.isfinite(run.result.last.train_loss)
