"""ViViT: agreement with transformers, key names, positions, what the weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VivitForVideoClassification

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.hub.packing import write_package
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo_plugins.vivit.model import build, fit_positions, renamed
from tests import upstream

FRAMES, SIZE = 4, 32


@pytest.fixture
def published(hub_cache: Path) -> tuple[VivitForVideoClassification, Path]:
    """A checkpoint of one layer, as the Hub has it."""
    reference = upstream.vivit(400, num_hidden_layers=1)
    weights = upstream.weights_of(actrec_zoo.get_spec("vivit"))
    return reference, upstream.publish(hub_cache, weights, reference, upstream.class_names(400))


def test_upstream_checkpoint(published: Any) -> None:
    reference, _ = published
    net = create(get_registry().find("vivit"), labels=None, options={"layers": 1}, weights="pretrained").eval()
    assert net.labels == tuple(upstream.class_names(400))
    clips = torch.randn(1, 3, 32, 224, 224)
    with torch.inference_mode():
        assert upstream.difference(net(clips), reference(clips.transpose(1, 2)).logits) <= 1e-5


def test_keys_of_the_file_on_the_hub_are_taken() -> None:
    """They are from before transformers renamed its layers; a reference that is saved today may have either."""
    old = {
        "vivit.encoder.layer.3.attention.attention.query.weight": "vivit.layers.3.attention.q_proj.weight",
        "vivit.encoder.layer.3.attention.attention.key.bias": "vivit.layers.3.attention.k_proj.bias",
        "vivit.encoder.layer.3.attention.attention.value.bias": "vivit.layers.3.attention.v_proj.bias",
        "vivit.encoder.layer.3.attention.output.dense.bias": "vivit.layers.3.attention.o_proj.bias",
        "vivit.encoder.layer.11.intermediate.dense.weight": "vivit.layers.11.mlp.fc1.weight",
        "vivit.encoder.layer.11.output.dense.weight": "vivit.layers.11.mlp.fc2.weight",
        "vivit.encoder.layer.0.layernorm_before.weight": "vivit.layers.0.layernorm_before.weight",
        "vivit.embeddings.cls_token": "vivit.embeddings.cls_token",
        "classifier.weight": "classifier.weight",
    }
    with torch.device("meta"):
        own = build(num_classes=2).state_dict()
    new = renamed({key: torch.zeros(1) for key in old})
    assert list(new) == list(old.values()) and set(new) <= set(own)


def test_transformers_loads_our_folder(tmp_path: Path) -> None:
    options = {"layers": 1, "frames": FRAMES, "size": SIZE}
    model = create(get_registry().find("vivit"), labels=("a", "b"), options=options, weights="none").eval()
    upstream.randomised(model.net)
    write_package(tmp_path, model, {"name": "vivit", "distribution": "actrec-zoo", "version": "0"})
    reference, report = VivitForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("unexpected_keys", "mismatched_keys", "missing_keys"))
    clips = torch.randn(1, 3, FRAMES, SIZE, SIZE)
    with torch.inference_mode():
        assert upstream.difference(model(clips), reference.eval()(clips.transpose(1, 2)).logits) <= 1e-5


def test_positions_are_interpolated() -> None:
    """A table that rises evenly in time and space goes on doing so, and the class token keeps its own."""
    time, row, column = torch.meshgrid(torch.arange(16.0), torch.arange(14.0), torch.arange(14.0), indexing="ij")
    tubelets = torch.stack((time / 16, row / 14, column / 14), dim=-1).reshape(1, -1, 3)
    table = torch.cat((torch.full((1, 1, 3), 9.0), tubelets), dim=1)
    key = "vivit.embeddings.position_embeddings"
    fitted = fit_positions({key: table}, frames=16, size=112)[key]
    assert fitted.shape == (1, 1 + 8 * 7 * 7, 3)
    assert fitted[0, 0].tolist() == [9, 9, 9]
    grid = fitted[0, 1:].reshape(8, 7, 7, 3)
    assert torch.allclose(grid[:, 0, 0, 0], (2 * torch.arange(8.0) + 0.5) / 16)
    assert torch.allclose(grid[0, :, 0, 1], (2 * torch.arange(7.0) + 0.5) / 14)
    assert torch.allclose(grid[0, 0, :, 2], (2 * torch.arange(7.0) + 0.5) / 14)
    assert fit_positions({key: table}, frames=32, size=224)[key] is table


def test_other_clips_and_a_new_classifier(published: Any) -> None:
    reference, _ = published
    net = build(num_classes=400, pretrained="kinetics400", frames=8, size=64, layers=1)
    assert net(torch.randn(1, 3, 8, 64, 64)).shape == (1, 400)
    assert net.classifier.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not net.classifier.bias.any()
    assert torch.equal(net.vivit.layernorm.weight, reference.vivit.layernorm.weight)


def test_checkpoint_that_does_not_fit_is_refused_with_the_list(published: Any) -> None:
    _, folder = published
    state = torch.load(folder / "pytorch_model.bin")
    torch.save(state | {"vivit.pooler.dense.weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"1 unexpected: vivit\.pooler\.dense\.weight"):
        build(num_classes=2, pretrained="kinetics400", layers=1)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"frames": 7}, "frames=7 is no multiple of the tubelet of 2 frames: take 8"),
        ({"size": 120}, "size=120 is no multiple of the patch of 16 pixels: take 128"),
        ({"layers": 0}, "layers=0 must be 1 or more"),
        ({"num_classes": None}, "give num_classes"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=complaint):
        build(**({"num_classes": 3} | options))


def test_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsError, match="ViViT has no weights 'ssv2': kinetics400"):
        build(num_classes=3, pretrained="ssv2")


def test_weights_and_preprocessing_are_upstreams() -> None:
    spec = actrec_zoo.get_spec("vivit")
    weights = upstream.weights_of(spec)
    assert (weights.num_classes, weights.license, weights.file) == (400, "MIT", "pytorch_model.bin")
    assert weights.reference is not None and weights.reference.top1 == 0.799
    assert (spec.input.frames, spec.input.stride, spec.input.size, spec.input.resize) == (32, 2, 224, 256)
    assert spec.input.mean == spec.input.std == (0.5, 0.5, 0.5)
