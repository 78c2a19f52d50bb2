"""VideoMAE: agreement with transformers, key names, positions, upstream's recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

import actrec_zoo
from actrec_zoo.config import Layer, resolve
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.hub.packing import write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.testing import meta_network
from actrec_zoo.training.parameters import parameter_groups
from actrec_zoo_plugins.videomae.model import build, position_table
from tests import upstream

MODELS = {"videomae": ("base", 400), "videomae_small": ("small", 400), "videomae_ssv2": ("base", 174)}


def rates(net: torch.nn.Module, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Factor on the learning rate of each parameter by the recipe of `videomae_small`."""
    spec = get_registry().find("videomae_small").spec
    flags = Layer("flag", {"model": spec.name, "data": "d", **(settings or {})})
    groups = parameter_groups(net, spec, resolve(spec, [flags]).config)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {names[id(parameter)]: group.lr_factor for group in groups for parameter in group.parameters}


@pytest.mark.parametrize(("frames", "size"), [(16, 224), (2, 16), (6, 48)])
def test_position_table_is_upstreams(frames: int, size: int) -> None:
    with torch.device("meta"):
        config = VideoMAEConfig(num_frames=frames, image_size=size, num_hidden_layers=1, hidden_size=384)
        table = VideoMAEForVideoClassification(config).videomae.embeddings.position_embeddings
    assert torch.equal(position_table(table.shape[1], 384), table)


@pytest.mark.parametrize("name", MODELS)
def test_upstream_checkpoint(name: str, hub_cache: Path) -> None:
    variant, classes = MODELS[name]
    model = get_registry().find(name)
    labels = upstream.class_names(classes)
    reference = upstream.videomae(classes, variant, num_hidden_layers=2)
    folder = upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, labels)
    assert upstream.weights_of(model.spec).file in {file.name for file in folder.iterdir()}
    net = create(model, labels=None, options={"layers": 2}, weights="pretrained").eval()
    assert net.labels == tuple(labels)
    clips = torch.randn(1, 3, 16, 224, 224)
    with torch.inference_mode():
        assert (net(clips) - reference(clips.transpose(1, 2)).logits).abs().max() <= 1e-5


def test_transformers_loads_our_weights(tmp_path: Path) -> None:
    """Key names stay upstream's: its from_pretrained takes our file, whole."""
    net = upstream.randomised(build(num_classes=5, variant="small", layers=2))
    config = VideoMAEConfig(
        hidden_size=384, intermediate_size=1536, num_attention_heads=6, num_hidden_layers=2, num_labels=5
    )
    config.save_pretrained(tmp_path)
    write_weights(tmp_path / "model.safetensors", net.state_dict())
    reference, report = VideoMAEForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert all(key.endswith("key.bias") for key in report["missing_keys"])  # of older versions, and zero
    clips = torch.randn(1, 3, 16, 224, 224)
    with torch.inference_mode():
        assert (net(clips) - reference.eval()(clips.transpose(1, 2)).logits).abs().max() <= 1e-5


def test_keys_have_no_bias() -> None:
    names = set(meta_network(get_registry().find("videomae_small")).state_dict())
    assert "videomae.encoder.layer.0.attention.attention.query.bias" in names
    assert not any(name.endswith("key.bias") for name in names)


def test_any_frames_and_sizes_by_option(hub_cache: Path) -> None:
    """Positions are computed, so that one set of weights fits every clip; upstream has to be built for it."""
    model = get_registry().find("videomae_small")
    reference = upstream.videomae(400, "small", num_hidden_layers=1, num_frames=8, image_size=96)
    upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, upstream.class_names(400))
    net = build(num_classes=None, pretrained="kinetics400", variant="small", frames=8, size=96, layers=1).eval()
    clips = torch.randn(2, 3, 8, 96, 96)
    with torch.inference_mode():
        assert (net(clips) - reference(clips.transpose(1, 2)).logits).abs().max() <= 1e-5


def published(cache: Path, layers: int = 1) -> Any:
    """The small variant's checkpoint, of so many layers; returns upstream's network and the folder."""
    reference = upstream.videomae(400, "small", num_hidden_layers=layers)
    weights = upstream.weights_of(actrec_zoo.get_spec("videomae_small"))
    return reference, upstream.publish(cache, weights, reference, upstream.class_names(400))


def test_checkpoint_that_does_not_fit_is_refused_with_the_list(hub_cache: Path) -> None:
    _, folder = published(hub_cache)
    state = torch.load(folder / "pytorch_model.bin")
    torch.save(state | {"videomae.pooler.weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"1 unexpected: videomae\.pooler\.weight"):
        build(num_classes=2, pretrained="kinetics400", variant="small", layers=1)
    torch.save({k: v for k, v in state.items() if k != "fc_norm.weight"}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"1 missing: fc_norm\.weight"):
        build(num_classes=2, pretrained="kinetics400", variant="small", layers=1)
    attention = "videomae.encoder.layer.0.attention.attention"
    both = {f"{attention}.query.bias": torch.zeros(384), f"{attention}.q_bias": torch.ones(384)}
    torch.save(state | both, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"q_bias is there under its new name too"):
        build(num_classes=2, pretrained="kinetics400", variant="small", layers=1)


@pytest.mark.parametrize("classes", [2, 400])
def test_new_classifier_on_upstreams_backbone(classes: int, hub_cache: Path) -> None:
    """Also where there are as many classes as upstream has."""
    reference, _ = published(hub_cache)
    net = build(num_classes=classes, pretrained="kinetics400", variant="small", layers=1)
    weight = net.classifier.weight
    assert weight.shape == (classes, 384)
    assert weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not net.classifier.bias.any()
    assert torch.equal(net.fc_norm.weight, reference.fc_norm.weight)


def test_shallower_networks_train_by_the_recipe() -> None:
    """Layers are counted from the head, so the last one that is left has the rate of the last one of twelve."""
    with torch.device("meta"):
        net = build(num_classes=2, variant="small", layers=2)
    found = rates(net)
    assert set(found.values()) == {1.0, 0.75, 0.75**2, 0.75**3}
    assert found["videomae.encoder.layer.1.output.dense.weight"] == 0.75
    with pytest.raises(ConfigError, match="'@block7' matches no parameter"):
        rates(net, {"lr_factors.block7": 0.5})


def test_heads_of_the_small_variant() -> None:
    attention = meta_network(get_registry().find("videomae_small")).videomae.encoder.layer[0].attention.attention
    assert attention.num_attention_heads == 6
    with torch.device("meta"):
        net = build(num_classes=2, variant="small", heads=16)
    assert net.videomae.encoder.layer[0].attention.attention.num_attention_heads == 16


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"variant": "huge"}, "variant 'huge' is none of base, small"),
        ({"frames": 7}, "frames=7 is no multiple of the tubelet of 2 frames: take 8"),
        ({"frames": 1}, "frames=1 is no multiple of the tubelet of 2 frames: take 2"),
        ({"size": 120}, "size=120 is no multiple of the patch of 16 pixels: take 128"),
        ({"layers": 0}, "layers=0 must be 1 or more"),
        ({"heads": 7}, "heads=7 does not divide the width 768"),
        ({"num_classes": None}, "give num_classes"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=complaint):
        build(**({"num_classes": 3} | options))


def test_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsError, match="variant 'small' has no weights 'ssv2': kinetics400"):
        build(num_classes=3, pretrained="ssv2", variant="small")


def test_recipe_of_upstream() -> None:
    for name, epochs in (("videomae", 75), ("videomae_small", 150), ("videomae_ssv2", 30)):
        defaults = actrec_zoo.get_spec(name).defaults
        assert defaults["epochs"] == epochs
        assert defaults["lr"] / defaults["batch_size"] == 5e-4 / 256
        assert (defaults["optimizer"], defaults["weight_decay"], defaults["schedule"]) == ("adamw", 0.05, "cosine")


def test_rate_falls_with_depth() -> None:
    """Layer-wise decay by 0.75: the classifier at the full rate, the embeddings at 0.75**13 of it."""
    factors = rates(meta_network(get_registry().find("videomae_small")))
    assert factors["classifier.weight"] == factors["fc_norm.bias"] == 1
    assert factors["videomae.encoder.layer.11.output.dense.weight"] == 0.75
    assert factors["videomae.encoder.layer.0.output.dense.weight"] == pytest.approx(0.75**12)
    assert factors["videomae.embeddings.patch_embeddings.projection.weight"] == pytest.approx(0.75**13)


def test_preprocessing_is_that_of_the_weights() -> None:
    for name in MODELS:
        spec = actrec_zoo.get_spec(name).input
        assert (spec.frames, spec.size, spec.resize, spec.interpolation) == (16, 224, 224, "bilinear")
        assert (spec.mean, spec.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        expected = ("uniform", 2) if name == "videomae_ssv2" else ("blocks", 1)
        assert (spec.sampling, spec.views) == expected
        assert name == "videomae_ssv2" or spec.stride == 4
