"""A 2D CNN a frame and a transformer encoder over time: the 2D models of the 2023 study, and two small ones."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_BUILDER = "actrec_zoo_plugins.r2d_attn.model:build"
_IMAGENET = InputSpec(
    frames=8,
    size=224,
    resize=256,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
_SMALL_INPUT = replace(_IMAGENET, frames=16, resize=(224, 224), sampling="uniform", views=2)
_STUDY_DEFAULTS = {
    "epochs": 30,
    "batch_size": 8,
    "optimizer": "adam",
    "lr": 1e-5,
    "weight_decay": 1e-4,
    "sampling": "blocks",
}
_OPTIONS: Mapping[str, Any] = {
    "backbone": "resnet50",
    "backbone_args": {},
    "frames": None,
    "layers": 1,
    "heads": 8,
    "feedforward": None,
    "dropout": 0.3,
    "readout": "flatten",
    "project": None,
    "center": False,
}
_SMALL_OPTIONS: Mapping[str, Any] = {
    **_OPTIONS,
    "project": 128,
    "heads": 4,
    "feedforward": 256,
    "dropout": 0.1,
    "center": True,
}
_HEAD: Mapping[str, tuple[Any, ...]] = {
    "layers": (1, 2, 3),
    "heads": (4, 8),
    "feedforward": (),
    "dropout": (0.0, 0.1, 0.3, 0.5),
    "readout": ("flatten", "mean", "cls"),
    "project": (64, 128, 256),
    "center": (),  # what it is good for shows at another place, not in a validation split
}
_SMALL_DEFAULTS: Mapping[str, Any] = {
    "epochs": 15,
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 1e-2,
    "sampling": "uniform",
}
_LAYERS: tuple[str | tuple[str, ...], ...] = (
    ("backbone.conv1.*", "backbone.bn1.*"),
    *(f"backbone.layer{stage}.{{n}}.*" for stage in range(1, 5)),
    "backbone.features.{n}.*",
)
"""Of ResNets, and of the backbones whose layers torchvision numbers in `features`."""
_NOTES = (
    "The text of the study reads out the class token, its code flattens all tokens: the default is what was "
    "measured, `readout` offers both.",
    "The study fed 224x224 pixels scaled to 0..1; the default here is what the ImageNet weights expect.",
)


def _weights(member: str, file: str, top1: float, top5: float) -> Mapping[str, WeightsRef]:
    return {
        "imagenet": WeightsRef(
            source=f"torchvision:{member}.IMAGENET1K_V1",
            url=f"https://download.pytorch.org/models/{file}",
            trained_on="ImageNet-1k",
            license="not stated by torchvision (its code: BSD-3-Clause)",
            reference=Reference(
                top1=top1,
                top5=top5,
                dataset="ImageNet-1k",
                protocol="one image of 224x224",
                source="https://docs.pytorch.org/vision/stable/models.html#classification",
            ),
            ignore_keys=("fc.*", "classifier.*", "head.*", "heads.*"),
        )
    }


_RESNET50 = _weights("ResNet50_Weights", "resnet50-0676ba61.pth", 0.7613, 0.92862)


def _reference(top1: float, top5: float | None = None) -> Reference:
    return Reference(
        top1=top1,
        top5=top5,
        dataset="HMDB_simp",
        protocol="8-frame blocks of the test split, clip-level",
        source="the 2023 study",
    )


def _study_model(name: str, summary: str, **settings: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        builder=_BUILDER,
        head_options=_HEAD,
        input=_IMAGENET,
        groups={"stem": ("backbone.conv1.*",)},
        layers=_LAYERS,
        no_decay=("head.class_token",),
        defaults=_STUDY_DEFAULTS,
        exportable=True,
        card="actrec_zoo_plugins.r2d_attn:card.md",
        notes=_NOTES,
        **settings,
    )


def _small_model(name: str, summary: str, *, backbone: str, **settings: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        builder=_BUILDER,
        options={**_SMALL_OPTIONS, "backbone": backbone},
        head_options=_HEAD,
        input=_SMALL_INPUT,
        layers=_LAYERS,
        no_decay=("head.class_token",),
        trainable=("@head",),
        defaults=_SMALL_DEFAULTS,
        exportable=True,
        card="actrec_zoo_plugins.r2d_attn:card_small.md",
        notes=(
            "Not from the study: for machines without a GPU, where the frozen backbone runs once.",
            "The mean over a clip is taken off its frame features (`center`), so that a new background matters less.",
        ),
        **settings,
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The models of the study, then the small ones."""
    yield _study_model(
        "r2d_attn",
        "ResNet-50 a frame, transformer encoder over time, trained first convolution",
        architecture="2D ResNet-50 + encoder",
        options=_OPTIONS,
        parameters=49_157_209,
        trainable=("@head", "@stem"),
        weights=_RESNET50,
        reference=_reference(0.7442, 0.923),
    )
    yield _study_model(
        "r2d_attn_frozen",
        "Frozen ResNet-50 a frame, transformer encoder over time",
        architecture="2D ResNet-50 + encoder",
        options=_OPTIONS,
        parameters=49_157_209,
        trainable=("@head",),
        weights=_RESNET50,
        reference=_reference(0.7216, 0.9322),
    )
    yield _study_model(
        "r2d18_attn",
        "ResNet-18 a frame, transformer encoder over time, trained first convolution",
        architecture="2D ResNet-18 + encoder",
        options={**_OPTIONS, "backbone": "resnet18"},
        parameters=12_870_233,
        trainable=("@head", "@stem"),
        weights=_weights("ResNet18_Weights", "resnet18-f37072fd.pth", 0.69758, 0.89078),
        reference=_reference(0.7112),
    )
    yield _small_model(
        "squeezenet_attn",
        "Frozen SqueezeNet 1.1 a frame, transformer encoder over time, for CPUs",
        architecture="2D SqueezeNet 1.1 + encoder",
        backbone="squeezenet1_1",
        parameters=975_193,
        groups={"stem": ("backbone.features.0.*",)},
        weights=_weights("SqueezeNet1_1_Weights", "squeezenet1_1-b8a52dc0.pth", 0.58178, 0.80624),
    )
    yield _small_model(
        "mobilenet_attn",
        "Frozen MobileNetV2 a frame, transformer encoder over time, for CPUs",
        architecture="2D MobileNetV2 + encoder",
        backbone="mobilenet_v2",
        parameters=2_574_873,
        groups={"stem": ("backbone.features.0.0.*",)},
        weights=_weights("MobileNet_V2_Weights", "mobilenet_v2-b0353104.pth", 0.71878, 0.90286),
    )
