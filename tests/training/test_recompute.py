"""Activation checkpointing: the same numbers, less memory."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError
from actrec_zoo.loading import create
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.training.parameters import set_trainable, set_training_mode
from actrec_zoo.training.recompute import blocks, keep_activations, recompute_blocks
from actrec_zoo_plugins.tiny.model import TinyConv3d
from tests.training.test_trainer import TINY, rows

FIRST_PARTY = list({(m.spec.builder, str(m.spec.options)): m for m in get_registry().models}.values())
QUICK = {"tiny_conv3d", "squeezenet_attn", "r3d_attn8", "timesformer_ssv2", "videomae_small"}
"""One model of each kind of backbone."""


def small(model: RegisteredModel, trainable: tuple[str, ...] = ("*",)) -> VideoClassifier:
    torch.manual_seed(0)
    options: dict[str, Any] = {"layers": 2} if "layers" in model.spec.options else {}
    spec_input = dataclasses.replace(model.spec.input, frames=4, size=64, resize=None)
    made = create(model, labels=["a", "b"], input=spec_input, options=options, weights="none")
    set_trainable(made.net, made.spec, trainable)
    set_training_mode(made)
    return made


def step(model: VideoClassifier) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Gradients and buffers after a step, and the bytes that were kept outside of recomputed blocks."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    clips = torch.randn(2, 3, model.input.frames, model.input.size, model.input.size)
    torch.manual_seed(1)  # of dropout
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(clips).float().logsumexp(1).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    return gradients, buffers, sum(size for place, size in kept.items() if place not in weights)


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, id=m.spec.name, marks=[] if m.spec.name in QUICK else pytest.mark.slow) for m in FIRST_PARTY],
)
def test_a_step_is_the_same_bit_for_bit_and_keeps_less(model: RegisteredModel) -> None:
    results = []
    for again in (False, True):
        made = small(model)
        if again:
            recompute_blocks(made)
        torch.manual_seed(2)
        results.append(step(made))
    (plain, statistics, kept), (recomputed, statistics_once, kept_less) = results
    assert plain.keys() == recomputed.keys() and len(plain) > 4
    for name, gradient in plain.items():
        assert torch.equal(gradient, recomputed[name]), name
    for name, buffer in statistics.items():
        assert torch.equal(buffer, statistics_once[name]), name
    assert kept_less < 0.7 * kept, (kept_less, kept)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.slow
def test_a_compiled_step_is_the_same_but_for_the_order_of_sums() -> None:
    results = []
    for compiled in (False, True):
        made = small(get_registry().find("tiny_conv3d"))
        recompute_blocks(made)
        if compiled:
            torch._dynamo.reset()
            made.net.compile(fullgraph=True)
        torch.manual_seed(2)
        results.append(step(made))
    (plain, statistics, _), (compiled_gradients, compiled_statistics, _) = results
    for name, gradient in plain.items():
        assert torch.allclose(gradient, compiled_gradients[name], atol=1e-4), name
    for name, buffer in statistics.items():
        assert torch.allclose(buffer, compiled_statistics[name], atol=1e-5), name
    assert any(name.endswith("num_batches_tracked") and buffer == 1 for name, buffer in statistics.items())


def test_dropout_within_a_block_draws_the_same_numbers_again() -> None:
    class Noisy(TinyConv3d):
        def __init__(self) -> None:
            super().__init__(2, 4, 0.0)
            for stage in list(self.backbone.children())[:3]:
                stage.append(nn.Dropout(0.5))

    gradients = []
    for again in (False, True):
        made = small(get_registry().find("tiny_conv3d"))
        torch.manual_seed(0)
        made.net = Noisy().train()
        if again:
            recompute_blocks(made)
        gradients.append(step(made)[0])
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name
    assert any(gradient.abs().sum() > 0 for gradient in gradients[0].values())


def test_blocks_are_those_of_the_backbone_and_can_be_kept_again() -> None:
    made = small(get_registry().find("r3d_attn8"))
    assert [type(block).__name__ for block in blocks(made)] == ["BasicBlock"] * 8
    names = list(made.state_dict())
    recompute_blocks(made)
    recompute_blocks(made)
    assert list(made.state_dict()) == names
    keep_activations(made)
    assert all("forward" not in module.__dict__ for module in made.modules())


def test_a_backbone_without_blocks_says_so() -> None:
    made = small(get_registry().find("tiny_conv3d"))
    made.net.backbone = nn.Conv3d(3, 4, 1)
    with pytest.raises(ConfigError, match="has no repeated blocks"):
        recompute_blocks(made)


@pytest.mark.parametrize(
    "settings",
    [{"ema": 0.9, "accumulate": 2}, *(pytest.param(s, marks=pytest.mark.slow) for s in ({}, {"precision": "bf16"}))],
)
def test_a_run_ends_in_the_same_bytes(squares: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    kept, again = (
        actrec_zoo.train(
            "tiny_conv3d", squares, out=tmp_path / str(on), epochs=2, checkpoint_activations=on, **TINY | settings
        )
        for on in (False, True)
    )
    assert (kept.path / "model.safetensors").read_bytes() == (again.path / "model.safetensors").read_bytes()
    assert rows(kept.path) == rows(again.path)


def test_a_resumed_run_may_begin_to_save_memory(squares: Path, tmp_path: Path) -> None:
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", epochs=1, **TINY)
    again = actrec_zoo.train("tiny_conv3d", squares, out=whole.path, resume=True, checkpoint_activations=True)
    assert again.result.last.epoch == 1
