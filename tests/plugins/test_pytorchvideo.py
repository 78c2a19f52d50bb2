"""pytorchvideo's networks: what is upstream's, and what is made to fit other clips."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.registry import get_registry
from actrec_zoo.spec import ModelSpec
from actrec_zoo_plugins.pytorchvideo import mvit
from actrec_zoo_plugins.pytorchvideo.model import build, pathways
from tests import upstream

SPECS = [
    pytest.param(model.spec, id=model.spec.name)
    for model in get_registry().models
    if model.plugin.name == "pytorchvideo"
]
CATEGORIES = models.get_weight("R3D_18_Weights.KINETICS400_V1").meta["categories"]
FIGURES = {
    "x3d_xs": ("X3D_XS.pyth", 4, 12, 69.12, 88.63),
    "x3d_s": ("X3D_S.pyth", 13, 6, 73.33, 91.27),
    "x3d_m": ("X3D_M.pyth", 16, 5, 75.94, 92.72),
    "x3d_l": ("X3D_L.pyth", 16, 5, 77.44, None),
    "slow_r50": ("SLOW_8x8_R50.pyth", 8, 8, 74.58, 91.63),
    "c2d_r50": ("C2D_8x8_R50.pyth", 8, 8, 71.46, 89.68),
    "i3d_r50": ("I3D_8x8_R50.pyth", 8, 8, 73.27, 90.70),
    "slowfast_r50": ("SLOWFAST_8x8_R50.pyth", 32, 2, 76.94, 92.69),
    "slowfast_r101": ("SLOWFAST_8x8_R101.pyth", 32, 2, 77.90, 93.27),
    "csn_r101": ("CSN_32x2_R101.pyth", 32, 2, 77.00, 92.90),
    "r2plus1d_r50": ("R2PLUS1D_16x4_R50.pyth", 16, 4, 76.01, 92.23),
    "mvit_base_16x4": ("MVIT_B_16x4.pyth", 16, 4, 78.9, None),
}
"""File of the weights, frames, stride, top-1 and top-5 in percent, as upstream prints them."""


def meta(**options: Any) -> Any:
    with torch.device("meta"):
        return (build if "backbone" in options else mvit.build)(num_classes=25, **options)


def published(name: str, home: Path) -> nn.Module:
    """Upstream's network with random values, whose checkpoint is where torch.hub finds it."""
    reference = upstream.pytorchvideo_network(name)
    upstream.publish_address(home, upstream.weights_of(actrec_zoo.get_spec(name)), reference.state_dict())
    return reference


def for_small_clips(reference: Any) -> Any:
    """Upstream's network with windows as large as the last maps of small clips."""
    last = reference.blocks[-1]
    if hasattr(last.pool, "pool"):
        last.pool.pool = nn.AdaptiveAvgPool3d(1)
    elif last.pool is not None:
        last.pool = nn.AdaptiveAvgPool3d(1)
    else:
        reference.blocks[-2].pool = nn.ModuleList([nn.AdaptiveAvgPool3d(1)] * 2)
    return reference


# What the weights say of themselves


@pytest.mark.parametrize("spec", SPECS)
def test_weights_are_those_of_upstreams_zoo(spec: ModelSpec) -> None:
    file, frames, stride, top1, top5 = FIGURES[spec.name]
    weights = upstream.weights_of(spec)
    assert weights.reference is not None
    assert weights.url.endswith(f"/kinetics/{file}") and weights.source == f"url:{weights.url}"
    assert weights.url in upstream.addresses_of_pytorchvideo()
    assert (spec.input.frames, spec.input.stride) == (frames, stride)
    assert weights.reference.protocol.startswith(f"{frames} frames with stride {stride}, ")
    assert weights.reference.top1 == pytest.approx(top1 / 100)
    assert weights.reference.top5 == (None if top5 is None else pytest.approx(top5 / 100))


@pytest.mark.parametrize("spec", SPECS)
def test_network_is_upstreams_but_for_the_classifier(spec: ModelSpec) -> None:
    theirs = upstream.pytorchvideo_network(spec.name, random=False)
    options = {k: v for k, v in spec.options.items() if v is not None}
    ours = meta(**options)
    kept = {
        key for key in theirs.state_dict() if not key.startswith(("head.proj.", "blocks.5.proj.", "blocks.6.proj."))
    }
    assert ours.backbone.state_dict().keys() == kept
    added = (400 - 25) * (ours.head.classifier.in_features + 1)
    assert spec.parameters + added == sum(parameter.numel() for parameter in theirs.parameters())


# Upstream's checkpoints


@pytest.mark.parametrize("name", ["x3d_s", "slow_r50", "i3d_r50", "slowfast_r50", "r2plus1d_r50"])
def test_upstream_checkpoint_at_a_small_size(name: str, torch_home: Path) -> None:
    reference = for_small_clips(published(name, torch_home))
    model = actrec_zoo.load(name, weights="pretrained")
    assert list(model.labels) == CATEGORIES
    clips = torch.randn(2, 3, 8, 32, 32)
    logits_of = copy.deepcopy(reference)
    logits_of.blocks[-1].activation = None
    with torch.inference_mode():
        ours = model(clips)
        assert upstream.difference(ours, logits_of(inputs(name, clips))) <= 1e-5
        theirs = reference(inputs(name, clips))
    ends_in_softmax = name in ("x3d_s", "r2plus1d_r50")
    assert upstream.difference(ours.softmax(1) if ends_in_softmax else ours, theirs) <= 1e-5
    assert torch.allclose(theirs.sum(1), torch.ones(2)) == ends_in_softmax


def inputs(name: str, clips: torch.Tensor) -> Any:
    return pathways(clips) if name.startswith("slowfast") else clips


def test_pathways_are_upstreams() -> None:
    clips = torch.arange(32.0).reshape(1, 1, 32, 1, 1)
    slow, fast = pathways(clips)
    assert slow.flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert torch.equal(fast, clips)


def test_new_classifier_on_upstreams_backbone(torch_home: Path) -> None:
    reference: Any = published("x3d_s", torch_home)
    net = build(num_classes=400, backbone="x3d_s", pretrained="kinetics400")
    classifier: Any = net.head.classifier
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.05) and not classifier.bias.any()
    assert torch.equal(net.state_dict()["backbone.blocks.0.conv.conv_t.weight"], reference.blocks[0].conv.conv_t.weight)


def test_checkpoint_that_does_not_fit_is_refused_with_the_list(torch_home: Path) -> None:
    published("x3d_xs", torch_home)
    xs, large = (upstream.weights_of(actrec_zoo.get_spec(name)) for name in ("x3d_xs", "x3d_l"))
    checkpoints = torch_home / "hub" / "checkpoints"
    (checkpoints / xs.url.rpartition("/")[2]).rename(checkpoints / large.url.rpartition("/")[2])
    with pytest.raises(WeightsError, match=r"missing: backbone\.blocks\.1\.res_blocks\.3\."):
        build(num_classes=None, backbone="x3d_l", pretrained="kinetics400")


# Other clips, and fewer layers


@pytest.mark.parametrize(("name", "left"), [("x3d_l", [2, 2, 2, 2]), ("slowfast_r101", [2] * 8), ("csn_r101", [2] * 4)])
def test_layers_of_the_residual_networks(name: str, left: list[int]) -> None:
    lists = [m for n, m in meta(backbone=name, layers=2).backbone.named_modules() if n.endswith("res_blocks")]
    assert [sum(not isinstance(block, nn.Identity) for block in blocks) for blocks in lists] == left


def test_layers_of_mvit() -> None:
    blocks = meta(layers=2).backbone.blocks
    assert [i for i, block in enumerate(blocks) if not isinstance(block, mvit.PassedBy)] == [0, 1, 2, 3, 4, 13, 14, 15]


def test_positions_of_mvit_are_interpolated() -> None:
    time, space = torch.arange(8.0).reshape(1, 8, 1) / 8, torch.arange(56.0).repeat(56).reshape(1, -1, 1) / 56
    keys = [f"backbone.cls_positional_encoding.pos_embed_{kind}" for kind in ("temporal", "spatial")]
    table = dict(zip(keys, (time, space), strict=True))
    fitted = mvit.fit_positions(table, frames=8, size=112)
    assert torch.allclose(fitted[keys[0]].flatten(), (2 * torch.arange(4.0) + 0.5) / 8)
    assert torch.allclose(fitted[keys[1]].reshape(28, 28)[5], (2 * torch.arange(28.0) + 0.5) / 56)
    assert mvit.fit_positions(table, frames=16, size=224) == table


def test_mvit_takes_upstreams_weights_for_other_clips(torch_home: Path) -> None:
    published("mvit_base_16x4", torch_home)
    net = mvit.build(num_classes=2, pretrained="kinetics400", frames=4, size=64, layers=1)
    assert net(torch.randn(1, 3, 4, 64, 64)).shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"backbone": "r3d_18"}, "backbone 'r3d_18' is none of x3d_xs, x3d_s, "),
        ({"backbone": "slow_r50", "layers": 0}, "layers=0 must be 1 or more"),
        ({"backbone": "slowfast_r50", "frames": 10}, r"frames=10 is no multiple of the 4 frames .*: take 8"),
        ({"frames": 7}, "frames=7 is no multiple of the two frames from one patch to the next: take 8"),
        ({"size": 100}, "size=100 is no multiple of the 32 pixels of a token of the last stage: take 96"),
        ({"layers": 0}, "layers=0 must be 1 or more"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        meta(**options)


def test_random_weights_have_no_upstream_classifier() -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match="without pretrained weights there is no classifier"):
        build(num_classes=None, backbone="x3d_s")


def test_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsError, match="x3d_s has no weights 'ssv2': kinetics400"):
        build(num_classes=2, backbone="x3d_s", pretrained="ssv2")
