"""2D CNNs with a transformer encoder over time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.hub.packing import write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.testing import meta_network
from actrec_zoo.training.parameters import set_trainable
from actrec_zoo_plugins.r2d_attn.model import build
from tests import upstream

SQUEEZENET = "weights/squeezenet1_1_imagenet_features.safetensors"
MOBILENET = "weights/mobilenet_v2_035_imagenet_features.safetensors"


def meta(**options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(num_classes=25, **options).eval()


def clips(frames: int = 8, size: int = 224) -> torch.Tensor:
    return torch.randn(2, 3, frames, size, size, device="meta")


@pytest.mark.parametrize(
    ("name", "parameters", "trained"),
    [
        ("r2d_attn", 49_157_209, 25_658_585),
        ("r2d_attn_frozen", 49_157_209, 25_658_585 - 64 * 3 * 7 * 7),
        ("r2d18_attn", 12_870_233, 1_703_129),
        ("squeezenet_attn", 975_193, 975_193 - 722_496),
        ("mobilenet_attn", 2_574_873, 2_574_873 - 2_223_872),
    ],
)
def test_parameters_and_what_trains(name: str, parameters: int, trained: int) -> None:
    model = get_registry().find(name)
    net = meta_network(model, 25)
    assert sum(p.numel() for p in net.parameters()) == model.spec.parameters == parameters
    names = set_trainable(net, model.spec, model.spec.trainable)
    assert sum(p.numel() for n, p in net.named_parameters() if n in names) == trained
    assert all(n.startswith(("head.", "backbone.conv1.")) for n in names)


def test_architecture_of_the_study() -> None:
    net = meta_network(get_registry().find("r2d_attn"), 25)
    (layer,) = net.head.encoder
    assert (layer.self_attn.num_heads, layer.linear1.out_features, layer.dropout.p) == (8, 2048, 0.3)
    assert net.head.classifier.in_features == 9 * 2048 == 18_432
    assert net.head.positions
    assert net.head.class_token.shape == (1, 1, 2048)


@pytest.mark.parametrize("readout", ["cls", "mean"])
@pytest.mark.parametrize("frames", [1, 8, 20])
def test_frames_are_free_with_cls_and_mean(readout: Any, frames: int) -> None:
    assert meta(backbone="resnet18", readout=readout)(clips(frames, 64)).shape == (2, 25)


def test_flatten_fixes_the_frames() -> None:
    net = meta(backbone="resnet18", frames=4)
    assert net(clips(4, 64)).shape == (2, 25)
    with pytest.raises(ConfigError, match="built for 5 tokens and got 9"):
        net(clips(8, 64))


@pytest.mark.parametrize(
    ("backbone", "width", "size"),
    [
        *(("resnet18", 512, 64), ("resnet50", 2048, 64), ("squeezenet1_1", 512, 64), ("mobilenet_v2", 1280, 64)),
        *(("mobilenet_v3_small", 576, 64), ("alexnet", 256, 96), ("vgg11", 512, 64), ("densenet121", 1024, 64)),
        *(("efficientnet_b0", 1280, 64), ("shufflenet_v2_x0_5", 1024, 64)),
        *(("mnasnet0_5", 1280, 64), ("convnext_tiny", 768, 64), ("googlenet", 1024, 64), ("inception_v3", 2048, 96)),
        *(("swin_t", 768, 64), ("vit_b_32", 768, 224), ("maxvit_t", 512, 224)),
    ],
)
def test_any_torchvision_backbone(backbone: str, width: int, size: int) -> None:
    net = meta(backbone=backbone, frames=2)
    assert net.forward_features(clips(2, size)).shape == (2, 2, width)
    assert net(clips(2, size)).shape == (2, 25)


def test_backbone_that_torchvision_cannot_build_on_the_meta_device() -> None:
    net = build(num_classes=25, backbone="regnet_x_400mf", frames=2).eval()
    assert net(torch.randn(1, 3, 2, 64, 64)).shape == (1, 25)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"backbone": "resnet51"}, "torchvision has no backbone 'resnet51'. Did you mean"),
        ({"backbone": "r3d_18"}, "'r3d_18' takes clips, not images"),
        ({"backbone": "resnet18", "backbone_args": {"colour": 1}}, "torchvision cannot build 'resnet18'"),
        ({"backbone": "resnet18", "heads": 7}, "heads=7 does not divide the token width 512"),
        ({"backbone": "resnet18", "readout": "max"}, "unknown readout 'max'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        meta(**options)


@pytest.mark.usefixtures("no_network")
def test_download_that_is_impossible_names_the_ways_on() -> None:
    for name in ("squeezenet_attn", "mobilenet_attn", "r2d18_attn"):
        url = next(iter(actrec_zoo.get_spec(name).weights.values())).url
        with pytest.raises(WeightsError) as caught:
            actrec_zoo.load(name, weights="pretrained", num_classes=2)
        assert f"cannot download the pretrained weights {url}: " in str(caught.value)
        assert "`--weights none`" in str(caught.value)
        assert "`--backbone-weights FILE.safetensors`" in str(caught.value)


def backbone_file(folder: Path, change: dict[str, torch.Tensor | None]) -> Path:
    """A file of a random SqueezeNet's features, with some tensors changed or (None) left out."""
    state = build(num_classes=2, backbone="squeezenet1_1").backbone.state_dict() | change
    file = folder / "backbone.safetensors"
    write_weights(file, {k: v for k, v in state.items() if v is not None})
    return file


def test_backbone_file(tmp_path: Path) -> None:
    file = backbone_file(tmp_path, {"classifier.1.weight": torch.zeros(3)})
    model = create(get_registry().find("squeezenet_attn"), labels=("a", "b"), backbone_weights=file)
    state = safetensors.torch.load_file(file)
    assert all(torch.equal(value, state[key]) for key, value in model.net.backbone.state_dict().items())


def test_backbone_file_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    change = {"features.0.bias": None, "features.99.bias": torch.zeros(1), "features.0.weight": torch.zeros(2, 3)}
    file = backbone_file(tmp_path, change)
    with pytest.raises(WeightsError) as caught:
        create(get_registry().find("squeezenet_attn"), labels=("a", "b"), backbone_weights=file)
    assert str(caught.value) == (
        f"--backbone-weights {file} does not fit the model. 1 missing: features.0.bias. "
        "1 unexpected: features.99.bias. 1 of another shape: features.0.weight (2, 3) instead of (64, 3, 3, 3)."
    )


def test_real_squeezenet_file(test_data: Path) -> None:
    file = test_data / SQUEEZENET
    model = create(get_registry().find("squeezenet_attn"), labels=("a", "b"), backbone_weights=file)
    state = safetensors.torch.load_file(file)
    own = model.net.backbone.state_dict()
    assert own and all(torch.equal(own[key], state[key]) for key in own)
    assert not any(p.is_meta for p in model.parameters())


def test_real_mobilenet_file_of_another_width(test_data: Path) -> None:
    file = test_data / MOBILENET
    model = get_registry().find("mobilenet_attn")
    with pytest.raises(WeightsError, match=r"of another shape: .* instead of "):
        create(model, labels=("a", "b"), backbone_weights=file)
    options = {"backbone_args": {"width_mult": 0.35}}
    net = create(model, labels=("a", "b"), options=options, backbone_weights=file).net
    state = safetensors.torch.load_file(file)
    assert all(torch.equal(value, state[key]) for key, value in net.backbone.state_dict().items() if key in state)


@pytest.mark.parametrize("name", [m.spec.name for m in get_registry().models if m.plugin.name == "r2d_attn"])
def test_upstream_checkpoint(name: str, torch_home: Path) -> None:
    spec = actrec_zoo.get_spec(name)
    reference = upstream.torchvision_network(spec.options["backbone"])
    upstream.publish_torchvision(torch_home, upstream.weights_of(spec), reference.state_dict())
    model = actrec_zoo.load(name, weights="pretrained")
    clips = torch.randn(1, 3, 2, 96, 96)
    with torch.inference_mode():
        expected = upstream.features_of_image_network(reference, clips[0].transpose(0, 1))
        assert upstream.difference(model.forward_features(clips)[0], expected) <= 1e-5
    assert len(model.labels) == spec.num_classes
