"""Where weights come from, what they are said to reach, and the recipes: as collected from their publishers."""

from __future__ import annotations

from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.registry import get_registry

# source, file, figure in percent (top-1, top-5), of the weights of each transformer model
WEIGHTS = {
    "timesformer": (
        "hf:facebook/timesformer-base-finetuned-k400@8aaf40ea7d3d282dcb0a5dea01a198320d15d6c0",
        "pytorch_model.bin",
        (77.9, 93.2),
    ),
    "timesformer_k600": (
        "hf:facebook/timesformer-base-finetuned-k600@755111696998cf6c06eeaea5bdb717f46cd4d67b",
        "pytorch_model.bin",
        (79.1, 94.4),
    ),
    "timesformer_ssv2": (
        "hf:facebook/timesformer-base-finetuned-ssv2@3b045270472c79cf9c1b60189ba425e92ed7f004",
        "pytorch_model.bin",
        (59.1, 85.6),
    ),
    "videomae": (
        "hf:MCG-NJU/videomae-base-finetuned-kinetics@488eb9a0565f257b32866000305c8178965eb9f6",
        "model.safetensors",
        (81.5, 95.1),
    ),
    "videomae_small": (
        "hf:MCG-NJU/videomae-small-finetuned-kinetics@1bf2b82c809609f5df1ea7648aee577e2e486b63",
        "pytorch_model.bin",
        (79.0, 93.8),
    ),
    "videomae_ssv2": (
        "hf:MCG-NJU/videomae-base-finetuned-ssv2@873e7dfcd91479c8e10d75f7e402573dbdb6f98e",
        "pytorch_model.bin",
        (70.8, 92.4),
    ),
    "videomae_hybrid": (
        "hf:facebook/timesformer-base-finetuned-k400@8aaf40ea7d3d282dcb0a5dea01a198320d15d6c0",
        "pytorch_model.bin",
        (77.9, 93.2),
    ),
}
FIGURES_OF_TORCHVISION = {
    "r3d_18": (63.2, 83.479),
    "r2plus1d_18": (67.463, 86.175),
    "resnet50": (76.13, 92.862),
    "resnet18": (69.758, 89.078),
    "squeezenet1_1": (58.178, 80.624),
    "mobilenet_v2": (71.878, 90.286),
}

_STUDY = {"epochs": 30, "batch_size": 8, "optimizer": "adam", "lr": 1e-4, "weight_decay": 1e-4}
_BLOCKS = {"sampling": "blocks", "stride": 1}
_VIDEOMAE = {
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 5e-4 * 16 / 256,
    "layer_decay": 0.75,
    "weight_decay": 0.05,
    "no_decay": True,
    "schedule": "cosine",
    "warmup_epochs": 5,
    "label_smoothing": 0.1,
}
_FLIPPED = {"sampling": "random", "augment": ("random_crop", "horizontal_flip")}
RECIPES: dict[str, dict[str, Any]] = {
    "timesformer": _STUDY | _BLOCKS,
    "timesformer_k600": _STUDY | _BLOCKS | {"frames": 16},
    "timesformer_ssv2": {
        "epochs": 15,
        "batch_size": 8,
        "optimizer": "sgd",
        "lr": 0.005 * 8 / 64,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (11, 14),
        "gamma": 0.1,
        "sampling": "uniform",
        "augment": ("random_crop",),
    },
    "videomae": _VIDEOMAE | _FLIPPED | {"epochs": 75},
    "videomae_small": _VIDEOMAE | _FLIPPED | {"epochs": 150},
    "videomae_ssv2": _VIDEOMAE | {"epochs": 30, "sampling": "uniform", "augment": ("random_crop",)},
    "videomae_hybrid": _STUDY | _BLOCKS | {"augment": ("resize", "random_crop", "horizontal_flip", "rotation")},
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_the_hub(name: str) -> None:
    source, file, (top1, top5) = WEIGHTS[name]
    (weights,) = actrec_zoo.get_spec(name).weights.values()
    assert (weights.source, weights.file, weights.license) == (source, file, "CC-BY-NC-4.0")
    assert weights.url == f"https://huggingface.co/{source.removeprefix('hf:').partition('@')[0]}"
    assert weights.reference is not None
    assert (weights.reference.top1, weights.reference.top5) == pytest.approx((top1 / 100, top5 / 100))


@pytest.mark.parametrize("model", get_registry().models, ids=lambda model: model.id)
def test_figures_of_torchvision_are_quoted_as_printed(model: Any) -> None:
    for weights in model.spec.weights.values():
        if weights.source.startswith("torchvision:"):
            top1, top5 = FIGURES_OF_TORCHVISION[model.spec.options["backbone"]]
            assert (weights.reference.top1, weights.reference.top5) == pytest.approx((top1 / 100, top5 / 100))


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str) -> None:
    assert actrec_zoo.get_spec(name).defaults == RECIPES[name]
