"""pytorchvideo's networks, trained on Kinetics-400: X3D, C2D, I3D, SlowFast, CSN, R(2+1)D and MViT."""

from collections.abc import Iterable, Mapping
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_PACKAGE = "actrec_zoo_plugins.pytorchvideo"
_ZOO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
_FILES = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_TEN_CLIPS = "ten clips, three crops, video-level"


def _weights(
    file: str, frames: int, stride: int, top1: float, top5: float | None, views: str = _TEN_CLIPS
) -> WeightsRef:
    return WeightsRef(
        source=f"url:{_FILES}/{file}",
        url=f"{_FILES}/{file}",
        trained_on="Kinetics-400",
        license="not stated by pytorchvideo (its code: Apache-2.0)",
        num_classes=400,
        labels="torchvision:R3D_18_Weights.KINETICS400_V1",
        reference=Reference(
            top1=top1,
            top5=top5,
            dataset="Kinetics-400",
            protocol=f"{frames} frames with stride {stride}, {views}",
            source=_ZOO,
        ),
    )


_NOT_STATED = "clips and crops not stated"
WEIGHTS: Mapping[str, Mapping[str, WeightsRef]] = {
    name: {"kinetics400": weights}
    for name, weights in {
        "x3d_xs": _weights("X3D_XS.pyth", 4, 12, 0.6912, 0.8863),
        "x3d_s": _weights("X3D_S.pyth", 13, 6, 0.7333, 0.9127),
        "x3d_m": _weights("X3D_M.pyth", 16, 5, 0.7594, 0.9272),
        "x3d_l": _weights("X3D_L.pyth", 16, 5, 0.7744, None, _NOT_STATED),
        "slow_r50": _weights("SLOW_8x8_R50.pyth", 8, 8, 0.7458, 0.9163),
        "c2d_r50": _weights("C2D_8x8_R50.pyth", 8, 8, 0.7146, 0.8968),
        "i3d_r50": _weights("I3D_8x8_R50.pyth", 8, 8, 0.7327, 0.9070),
        "slowfast_r50": _weights("SLOWFAST_8x8_R50.pyth", 32, 2, 0.7694, 0.9269),
        "slowfast_r101": _weights("SLOWFAST_8x8_R101.pyth", 32, 2, 0.7790, 0.9327),
        "csn_r101": _weights("CSN_32x2_R101.pyth", 32, 2, 0.7700, 0.9290),
        "r2plus1d_r50": _weights("R2PLUS1D_16x4_R50.pyth", 16, 4, 0.7601, 0.9223),
        "mvit_base_16x4": _weights("MVIT_B_16x4.pyth", 16, 4, 0.789, None, _NOT_STATED),
    }.items()
}
"""Upstream's weights by network and tag; the builders read them too."""

_DEFAULTS: Mapping[str, Any] = {
    "epochs": 22,
    "batch_size": 8,
    "optimizer": "sgd",
    "lr": 0.015,
    "momentum": 0.9,
    "weight_decay": 1e-6,
    "schedule": "step",
    "milestones": (14, 18),
    "gamma": 0.1,
    "warmup_epochs": 0.19,
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
_NOTES = (
    "Not from the study. The recipe is the authors' for fine-tuning SlowFast on Something-Something v2: SGD at 0.03 "
    "for 16 clips a step, here scaled to 8 clips, a tenth of it after 14 and 18 of 22 epochs; clips are drawn, cropped "
    "and mirrored as on Kinetics. Upstream's random scale of the crop is left out.",
    "Upstream states no checksum of the weights, so that none is compared.",
)


def _input(frames: int, stride: int, size: int = 224, resize: int = 256) -> InputSpec:
    return InputSpec(
        frames=frames, stride=stride, size=size, resize=resize, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)
    )


def _model(
    name: str,
    summary: str,
    *,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any] = _DEFAULTS,
    builder: str = "model",
    notes: tuple[str, ...] = _NOTES,
    **settings: Any,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=f"{summary}, fine-tuned whole",
        builder=f"{_PACKAGE}.{builder}:build",
        options={"dropout": 0.5, **options},
        head_options={"dropout": (0.0, 0.2, 0.5)},
        defaults=defaults,
        weights=WEIGHTS[name],
        notes=notes,
        **settings,
    )


def _convolutional(name: str, summary: str, *, layers: int, card: str, **settings: Any) -> ModelSpec:
    slowfast = {"frames": None} if name.startswith("slowfast") else {}
    return _model(
        name,
        summary,
        options={"backbone": name, **slowfast, "layers": layers},
        any_frames=not slowfast,
        groups={"stem": ("backbone.blocks.0.*",)},
        layers=("backbone.blocks.{n}.*",),
        exportable=True,
        card=f"{_PACKAGE}:{card}.md",
        **settings,
    )


def _x3d(size: str, layers: int, parameters: int, **settings: Any) -> ModelSpec:
    return _convolutional(
        f"x3d_{size.lower()}",
        f"X3D-{size} of Kinetics-400: a narrow, depthwise 3D network",
        architecture="X3D",
        layers=layers,
        parameters=parameters,
        card="x3d",
        **settings,
    )


def _slowfast(depth: int, layers: int, parameters: int) -> ModelSpec:
    return _convolutional(
        f"slowfast_r{depth}",
        f"SlowFast 8x8 on ResNet-{depth} of Kinetics-400: a slow, wide pathway and a fast, narrow one",
        architecture="SlowFast",
        layers=layers,
        input=_input(32, 2),
        parameters=parameters,
        card="slowfast",
    )


def _mvit() -> ModelSpec:
    return _model(
        "mvit_base_16x4",
        "MViT-B 16x4 of Kinetics-400, as pytorchvideo has it: attention over ever fewer, wider tokens",
        builder="mvit",
        architecture="MViT",
        options={"frames": None, "size": None, "layers": 11},
        input=_input(16, 4),
        parameters=36_322_297,
        groups={"stem": ("backbone.patch_embed.*",)},
        layers=(
            ("backbone.patch_embed.*", "backbone.cls_positional_encoding.*"),
            "backbone.blocks.{n}.*",
            "backbone.norm_embed.*",
        ),
        no_decay=("backbone.cls_positional_encoding.*",),
        without_gradient={
            "backbone.blocks.*.attn.norm_k.bias": "adds the same to all scores of a query, which cancels",
        },
        defaults=_MVIT_DEFAULTS,
        exportable=True,
        card=f"{_PACKAGE}:mvit.md",
        notes=(
            "Not from the study. The recipe is that of `mvit_v2_s`. Upstream's random scale of the crop, mixup, "
            "cutmix, RandAugment, random erasing and stochastic depth are left out.",
            "`mvit_v1_b` is the same network as torchvision has it; the weights are others.",
            _NOTES[-1],
        ),
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The narrow networks, the ResNets, those of two pathways, then the transformer."""
    yield _x3d("XS", 11, 3_025_899, input=_input(4, 12, 160, 182))
    yield _x3d("S", 11, 3_025_899, input=_input(13, 6, 160, 182))
    yield _x3d("M", 11, 3_025_899, input=_input(16, 5))
    yield _x3d("L", 25, 5_385_009, input=_input(16, 5, 312, 356))
    yield _convolutional(
        "slow_r50",
        "Slow 8x8 on ResNet-50 of Kinetics-400: the slow pathway of SlowFast alone",
        architecture="SlowFast",
        layers=6,
        input=_input(8, 8),
        parameters=31_685_721,
        card="slowfast",
    )
    yield _convolutional(
        "c2d_r50",
        "C2D on ResNet-50 of Kinetics-400: convolutions over space, pooling over time",
        architecture="C2D",
        layers=6,
        input=_input(8, 8),
        parameters=23_559_257,
        card="i3d",
    )
    yield _convolutional(
        "i3d_r50",
        "I3D on ResNet-50 of Kinetics-400: every second block looks at three frames",
        architecture="I3D",
        layers=6,
        input=_input(8, 8),
        parameters=27_275_097,
        card="i3d",
    )
    yield _convolutional(
        "csn_r101",
        "CSN on ResNet-101 of Kinetics-400: 3D convolutions of one channel each",
        architecture="CSN",
        layers=23,
        input=_input(32, 2),
        parameters=21_445_401,
        card="csn",
    )
    yield _convolutional(
        "r2plus1d_r50",
        "R(2+1)D on ResNet-50 of Kinetics-400: convolutions over space, then time",
        architecture="R(2+1)D",
        layers=6,
        input=_input(16, 4),
        parameters=27_339_225,
        card="r2plus1d",
    )
    yield _slowfast(50, 6, 33_702_113)
    yield _slowfast(101, 23, 61_962_593)
    yield _mvit()
