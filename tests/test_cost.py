"""Parameters and floating-point operations: counted without memory, and the same as of a real run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from actrec_zoo.cards import cost_of
from actrec_zoo.cost import count_flops
from actrec_zoo.fitting import meta_network
from actrec_zoo.loading import build, resolve_options
from actrec_zoo.nn import TokenHead
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec
from tests.distributions import Site
from tests.models import as_parameters

SMALL = InputSpec(frames=4, size=32)
DIFFERENT = list({(m.spec.builder, str(m.spec.options)): m for m in get_registry().models}.values())


class Attention(nn.Module):
    """Nothing but attention of 6 queries over 10 keys, 2 heads of width 8."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        query = clips.new_ones(1, 2, 6, 8) * self.scale
        key = clips.new_ones(1, 2, 10, 8) * self.scale
        return nn.functional.scaled_dot_product_attention(query, key, key)


def test_a_multiply_add_counts_as_two() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 32 * 32, 5))
    assert count_flops(net, SMALL) == 2 * 3 * 4 * 32 * 32 * 5
    convolution = nn.Conv3d(3, 7, 3, padding=1)
    assert count_flops(convolution, SMALL) == 2 * (4 * 32 * 32) * 7 * 3 * 27


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_fused_attention_is_counted(device: str) -> None:
    assert count_flops(Attention().to(device), SMALL) == 2 * (2 * 2 * 6 * 10 * 8)


def test_an_encoder_that_was_frozen_is_counted_whole() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = TokenHead(32, 5, layers=1, heads=4, readout="mean")

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return self.head(clips.mean(dim=(1, 2)))

    net = Encoder()
    counted = count_flops(net, SMALL)
    with torch.no_grad():
        assert count_flops(net.requires_grad_(False), SMALL) == counted
    tokens, width = 32, 32
    projections, feedforward, attention = 4 * tokens * width**2, 2 * tokens * width**2, 2 * tokens**2 * width
    assert counted == 2 * (projections + feedforward + attention + 5 * width)


@pytest.mark.parametrize("model", as_parameters(DIFFERENT))
def test_the_count_without_memory_is_that_of_a_real_run(model: RegisteredModel) -> None:
    small = dataclasses.replace(model.spec.input, frames=4, size=64, resize=None)
    options = {"layers": 1} if model.spec.options.get("layers") else {}
    real = build(model, num_classes=3, options=resolve_options(model, small, options))
    counted = count_flops(meta_network(model, num_classes=3, input=small, options=options), small)
    assert counted == count_flops(real, small) > 0


def test_figures_that_others_publish() -> None:
    """torchvision states 40.697 and 4.089 giga-multiply-adds: R3D-18 on 16 frames, ResNet-50 on one."""
    r3d = cost_of(get_registry().find("r3d"))
    assert r3d.flops / 2 / 1e9 == pytest.approx(40.697 / 2, rel=1e-3)
    r2d = cost_of(get_registry().find("r2d_attn"))
    assert r2d.flops / 2 / 1e9 == pytest.approx(8 * 4.089, rel=1e-2)


def test_what_trains_is_counted() -> None:
    cost = cost_of(get_registry().find("r3d_stem"))
    assert cost.macs * 2 == cost.flops
    assert (cost.parameters, cost.trained) == (33_381_497, 3 * 64 * 3 * 7 * 7 + 400 * 25 + 25)
    everything = cost_of(get_registry().find("tiny_conv3d"))
    assert everything.trained == everything.parameters == 94_753


def test_a_network_that_needs_memory_is_built_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = """
import torch
from torch import nn


def build(*, num_classes, pretrained=None):
    assert pretrained is None
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12288, 1 + int(torch.ones(2).sum().item())))
    return nn.Sequential(backbone, nn.Linear(3, num_classes))
"""
    plugin = """
from actrec_zoo.plugin import *

@hookimpl
def actrec_zoo_models():
    yield ModelSpec(
        name="reads", summary="Of a test", architecture="Test", builder="MODULE.model:build", num_classes=2,
        input=InputSpec(frames=4, size=32), parameters=0, backbone="0", head="1", classifier="1",
    )
"""
    site = Site(tmp_path / "site", monkeypatch)
    site.add("reads-a-value", plugin, model=module)
    with site.installed():
        cost = cost_of(get_registry().find("reads"))
    assert cost.parameters == cost.trained == 12288 * 3 + 3 + 3 * 2 + 2
    assert cost.flops == 2 * (12288 * 3 + 3 * 2)
