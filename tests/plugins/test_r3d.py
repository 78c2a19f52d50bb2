"""The 3D ResNets of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import video
from torchvision.models.video import R3D_18_Weights

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.registry import get_registry
from actrec_zoo.testing import meta_network
from actrec_zoo.training.parameters import set_trainable
from actrec_zoo_plugins.r3d.model import build
from tests import upstream


def meta(**options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(num_classes=25, **options)


def clips(frames: int = 8, size: int = 112) -> torch.Tensor:
    return torch.randn(1, 3, frames, size, size, device="meta")


# Frozen R3D-18 has 33,371,472 parameters with the Kinetics classifier, 33,166,272 without it.
@pytest.mark.parametrize(
    ("name", "parameters", "trained"),
    [
        ("r3d", 33_381_497, 400 * 25 + 25),
        ("r3d_stem", 33_381_497, 400 * 25 + 25 + 64 * 3 * 3 * 7 * 7),
        ("r3d_attn8", 36_335_065, 36_335_065 - 33_166_272),
        ("r3d_attn16", 36_335_065, 36_335_065 - 33_166_272),
        ("r3d_attn_adaptive", 36_373_465, 36_373_465 - 33_166_272),
        ("r2plus1d", 31_515_350, 400 * 25 + 25),
        ("r2plus1d_attn8", 34_468_918, 36_335_065 - 33_166_272),
    ],
)
def test_parameters_and_what_trains(name: str, parameters: int, trained: int) -> None:
    model = get_registry().find(name)
    net = meta_network(model, 25)
    assert sum(p.numel() for p in net.parameters()) == model.spec.parameters == parameters
    names = set_trainable(net, model.spec, model.spec.trainable)
    assert sum(p.numel() for n, p in net.named_parameters() if n in names) == trained
    assert all(n.startswith(("head.", "backbone.stem.0.")) for n in names)


@pytest.mark.parametrize("backbone", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_backbone_keeps_upstream_keys(backbone: str) -> None:
    with torch.device("meta"):
        upstream = getattr(video, backbone)().state_dict()
    assert meta(backbone=backbone, layers=0).backbone.state_dict().keys() == upstream.keys()
    kept = {key for key in upstream if not key.startswith("fc.")}
    assert meta(backbone=backbone).backbone.state_dict().keys() == kept


@pytest.mark.parametrize(
    ("grid", "tokens"), [(None, 1 * 7 * 7), ((1, 1, 1), 1), ((1, 2, 2), 4), ((2, 3, 3), 18), ([1, 2, 2], 4)]
)
def test_token_grid(grid: Any, tokens: int) -> None:
    net = meta(grid=grid)
    assert net.forward_features(clips()).shape == (1, tokens, 512)
    assert net(clips()).shape == (1, 25)


def test_adaptive_reads_four_tokens_flat() -> None:
    net = meta_network(get_registry().find("r3d_attn_adaptive"), 25)
    assert net.head.classifier.in_features == 4 * 512
    assert len(net.head.encoder) == 2
    assert net.head.encoder[0].self_attn.num_heads == 8
    assert net.head.encoder[0].linear1.out_features == 512


def test_heads_of_the_study() -> None:
    for name, heads in (("r3d_attn8", 8), ("r3d_attn16", 16), ("r2plus1d_attn8", 8)):
        layer = meta_network(get_registry().find(name), 25).head.encoder[0]
        assert (layer.self_attn.num_heads, layer.dropout.p) == (heads, 0.3)


@pytest.mark.parametrize("readout", ["flatten", "cls", "mean"])
def test_readout(readout: Any) -> None:
    assert meta(grid=(1, 2, 2), readout=readout)(clips()).shape == (1, 25)


@pytest.mark.parametrize("options", [{"layers": 0}, {}, {"readout": "cls"}, {"grid": (1, 2, 2), "readout": "flatten"}])
@pytest.mark.parametrize(("frames", "size"), [(16, 112), (4, 64), (8, 224)])
def test_any_frames_and_sizes(options: dict[str, Any], frames: int, size: int) -> None:
    assert meta(**options)(clips(frames, size)).shape == (1, 25)


def test_linear_head_reads_the_kinetics_logits() -> None:
    net = meta(layers=0)
    assert net.forward_features(clips()).shape == (1, 400)
    assert net.head.classifier.in_features == 400


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"backbone": "resnet18"}, "backbone 'resnet18' is none of r3d_18, mc3_18, r2plus1d_18"),
        ({"heads": 7}, "heads=7 does not divide the token width 512"),
        ({"readout": "flatten"}, "'flatten' needs a fixed number of tokens"),
        ({"readout": "max", "grid": (1, 1, 1)}, "unknown readout 'max'"),
        ({"grid": (1, 2)}, "grid must be three whole numbers"),
        ({"grid": (1, 2, 0)}, "grid must be three whole numbers"),
        ({"grid": (1, 2, 2.5)}, "grid must be three whole numbers"),
        ({"grid": 4}, "grid must be three whole numbers"),
        ({"layers": -1}, "layers"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        meta(**options)


def test_weights_that_do_not_exist() -> None:
    with torch.device("meta"), pytest.raises(WeightsError, match="torchvision has no 'imagenet' weights for 'r3d_18'"):
        build(num_classes=25, pretrained="imagenet")


def test_recipe_of_the_study() -> None:
    for model in get_registry().models:
        if model.plugin.name == "r3d":
            defaults = model.spec.defaults
            assert (defaults["epochs"], defaults["batch_size"], defaults["lr"]) == (30, 20, 3e-6)
            assert (defaults["optimizer"], defaults["weight_decay"], defaults["sampling"]) == ("adam", 1e-4, "blocks")
            assert (model.spec.input.frames, model.spec.input.size, model.spec.input.stride) == (8, 112, 1)


@pytest.mark.parametrize(
    ("name", "top1", "top5"),
    [
        ("r3d", 0.6579, 0.8900),
        ("r3d_stem", 0.6852, 0.8972),
        ("r3d_attn8", 0.7454, 0.9310),
        ("r3d_attn16", 0.7405, 0.9421),
        ("r3d_attn_adaptive", 0.7736, 0.9567),
        ("r2plus1d", 0.6859, 0.9261),
        ("r2plus1d_attn8", 0.7463, 0.9321),
        ("r2d_attn_frozen", 0.7216, 0.9322),
        ("r2d_attn", 0.7442, 0.9230),
        ("r2d18_attn", 0.7112, None),
    ],
)
def test_figures_of_the_study_are_quoted_as_printed(name: str, top1: float, top5: float | None) -> None:
    reference = actrec_zoo.get_spec(name).reference
    assert reference is not None
    assert (reference.top1, reference.top5, reference.dataset) == (top1, top5, "HMDB_simp")


# Upstream's checkpoints


@pytest.mark.parametrize("name", [model.spec.name for model in get_registry().models if model.plugin.name == "r3d"])
def test_upstream_checkpoint(name: str, torch_home: Path) -> None:
    spec = actrec_zoo.get_spec(name)
    reference = upstream.torchvision_network(spec.options["backbone"])
    upstream.publish_torchvision(torch_home, upstream.weights_of(spec), reference.state_dict())
    model = actrec_zoo.load(name, weights="pretrained")
    inputs = torch.randn(2, 3, 8, 112, 112)
    with torch.inference_mode():
        if spec.options["layers"] == 0:
            assert upstream.difference(model(inputs), reference(inputs)) <= 1e-5
            assert model.labels == tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])
            assert model.predict(torch.zeros(9, 32, 32, 3, dtype=torch.uint8), top_k=1)[0][0] in model.labels
        else:
            expected = upstream.features_of_video_resnet(reference, spec.options["grid"], inputs)
            assert upstream.difference(model.forward_features(inputs), expected) <= 1e-5
            assert len(model.labels) == spec.num_classes


def test_number_of_classes_gives_a_new_classifier(torch_home: Path) -> None:
    reference = upstream.torchvision_network("r3d_18")
    upstream.publish_torchvision(torch_home, upstream.weights_of(actrec_zoo.get_spec("r3d")), reference.state_dict())
    for classes in (400, 7):
        weight = actrec_zoo.load("r3d", weights="pretrained", num_classes=classes).net.head.classifier.weight
        assert weight.shape == (classes, 400)
        assert not torch.equal(weight, torch.eye(400)[:classes])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"layer1.0.conv1.0.weight": None}, r"1 missing: layer1\.0\.conv1\.0\.weight\."),
        ({"layer9.weight": torch.zeros(1)}, r"1 unexpected: layer9\.weight\."),
        ({"stem.0.weight": torch.zeros(2)}, r"1 of another shape: stem\.0\.weight \(2,\) instead of"),
    ],
)
def test_checkpoint_that_does_not_fit_is_refused_with_the_list(
    change: dict[str, Any],
    complaint: str,
    torch_home: Path,
) -> None:
    state = upstream.torchvision_network("r3d_18").state_dict() | change
    spec = actrec_zoo.get_spec("r3d_attn8")
    upstream.publish_torchvision(
        torch_home, upstream.weights_of(spec), {k: v for k, v in state.items() if v is not None}
    )
    with pytest.raises(WeightsError, match=f"torchvision's kinetics400 weights does not fit the model. {complaint}"):
        actrec_zoo.load("r3d_attn8", weights="pretrained")


def test_random_weights_have_no_upstream_classifier() -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match="without pretrained weights there is no classifier"):
        build(num_classes=None, layers=0)


def test_encoder_has_no_upstream_classifier() -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match="an encoder takes the place of the Kinetics classif"):
        build(num_classes=None, pretrained="kinetics400")
