"""Temporal shift: 2D residual networks that pass a share of their channels on to the neighbouring frames."""

from collections.abc import Iterable

from actrec_zoo.plugin import InputSpec, ModelSpec, WeightsRef, hookimpl

ACTREC_ZOO_API = 1

_BUILDER = "actrec_zoo_tsm.model:build"
_CARD = "actrec_zoo_tsm:card.md"


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The models; torch is imported when one of them is built."""
    yield ModelSpec(
        name="tsm_tiny",
        summary="Small 2D residual network with temporal shift, for CPUs",
        architecture="Temporal shift",
        builder=_BUILDER,
        options={"backbone": "tiny", "frames": None, "share": 0.125},
        input=InputSpec(frames=8, size=64, sampling="uniform", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        parameters=332_689,
        exportable=True,
        defaults={"epochs": 15, "optimizer": "adamw", "lr": 2e-3, "sampling": "uniform", "threads": 1},
        card=_CARD,
        notes=("Not from the publication, whose networks begin at ResNet-50.",),
    )
    yield ModelSpec(
        name="tsm_resnet18",
        summary="ResNet-18 with temporal shift, from ImageNet weights",
        architecture="Temporal shift",
        builder=_BUILDER,
        options={"backbone": "resnet18", "frames": None, "share": 0.125},
        input=InputSpec(
            frames=8, size=224, resize=256, sampling="uniform", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        parameters=11_189_337,
        exportable=True,
        groups={"stem": ("backbone.conv1.*", "backbone.bn1.*")},
        defaults={"epochs": 25, "batch_size": 8, "optimizer": "adamw", "lr": 1e-4, "sampling": "uniform"},
        weights={
            "imagenet": WeightsRef(
                source="torchvision:ResNet18_Weights.IMAGENET1K_V1",
                url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
                trained_on="ImageNet-1k",
                license="not stated by torchvision (its code: BSD-3-Clause)",
                ignore_keys=("fc.*",),
            )
        },
        card=_CARD,
    )
