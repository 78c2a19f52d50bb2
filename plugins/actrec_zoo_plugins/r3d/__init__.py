"""R3D-18 and R(2+1)D-18, frozen, with a linear or a transformer head: the seven 3D models of the 2023 study."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_INPUT = InputSpec(
    frames=8,
    size=112,
    resize=(128, 171),
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
_DEFAULTS = {
    "epochs": 30,
    "batch_size": 20,
    "optimizer": "adam",
    "lr": 3e-6,
    "weight_decay": 1e-4,
    "sampling": "blocks",
}
_LINEAR: Mapping[str, Any] = {"layers": 0}
_ATTENTION: Mapping[str, Any] = {
    "layers": 2,
    "heads": 8,
    "grid": None,
    "feedforward": 512,
    "dropout": 0.3,
    "readout": "mean",
}
_HEAD: Mapping[str, tuple[Any, ...]] = {
    "layers": (1, 2, 3),
    "heads": (4, 8, 16),
    "feedforward": (256, 512, 1024),
    "dropout": (0.0, 0.1, 0.3, 0.5),
    "readout": ("mean", "cls"),
}
_LAYERS = ("backbone.stem.*", *(f"backbone.layer{stage}.{{n}}.*" for stage in range(1, 5)), "backbone.fc.*")
_OWN_INPUT = (
    "The study fed 224x224 pixels scaled to 0..1; the default here is what the Kinetics weights expect "
    "(112x112, Kinetics mean and std)."
)
_OWN_TOKENS = (
    "The study pooled to one token and let attention run across the batch by mistake; here attention runs over "
    "every position of the last feature map and the mean is read out."
)


def _weights(member: str, file: str, top1: float, top5: float) -> WeightsRef:
    return WeightsRef(
        source=f"torchvision:{member}",
        url=f"https://download.pytorch.org/models/{file}",
        trained_on="Kinetics-400",
        license="not stated by torchvision (its code: BSD-3-Clause)",
        reference=Reference(
            top1=top1,
            top5=top5,
            dataset="Kinetics-400",
            protocol="16 frames at 15 frames a second, five clips of 112x112, video-level",
            source="https://docs.pytorch.org/vision/stable/models.html#video-classification",
        ),
        ignore_keys=("fc.*",),
    )


_R3D = _weights("R3D_18_Weights.KINETICS400_V1", "r3d_18-b3b3357e.pth", 0.632, 0.83479)
_R2PLUS1D = _weights("R2Plus1D_18_Weights.KINETICS400_V1", "r2plus1d_18-91a641e6.pth", 0.67463, 0.86175)


def _reference(top1: float, top5: float) -> Reference:
    return Reference(
        top1=top1,
        top5=top5,
        dataset="HMDB_simp",
        protocol="8-frame blocks of the test split, clip-level",
        source="the 2023 study",
    )


def _model(
    name: str,
    summary: str,
    *,
    backbone: str,
    options: Mapping[str, Any],
    parameters: int,
    reference: Reference,
    trainable: tuple[str, ...] = ("@head",),
    notes: tuple[str, ...] = (),
) -> ModelSpec:
    is_r3d = backbone == "r3d_18"
    weights = _R3D if is_r3d else _R2PLUS1D
    keeps_logits = options["layers"] == 0
    return ModelSpec(
        name=name,
        summary=summary,
        architecture="R3D-18" if is_r3d else "R(2+1)D-18",
        builder="actrec_zoo_plugins.r3d.model:build",
        options={"backbone": backbone, **options},
        head_options={} if keeps_logits else _HEAD,
        input=_INPUT,
        any_frames=True,
        parameters=parameters,
        groups={"stem": ("backbone.stem.0.*",) if is_r3d else ("backbone.stem.0.*", "backbone.stem.3.*")},
        layers=_LAYERS,
        no_decay=() if keeps_logits else ("head.class_token",),
        trainable=trainable,
        defaults=_DEFAULTS,
        weights={"kinetics400": replace(weights, num_classes=400 if keeps_logits else None)},
        reference=reference,
        exportable=True,
        card="actrec_zoo_plugins.r3d:card.md",
        notes=(*notes, _OWN_INPUT),
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The models of the study, in the order of its table."""
    yield _model(
        "r3d",
        "Frozen R3D-18 with a linear layer on its 400 Kinetics logits",
        backbone="r3d_18",
        options=_LINEAR,
        parameters=33_381_497,
        reference=_reference(0.6579, 0.89),
    )
    yield _model(
        "r3d_stem",
        "As r3d, with a trained stem convolution",
        backbone="r3d_18",
        options=_LINEAR,
        parameters=33_381_497,
        reference=_reference(0.6852, 0.8972),
        trainable=("@head", "@stem"),
    )
    yield _model(
        "r3d_attn8",
        "Frozen R3D-18, transformer encoder (8 heads) over its feature map",
        backbone="r3d_18",
        options=_ATTENTION,
        parameters=36_335_065,
        reference=_reference(0.7454, 0.931),
        notes=(_OWN_TOKENS,),
    )
    yield _model(
        "r3d_attn16",
        "Frozen R3D-18, transformer encoder (16 heads) over its feature map",
        backbone="r3d_18",
        options={**_ATTENTION, "heads": 16},
        parameters=36_335_065,
        reference=_reference(0.7405, 0.9421),
        notes=(_OWN_TOKENS,),
    )
    yield _model(
        "r3d_attn_adaptive",
        "Frozen R3D-18, transformer encoder over a 1x2x2 grid of its average pool",
        backbone="r3d_18",
        options={**_ATTENTION, "grid": (1, 2, 2), "readout": "flatten"},
        parameters=36_373_465,
        reference=_reference(0.7736, 0.9567),
        notes=("Attention runs over the four tokens of a clip; the study's ran across the batch by mistake.",),
    )
    yield _model(
        "r2plus1d",
        "Frozen R(2+1)D-18 with a linear layer on its 400 Kinetics logits",
        backbone="r2plus1d_18",
        options=_LINEAR,
        parameters=31_515_350,
        reference=_reference(0.6859, 0.9261),
    )
    yield _model(
        "r2plus1d_attn8",
        "Frozen R(2+1)D-18, transformer encoder (8 heads) over its feature map",
        backbone="r2plus1d_18",
        options=_ATTENTION,
        parameters=34_468_918,
        reference=_reference(0.7463, 0.9321),
        notes=(_OWN_TOKENS,),
    )
