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
    "R3D_18_Weights.KINETICS400_V1": (63.2, 83.479),
    "R2Plus1D_18_Weights.KINETICS400_V1": (67.463, 86.175),
    "ResNet50_Weights.IMAGENET1K_V1": (76.13, 92.862),
    "ResNet18_Weights.IMAGENET1K_V1": (69.758, 89.078),
    "SqueezeNet1_1_Weights.IMAGENET1K_V1": (58.178, 80.624),
    "MobileNet_V2_Weights.IMAGENET1K_V1": (71.878, 90.286),
    "MC3_18_Weights.KINETICS400_V1": (63.96, 84.13),
    "S3D_Weights.KINETICS400_V1": (68.368, 88.05),
    "MViT_V1_B_Weights.KINETICS400_V1": (78.477, 93.582),
    "MViT_V2_S_Weights.KINETICS400_V1": (80.757, 94.665),
    "Swin3D_T_Weights.KINETICS400_V1": (77.715, 93.519),
    "Swin3D_S_Weights.KINETICS400_V1": (79.521, 94.158),
    "Swin3D_B_Weights.KINETICS400_V1": (79.427, 94.386),
    "Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1": (81.643, 95.574),
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
_STEPS = {
    "epochs": 45,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "step",
    "milestones": (20, 30, 40),
    "gamma": 0.1,
    "warmup_epochs": 10,
}
_MVIT = {
    "epochs": 100,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 0.0025,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "no_decay": True,
    "schedule": "cosine",
    "min_lr": 1e-6,
    "warmup_epochs": 3,
    "warmup_lr": 1e-4,
    "label_smoothing": 0.1,
}
_SWIN = {
    "epochs": 30,
    "batch_size": 8,
    "optimizer": "adamw",
    "lr": 1e-3 * 8 / 64,
    "lr_factors": {"backbone": 0.1},
    "no_decay": True,
    "schedule": "cosine",
    "warmup_epochs": 2.5,
    "warmup_lr": 1e-3 * 8 / 64 * 0.1,
}
_FLIPPED = {"sampling": "random", "augment": ("random_crop", "horizontal_flip")}
_SLOWFAST = {
    "epochs": 22,
    "batch_size": 8,
    "optimizer": "sgd",
    "lr": 0.03 * 8 / 16,
    "momentum": 0.9,
    "weight_decay": 1e-6,
    "schedule": "step",
    "milestones": (14, 18),
    "gamma": 0.1,
    "warmup_epochs": 0.19,
}
_CONVOLUTIONAL = (
    *("x3d_xs", "x3d_s", "x3d_m", "x3d_l", "slow_r50", "slowfast_r50", "slowfast_r101", "c2d_r50", "i3d_r50"),
    *("csn_r101", "r2plus1d_r50"),
)
RECIPES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(_CONVOLUTIONAL, _SLOWFAST | _FLIPPED),
    "mvit_base_16x4": _MVIT | _FLIPPED,
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
    "mc3_18": _STEPS | _FLIPPED | {"batch_size": 16, "lr": pytest.approx(0.64 * 16 / (64 * 24), rel=0.01)},
    "s3d": _STEPS | _FLIPPED | {"batch_size": 8, "lr": pytest.approx(0.2 * 8 / (64 * 12), rel=0.01), "frames": 64},
    "mvit_v1_b": _MVIT | _FLIPPED,
    "mvit_v2_s": _MVIT | _FLIPPED,
    "swin3d_t": _SWIN | _FLIPPED | {"weight_decay": 0.02},
    "swin3d_s": _SWIN | _FLIPPED | {"weight_decay": 0.02},
    "swin3d_b": _SWIN | _FLIPPED | {"weight_decay": 0.05},
    "vivit": _FLIPPED
    | {
        "epochs": 30,
        "batch_size": 8,
        "optimizer": "sgd",
        "lr": 0.1 * 8 / 64,
        "momentum": 0.9,
        "schedule": "cosine",
        "warmup_epochs": 2.5,
        "clip_grad": 1.0,
    },
    "vjepa2": {
        "epochs": 20,
        "batch_size": 4,
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "sampling": "random",
    },
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
        kind, _, member = weights.source.partition(":")
        if kind == "torchvision":
            top1, top5 = FIGURES_OF_TORCHVISION[member]
            assert (weights.reference.top1, weights.reference.top5) == pytest.approx((top1 / 100, top5 / 100))


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str) -> None:
    assert actrec_zoo.get_spec(name).defaults == RECIPES[name]
