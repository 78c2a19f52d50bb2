"""V-JEPA 2: agreement with transformers, the probe, what of upstream's file is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VJEPA2ForVideoClassification, VJEPA2Model

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.hub.packing import write_package
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.training.parameters import only_head_trains, set_trainable
from actrec_zoo_plugins.vjepa2.model import build
from tests import upstream

FRAMES, SIZE = 4, 32


@pytest.fixture
def published(hub_cache: Path) -> tuple[VJEPA2Model, Path]:
    """A checkpoint of two layers, with its predictor, as the Hub has it."""
    reference = upstream.vjepa2(num_hidden_layers=2, pred_num_hidden_layers=1, frames_per_clip=FRAMES, crop_size=SIZE)
    weights = upstream.weights_of(actrec_zoo.get_spec("vjepa2"))
    return reference, upstream.publish(hub_cache, weights, reference, ())


def test_upstream_checkpoint(published: Any) -> None:
    reference, _ = published
    options = {"layers": 2, "frames": FRAMES, "size": SIZE}
    model = create(get_registry().find("vjepa2"), labels=("a", "b"), options=options, weights="pretrained").eval()
    clips = torch.randn(2, 3, FRAMES, SIZE, SIZE)
    with torch.inference_mode():
        tokens = reference(clips.transpose(1, 2), skip_predictor=True).last_hidden_state
        assert upstream.difference(model.forward_features(clips), tokens) <= 1e-5
    assert not any("predictor" in name for name in model.net.state_dict())
    assert model.net.classifier.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert model.net.pooler.query_tokens.abs().sum() > 0


def test_transformers_loads_our_folder(tmp_path: Path) -> None:
    options = {"layers": 2, "probe_layers": 1, "frames": FRAMES, "size": SIZE}
    model = create(get_registry().find("vjepa2"), labels=("a", "b"), options=options, weights="none").eval()
    upstream.randomised(model.net)
    write_package(tmp_path, model, {"name": "vjepa2", "distribution": "actrec-zoo", "version": "0"})
    reference, report = VJEPA2ForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert all(key.startswith("vjepa2.predictor.") for key in report["missing_keys"])
    clips = torch.randn(1, 3, FRAMES, SIZE, SIZE)
    with torch.inference_mode():
        assert upstream.difference(model(clips), reference.eval()(clips.transpose(1, 2)).logits) <= 1e-5


def test_the_probe_is_the_head() -> None:
    """It trains alone, so that its tokens can be kept."""
    spec = actrec_zoo.get_spec("vjepa2")
    with torch.device("meta"):
        net = build(num_classes=2, layers=1, probe_layers=1)
    trains = set_trainable(net, spec, spec.trainable)
    assert only_head_trains(net, spec)
    assert {name.partition(".")[0] for name in trains} == {"pooler", "classifier"}
    assert {name for name, _ in net.named_parameters()} - set(trains) == {
        name for name, _ in net.named_parameters() if name.startswith("vjepa2.")
    }


def test_checkpoint_that_does_not_fit_is_refused_with_the_list(published: Any) -> None:
    _, folder = published
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if k != "encoder.layernorm.weight"}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing: vjepa2\.encoder\.layernorm\.weight"):
        build(num_classes=2, pretrained="vjepa2", layers=2, frames=FRAMES, size=SIZE)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"frames": 7}, "frames=7 is no multiple of the tubelet of 2 frames: take 8"),
        ({"size": 120}, "size=120 is no multiple of the patch of 16 pixels: take 128"),
        ({"layers": 0}, "layers=0 must be 1 or more"),
        ({"probe_layers": -1}, "probe_layers=-1 0 or more"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=complaint):
        build(**({"num_classes": 3} | options))


def test_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsError, match="V-JEPA 2 has no weights 'ssv2': vjepa2"):
        build(num_classes=3, pretrained="ssv2")


def test_weights_and_preprocessing_are_upstreams() -> None:
    spec = actrec_zoo.get_spec("vjepa2")
    weights = upstream.weights_of(spec)
    assert (weights.num_classes, weights.license, weights.reference) == (None, "MIT", None)
    assert (spec.input.frames, spec.input.stride, spec.input.size, spec.input.resize) == (16, 4, 256, 292)
    assert (spec.input.mean, spec.input.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
