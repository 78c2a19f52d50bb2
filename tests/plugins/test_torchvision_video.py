"""torchvision's video networks: what is upstream's, and what is made to fit other clips."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.video.mvit import MSBlockConfig, MViT

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.registry import get_registry
from actrec_zoo.spec import ModelSpec
from actrec_zoo.testing import Subject, network_rules, randomise, training_rules
from actrec_zoo.weights import torchvision_state
from actrec_zoo_plugins.torchvision_video.model import build
from actrec_zoo_plugins.torchvision_video.mvit import PassedBy, multiscale_features
from tests import upstream
from tests.models import LIKE_OTHERS

SPECS = [
    pytest.param(model.spec, id=model.spec.name)
    for model in get_registry().models
    if model.plugin.name == "torchvision_video"
]


def meta(**options: Any) -> Any:
    with torch.device("meta"):
        return build(num_classes=25, **options)


# What the weights say of themselves


@pytest.mark.parametrize("spec", SPECS)
def test_weights_are_those_that_torchvision_describes(spec: ModelSpec) -> None:
    for weights in spec.weights.values():
        member = models.get_weight(weights.source.removeprefix("torchvision:"))
        described = member.transforms()
        frames, rate = (
            re.search(rf"`{name}=([\d.]+)`", member.meta["_docs"])[1]  # type: ignore[index]
            for name in ("clip_len", "frame_rate")
        )
        resize = [spec.input.resize] if isinstance(spec.input.resize, int) else list(spec.input.resize or ())
        assert weights.url == member.url
        assert (spec.input.frames, spec.input.fps) == (int(frames), float(rate))
        assert ([spec.input.size] * 2, resize) == (described.crop_size, described.resize_size)
        assert ([*spec.input.mean], [*spec.input.std]) == (described.mean, described.std)


@pytest.mark.parametrize("name", LIKE_OTHERS)
def test_rules_that_need_no_memory(name: str) -> None:
    """Of the models whose contract is among the slow tests."""
    subject = Subject(get_registry().find(name))
    for rule in (network_rules.parameter_count, network_rules.new_classifier, training_rules.groups):
        assert rule.run(subject).status == "passed"
    assert training_rules.layers.run(subject).status == "passed"


@pytest.mark.parametrize("spec", SPECS)
def test_network_is_upstreams_but_for_the_classifier(spec: ModelSpec) -> None:
    with torch.device("meta"):
        theirs = models.get_model(spec.options["backbone"])
    ours = meta(**spec.options)
    (replaced,) = {pattern for weights in spec.weights.values() for pattern in weights.ignore_keys}
    kept = {key for key in theirs.state_dict() if not key.startswith(replaced.removesuffix("*"))}
    assert ours.backbone.state_dict().keys() == kept
    added = (400 - 25) * (ours.head.classifier.in_features + 1)
    assert spec.parameters + added == sum(parameter.numel() for parameter in theirs.parameters())


# Upstream's checkpoints


def with_the_pool_of_small_clips(network: Any) -> Any:
    network.avgpool = nn.AvgPool3d((2, 1, 1), stride=1)
    return network


@pytest.mark.parametrize(
    ("name", "frames", "adapt"),
    [("mc3_18", 4, lambda network: network), ("s3d", 24, with_the_pool_of_small_clips)],
)
def test_upstream_checkpoint_at_a_small_size(name: str, frames: int, adapt: Any, torch_home: Path) -> None:
    spec = actrec_zoo.get_spec(name)
    reference = upstream.torchvision_network(name)
    upstream.publish_torchvision(torch_home, upstream.weights_of(spec), reference.state_dict())
    model = actrec_zoo.load(name, weights="kinetics400")
    clips = torch.randn(2, 3, frames, 32, 32)
    with torch.inference_mode():
        assert upstream.difference(model(clips), adapt(reference)(clips)) <= 1e-5
    categories = models.get_weight(upstream.weights_of(spec).source.partition(":")[2]).meta["categories"]
    assert model.labels == tuple(categories)
    assert actrec_zoo.load(name, weights="kinetics400", num_classes=3).net.head.classifier.out_features == 3


def test_weights_of_imagenet_22k_have_a_file_of_their_own(torch_home: Path) -> None:
    weights = actrec_zoo.get_spec("swin3d_b").weights["kinetics400_imagenet22k"]
    upstream.publish_torchvision(torch_home, weights, {"a": torch.ones(1)})
    assert torchvision_state("swin3d_b", "kinetics400_imagenet22k").keys() == {"a"}
    with pytest.raises(
        WeightsError, match="no 'kinetics400_imagenet22k' weights for 'swin3d_t'; it has KINETICS400_V1"
    ):
        torchvision_state("swin3d_t", "kinetics400_imagenet22k")


# MViT on clips of any length and size


def small_mvit(frames: int, size: int, *, relative: bool) -> MViT:
    """torchvision's MViT with two stages, built for clips of some shape."""
    block = partial(MSBlockConfig, kernel_q=[3, 3, 3], kernel_kv=[3, 3, 3], stride_kv=[1, 2, 2])
    settings = [
        block(num_heads=1, input_channels=8, output_channels=8, stride_q=[1, 1, 1]),
        block(num_heads=2, input_channels=8, output_channels=16, stride_q=[1, 2, 2]),
        block(num_heads=2, input_channels=16, output_channels=16, stride_q=[1, 1, 1]),
        block(num_heads=2, input_channels=16, output_channels=16, stride_q=[1, 1, 1]),
    ]
    network = MViT(
        spatial_size=(size, size),
        temporal_size=frames,
        block_setting=settings,
        residual_pool=relative,
        residual_with_cls_embed=False,
        rel_pos_embed=relative,
        proj_after_attn=relative,
        num_classes=5,
    )
    torch.manual_seed(3)
    randomise(network)
    return network.eval()


@pytest.mark.parametrize("relative", [False, True])
def test_mvit_at_upstreams_shape_is_upstreams(relative: bool) -> None:
    network, clips = small_mvit(8, 32, relative=relative), torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        expected = network(clips)
        features = multiscale_features(network, clips)
        assert torch.equal(network.head(features), expected)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("frames", "size"), [(16, 32), (4, 64), (6, 48)])
def test_mvit_interpolates_positions(frames: int, size: int, relative: bool) -> None:
    """As upstream's network for that shape whose tables are upstream's, stretched along time, and along both sides."""
    network, other = small_mvit(8, 32, relative=relative), small_mvit(frames, size, relative=relative)
    state = dict(network.state_dict())
    for key, table in other.state_dict().items():
        if key == "pos_encoding.spatial_pos":
            grid = state[key].reshape(1, 8, 8, 8).movedim(3, 1)
            side = (size // 4, size // 4)
            state[key] = functional.interpolate(grid, size=side, mode="bilinear")[0].flatten(1).T
        elif "_pos" in key and table.dim() == 2:
            state[key] = functional.interpolate(state[key].T[None], size=len(table), mode="linear")[0].T
    other.load_state_dict(state)
    clips = torch.randn(2, 3, frames, size, size)
    with torch.inference_mode():
        assert upstream.difference(network.head(multiscale_features(network, clips)), other(clips)) <= 1e-5


@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s"])
@pytest.mark.parametrize(("frames", "size"), [(1, 32), (5, 100)])
def test_any_clip_goes_through_mvit(name: str, frames: int, size: int) -> None:
    net = meta(backbone=name)
    assert net(torch.randn(1, 3, frames, size, size, device="meta")).shape == (1, 25)


# S3D and the options


def test_s3ds_pools_are_upstreams_where_the_map_is_large_enough() -> None:
    maps, small = torch.randn(1, 2, 4, 8, 9), torch.randn(1, 2, 1, 1, 5)
    with torch.device("meta"):
        theirs = models.get_model("s3d")
    ours = meta(backbone="s3d").backbone
    for own, upstreams in ((ours.avgpool, theirs.avgpool), (ours.features[13], theirs.features[13])):
        assert torch.equal(own(maps), upstreams(maps))
    assert torch.allclose(ours.avgpool(small), small.mean(dim=4, keepdim=True))
    assert torch.equal(ours.features[13](small), small[..., :4].unflatten(4, (2, 2)).amax(dim=5))


@pytest.mark.parametrize(("frames", "size"), [(1, 32), (64, 100)])
def test_any_clip_goes_through_s3d(frames: int, size: int) -> None:
    assert meta(backbone="s3d").eval()(torch.randn(1, 3, frames, size, size, device="meta")).shape == (1, 25)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("mvit_v1_b", [0, 1, 2, 3, 4, 13, 14, 15]),
        ("mvit_v2_s", [0, 1, 2, 3, 4, 14, 15]),
    ],
)
def test_layers_of_mvit(name: str, left: list[int]) -> None:
    blocks = meta(backbone=name, layers=2).backbone.blocks
    assert [index for index, block in enumerate(blocks) if not isinstance(block, PassedBy)] == left
    assert not any(isinstance(block, PassedBy) for block in meta(backbone=name, layers=11).backbone.blocks)


def test_layers_of_swin() -> None:
    stages = meta(backbone="swin3d_s", layers=2).backbone.features[::2]
    assert [sum(not isinstance(block, nn.Identity) for block in stage) for stage in stages] == [2, 2, 2, 2]
    assert [len(stage) for stage in stages] == [2, 2, 18, 2]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"backbone": "r3d_18"}, "backbone 'r3d_18' is none of mc3_18, s3d, "),
        ({"backbone": "swin3d_t", "layers": 0}, "layers=0 must be 1 or more"),
        ({"backbone": "s3d", "layers": 3}, "s3d has no layers to leave out"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        meta(**options)


def test_random_weights_have_no_upstream_classifier() -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match="without pretrained weights there is no classifier"):
        build(num_classes=None, backbone="s3d")
