"""`save`, and what transformers makes of the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForVideoClassification

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import RunError
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry

LABELS = ("jump", "rené", "<b>sit</b>")


def test_saved_model_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    model = actrec_zoo.load("tiny_conv3d", weights=None, num_classes=3)
    loaded = actrec_zoo.load(actrec_zoo.save(model, tmp_path / "new" / "folder"))
    clips = torch.randn(2, 3, model.input.frames, model.input.size, model.input.size)
    with torch.inference_mode():
        assert torch.equal(loaded(clips), model(clips))
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"config.json", "model.safetensors"}


def test_model_in_the_folder_is_kept(tmp_path: Path) -> None:
    model = actrec_zoo.load("tiny_conv3d", weights=None, num_classes=3)
    actrec_zoo.save(model, tmp_path)
    with pytest.raises(RunError, match="has a model already: choose another folder"):
        actrec_zoo.save(model, tmp_path)


@pytest.fixture(scope="module", params=["timesformer", "videomae_small"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoClassifier, Path]:
    """A shallow model of an architecture of transformers', and its folder."""
    torch.manual_seed(0)
    found = get_registry().find(request.param)
    model = create(found, labels=LABELS, input=found.spec.input.with_size(32), options={"layers": 1}).eval()
    return model, actrec_zoo.save(model, tmp_path_factory.mktemp("saved") / request.param)


def test_transformers_loads_the_folder(saved: tuple[VideoClassifier, Path]) -> None:
    model, folder = saved
    theirs, notes = AutoModelForVideoClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(notes.values())
    assert theirs.config.id2label == dict(enumerate(LABELS))
    assert theirs.config.label2id == {label: number for number, label in enumerate(LABELS)}
    clips = torch.randn(2, 3, model.input.frames, 32, 32)
    with torch.inference_mode():
        ours, logits = actrec_zoo.load(folder)(clips), theirs.eval()(clips.transpose(1, 2)).logits
    assert (logits - ours).abs().max() <= 1e-5


def test_transformers_preprocesses_alike(saved: tuple[VideoClassifier, Path]) -> None:
    model, folder = saved
    frames = torch.randint(0, 256, (model.input.frames, 3, 40, 56), dtype=torch.uint8)
    frames = torch.nn.functional.interpolate(frames.float(), size=(80, 112), mode="bicubic").clamp(0, 255).byte()
    pixels = AutoImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")["pixel_values"]
    ours = model.preprocess(ClipTransform(model.input)(frames, (0, 0, 0)).unsqueeze(0)).transpose(1, 2)
    assert pixels.shape == ours.shape
    assert (pixels - ours).abs().max() * min(model.input.std) * 255 <= 1.5  # of 256 levels


def test_configuration_is_ours_first(saved: tuple[VideoClassifier, Path]) -> None:
    values = json.loads((saved[1] / "config.json").read_text(encoding="utf-8"))
    assert next(iter(values)) == "format"
    assert (values["format"], values["labels"]) == (2, list(LABELS))
    assert values["image_size"] == 32
