"""torchvision's other video networks: MC3-18, S3D, MViT and Video Swin, with the classifier of Kinetics or a new one."""

from collections.abc import Iterable, Mapping
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_PACKAGE = "actrec_zoo_plugins.torchvision_video"
_PAPER_OF_ALL = "https://docs.pytorch.org/vision/stable/models.html#video-classification"


def _weights(
    member: str, file: str, top1: float, top5: float, protocol: str, classifier: str, before: str = ""
) -> WeightsRef:
    return WeightsRef(
        source=f"torchvision:{member}",
        url=f"https://download.pytorch.org/models/{file}",
        trained_on=f"{before}Kinetics-400",
        license="not stated by torchvision (its code: BSD-3-Clause)",
        num_classes=400,
        reference=Reference(top1=top1, top5=top5, dataset="Kinetics-400", protocol=protocol, source=_PAPER_OF_ALL),
        ignore_keys=(f"{classifier}.*",),
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


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The convolutional networks, then the transformers."""
    yield ModelSpec(
        name="mc3_18",
        summary="MC3-18 of Kinetics-400, 3D convolutions before 2D ones, fine-tuned whole",
        architecture="MC3-18",
        builder=f"{_PACKAGE}.model:build",
        options={"network": "mc3_18", "dropout": 0.0},
        input=InputSpec(
            frames=16,
            fps=15,
            size=112,
            resize=(128, 171),
            mean=(0.43216, 0.394666, 0.37645),
            std=(0.22803, 0.22145, 0.216989),
        ),
        any_frames=True,
        parameters=11_503_065,
        groups={"stem": ("backbone.stem.0.*",)},
        layers=("backbone.stem.*", *(f"backbone.layer{stage}.{{n}}.*" for stage in range(1, 5))),
        defaults={**_STEPS, "batch_size": 16, "lr": 6.67e-3},
        weights={
            "kinetics400": _weights(
                "MC3_18_Weights.KINETICS400_V1",
                "mc3_18-a90a0ba3.pth",
                0.6396,
                0.8413,
                "16 frames at 15 frames a second, five clips of 112x112, video-level",
                "fc",
            )
        },
        exportable=True,
        card=f"{_PACKAGE}:resnet.md",
    )
