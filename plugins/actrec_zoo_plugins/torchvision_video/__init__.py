"""torchvision's other video networks, trained on Kinetics-400: MC3-18, S3D, MViT and Video Swin."""

from collections.abc import Iterable, Mapping
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_PACKAGE = "actrec_zoo_plugins.torchvision_video"
_FIVE_CLIPS = "16 frames at 7.5 frames a second, five clips of 224x224, video-level"
_TWELVE_CLIPS = "32 frames at 15 frames a second, twelve clips of 224x224, video-level"
_DROPOUTS = (0.0, 0.2, 0.5)

_VIDEO_RESNET_INPUT = InputSpec(
    frames=16,
    fps=15,
    size=112,
    resize=(128, 171),
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
_S3D_INPUT = InputSpec(
    frames=128,
    fps=15,
    size=224,
    resize=(256, 256),
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
_MVIT_INPUT = InputSpec(
    frames=16,
    fps=7.5,
    size=224,
    resize=256,
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
)
_SWIN_INPUT = InputSpec(
    frames=32,
    fps=15,
    size=224,
    resize=256,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

_STEPS: Mapping[str, Any] = {
    "epochs": 45,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "step",
    "milestones": (20, 30, 40),
    "gamma": 0.1,
    "warmup_epochs": 10,
    "sampling": "random",
    "augment": ("random_crop", "horizontal_flip"),
}
_MVIT_DEFAULTS: Mapping[str, Any] = {
    "epochs": 100,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 2.5e-3,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "no_decay": True,
    "schedule": "cosine",
    "min_lr": 1e-6,
    "warmup_epochs": 3,
    "warmup_lr": 1e-4,
    "label_smoothing": 0.1,
    "sampling": "random",
    "augment": ("random_crop", "horizontal_flip"),
}
_SWIN_DEFAULTS: Mapping[str, Any] = {
    "epochs": 30,
    "batch_size": 8,
    "optimizer": "adamw",
    "lr": 1.25e-4,
    "lr_factors": {"backbone": 0.1},
    "weight_decay": 0.02,
    "no_decay": True,
    "schedule": "cosine",
    "warmup_epochs": 2.5,
    "warmup_lr": 1.25e-5,
    "sampling": "random",
    "augment": ("random_crop", "horizontal_flip"),
}

_FROM_SCRATCH = (
    "Not from the study. torchvision publishes no recipe for fine-tuning; the one here is that of its training on "
    "Kinetics from random weights: {rate}, rising for ten of 45 epochs, a tenth of it after 20, 30 and 40."
)
_MVIT_NOTES = (
    "Not from the study. The recipe is that of MViTv2-S for fine-tuning on Something-Something v2: SGD at 0.0025 for "
    "16 clips a step; clips are drawn, cropped and mirrored as on Kinetics. Upstream's random scale of the crop is "
    "left out, and stochastic depth is torchvision's 0.2 where upstream has 0.4.",
    "Upstream's mixup (0.8), cutmix (1), RandAugment and random erasing (0.25) are settings here, and off in this "
    "recipe.",
    "The position tables are those of 16 frames of 224x224; for other clips they are interpolated as they are used.",
)
_SWIN_NOTES = (
    "Not from the study. The recipe is the authors' for training on Kinetics from ImageNet weights, as mmaction2 has "
    "it: AdamW at 0.001 for 64 clips a step, here scaled to 8 clips, a tenth of it for the backbone. The random scale "
    "of the crop is left out, and stochastic depth is torchvision's 0.1 at every size.",
)
_DEAD_SHIFT = {"backbone.blocks.*.attn.pool_k.norm_act.0.bias": "adds the same to all scores of a query, which cancels"}
_UNREAD = "the last block: its class token alone is read, and neither queries nor positions of the others reach it"
_DEAD_QUERIES = {"backbone.blocks.15.attn.rel_pos_*": _UNREAD, "backbone.blocks.15.attn.pool_q.pool.weight": _UNREAD}


def _weights(
    member: str, file: str, *, top1: float, top5: float, protocol: str, replaced: str, first: str = ""
) -> WeightsRef:
    return WeightsRef(
        source=f"torchvision:{member}",
        url=f"https://download.pytorch.org/models/{file}",
        trained_on=f"{first}Kinetics-400",
        license="not stated by torchvision (its code: BSD-3-Clause)",
        num_classes=400,
        reference=Reference(
            top1=top1,
            top5=top5,
            dataset="Kinetics-400",
            protocol=protocol,
            source="https://docs.pytorch.org/vision/stable/models.html#video-classification",
        ),
        ignore_keys=(f"{replaced}.*",),
    )


def _model(name: str, summary: str, *, options: Mapping[str, Any], card: str, **settings: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        builder=f"{_PACKAGE}.model:build",
        options={"backbone": name, **options},
        head_options={"dropout": _DROPOUTS},
        exportable=True,
        card=f"{_PACKAGE}:{card}",
        **settings,
    )


def _mc3() -> ModelSpec:
    return _model(
        "mc3_18",
        "MC3-18 of Kinetics-400: 3D convolutions, then 2D ones, fine-tuned whole",
        architecture="MC3-18",
        options={"dropout": 0.0},
        input=_VIDEO_RESNET_INPUT,
        any_frames=True,
        parameters=11_503_065,
        groups={"stem": ("backbone.stem.0.*",)},
        layers=("backbone.stem.*", *(f"backbone.layer{stage}.{{n}}.*" for stage in range(1, 5))),
        defaults={**_STEPS, "batch_size": 16, "lr": 6.7e-3},
        weights={
            "kinetics400": _weights(
                "MC3_18_Weights.KINETICS400_V1",
                "mc3_18-a90a0ba3.pth",
                top1=0.6396,
                top5=0.8413,
                protocol="16 frames at 15 frames a second, five clips of 112x112, video-level",
                replaced="fc",
            )
        },
        card="mc3.md",
        notes=(_FROM_SCRATCH.format(rate="SGD at 0.64 for 1,536 clips a step, here scaled to 16 clips"),),
    )


def _s3d() -> ModelSpec:
    return _model(
        "s3d",
        "S3D of Kinetics-400: convolutions over space, then time, in Inception blocks, fine-tuned whole",
        architecture="S3D",
        options={"dropout": 0.2},
        input=_S3D_INPUT,
        any_frames=True,
        parameters=7_935_673,
        groups={"stem": ("backbone.features.0.*",)},
        layers=("backbone.features.{n}.*",),
        defaults={**_STEPS, "batch_size": 8, "lr": 2.1e-3, "frames": 64},
        weights={
            "kinetics400": _weights(
                "S3D_Weights.KINETICS400_V1",
                "s3d-d76dad2f.pth",
                top1=0.68368,
                top5=0.8805,
                protocol="128 frames at 15 frames a second, one clip of 224x224, clip-level",
                replaced="classifier",
            )
        },
        card="s3d.md",
        notes=(
            _FROM_SCRATCH.format(rate="SGD at 0.2 for 768 clips a step, here scaled to 8 clips"),
            "The recipe takes 64 frames, as upstream's training did; upstream's figure and the GFLOPs named here are "
            "those of 128.",
            "Dropout is on the mean over the clip, upstream's is on each position of the last map.",
        ),
    )


def _mvit(name: str, summary: str, weights: WeightsRef, **settings: Any) -> ModelSpec:
    return _model(
        name,
        summary,
        options={"dropout": 0.5, "layers": 11},
        input=_MVIT_INPUT,
        any_frames=True,
        groups={"stem": ("backbone.conv_proj.*",)},
        layers=(("backbone.conv_proj.*", "backbone.pos_encoding.*"), "backbone.blocks.{n}.*", "backbone.norm.*"),
        defaults=_MVIT_DEFAULTS,
        weights={"kinetics400": weights},
        card="mvit.md",
        notes=_MVIT_NOTES,
        **settings,
    )


def _swin(size: str, parameters: int, weights: Mapping[str, WeightsRef], *, weight_decay: float) -> ModelSpec:
    return _model(
        f"swin3d_{size[0].lower()}",
        f"Video Swin {size} of Kinetics-400: attention in shifted windows of space and time, fine-tuned whole",
        architecture="Video Swin",
        options={"dropout": 0.5, "layers": 6 if size == "Tiny" else 18},
        input=_SWIN_INPUT,
        any_frames=True,
        parameters=parameters,
        groups={"stem": ("backbone.patch_embed.*",)},
        layers=(
            "backbone.patch_embed.*",
            *(f"backbone.features.{part}.{'{n}.' if part % 2 == 0 else ''}*" for part in range(7)),
            "backbone.norm.*",
        ),
        no_decay=("*.relative_position_bias_table",),
        defaults={**_SWIN_DEFAULTS, "weight_decay": weight_decay},
        weights=weights,
        card="swin3d.md",
        notes=_SWIN_NOTES,
    )


def _swin_weights(member: str, file: str, top1: float, top5: float, first: str = "ImageNet-1k") -> WeightsRef:
    return _weights(
        member, file, top1=top1, top5=top5, protocol=_TWELVE_CLIPS, replaced="head", first=f"{first}, then "
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The convolutional networks, then the transformers."""
    yield _mc3()
    yield _s3d()
    yield _mvit(
        "mvit_v1_b",
        "MViTv1-B of Kinetics-400: attention over ever fewer, wider tokens, fine-tuned whole",
        _weights(
            "MViT_V1_B_Weights.KINETICS400_V1",
            "mvit_v1_b-dbeb1030.pth",
            top1=0.78477,
            top5=0.93582,
            protocol=_FIVE_CLIPS,
            replaced="head",
        ),
        architecture="MViT",
        parameters=36_322_297,
        without_gradient=_DEAD_SHIFT,
    )
    yield _mvit(
        "mvit_v2_s",
        "MViTv2-S of Kinetics-400: as MViTv1, with relative positions, fine-tuned whole",
        _weights(
            "MViT_V2_S_Weights.KINETICS400_V1",
            "mvit_v2_s-ae3be167.pth",
            top1=0.80757,
            top5=0.94665,
            protocol=_FIVE_CLIPS,
            replaced="head",
        ),
        architecture="MViT",
        parameters=34_249_369,
        without_gradient={**_DEAD_SHIFT, **_DEAD_QUERIES},
    )
    yield _swin(
        "Tiny",
        27_869_695,
        {"kinetics400": _swin_weights("Swin3D_T_Weights.KINETICS400_V1", "swin3d_t-7615ae03.pth", 0.77715, 0.93519)},
        weight_decay=0.02,
    )
    yield _swin(
        "Small",
        49_528_303,
        {"kinetics400": _swin_weights("Swin3D_S_Weights.KINETICS400_V1", "swin3d_s-da41c237.pth", 0.79521, 0.94158)},
        weight_decay=0.02,
    )
    yield _swin(
        "Base",
        87_664_609,
        {
            "kinetics400": _swin_weights(
                "Swin3D_B_Weights.KINETICS400_V1", "swin3d_b_1k-24f7c7c6.pth", 0.79427, 0.94386
            ),
            "kinetics400_imagenet22k": _swin_weights(
                "Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1",
                "swin3d_b_22k-7c6ae6fa.pth",
                0.81643,
                0.95574,
                "ImageNet-22k",
            ),
        },
        weight_decay=0.05,
    )
