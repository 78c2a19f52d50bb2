"""TimeSformer-base on transformers' implementation: two models of the 2023 study, and one for Something-Something."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

KINETICS_INPUT = InputSpec(
    frames=8,
    size=224,
    resize=224,
    stride=32,
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
)
_SSV2_INPUT = replace(KINETICS_INPUT, stride=1, sampling="uniform")
_REPOSITORY = "https://github.com/facebookresearch/TimeSformer"


def _weights(
    data: str, name: str, commit: str, num_classes: int, *, top1: float, top5: float, protocol: str
) -> WeightsRef:
    repository = f"facebook/timesformer-base-finetuned-{name}"
    return WeightsRef(
        source=f"hf:{repository}@{commit}",
        file="pytorch_model.bin",
        url=f"https://huggingface.co/{repository}",
        trained_on=f"ImageNet, then {data}",
        license="CC-BY-NC-4.0",
        num_classes=num_classes,
        reference=Reference(top1=top1, top5=top5, dataset=data, protocol=protocol, source=_REPOSITORY),
    )


_EIGHT_FRAMES = "8 frames of 224x224"
_THREE_CROPS = "8 frames with stride 32 from the start of the video, three crops of 224x224, video-level"
WEIGHTS: Mapping[str, WeightsRef] = {
    "kinetics400": _weights(
        "Kinetics-400",
        "k400",
        "8aaf40ea7d3d282dcb0a5dea01a198320d15d6c0",
        400,
        top1=0.779,
        top5=0.932,
        protocol=_THREE_CROPS,
    ),
    "kinetics600": _weights(
        "Kinetics-600",
        "k600",
        "755111696998cf6c06eeaea5bdb717f46cd4d67b",
        600,
        top1=0.791,
        top5=0.944,
        protocol=_EIGHT_FRAMES,
    ),
    "ssv2": _weights(
        "Something-Something v2",
        "ssv2",
        "3b045270472c79cf9c1b60189ba425e92ed7f004",
        174,
        top1=0.591,
        top5=0.856,
        protocol="8 frames spread over the video, one clip, three crops of 224x224, video-level",
    ),
}
"""Upstream's weights by tag; the builder reads them too."""

LAYERS = ("timesformer.embeddings.*", "timesformer.encoder.layer.{n}.*", "timesformer.layernorm.*")
NO_DECAY = ("timesformer.embeddings.cls_token", "timesformer.embeddings.*_embeddings")
STUDY_DEFAULTS: Mapping[str, Any] = {
    "epochs": 30,
    "batch_size": 8,
    "optimizer": "adam",
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "sampling": "blocks",
    "stride": 1,
}
_PAPER_DEFAULTS: Mapping[str, Any] = {
    "epochs": 15,
    "batch_size": 8,
    "optimizer": "sgd",
    "lr": 6.25e-4,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-4,
    "schedule": "step",
    "milestones": (11, 14),
    "gamma": 0.1,
    "sampling": "uniform",
    "augment": ("random_crop",),
}
_OPTIONS: Mapping[str, Any] = {"frames": None, "size": None, "layers": 12}
_STUDY_NOTES = (
    "The study fed pixels scaled to 0..1; the default here is the normalisation that the weights expect.",
    "The weights were trained on 8 frames with stride 32; the study trained on 8 consecutive frames, and so does the "
    "recipe here (`stride` and `sampling` change it).",
)


def _model(name: str, summary: str, tag: str, **settings: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        architecture="TimeSformer",
        options=_OPTIONS,
        builder="actrec_zoo_plugins.timesformer.model:build",
        parameters=121_277_977,
        backbone="timesformer",
        head="classifier",
        classifier="classifier",
        layers=LAYERS,
        no_decay=NO_DECAY,
        weights={tag: WEIGHTS[tag]},
        exportable=True,
        card="actrec_zoo_plugins.timesformer:card.md",
        **settings,
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The models of the study, then the one for Something-Something v2."""
    yield _model(
        "timesformer",
        "Frozen TimeSformer-base of Kinetics-400 with a new linear classifier",
        "kinetics400",
        input=KINETICS_INPUT,
        trainable=("@head",),
        defaults=STUDY_DEFAULTS,
        reference=Reference(
            top1=0.8426,
            top5=0.9577,
            dataset="HMDB_simp",
            protocol="8-frame blocks of the test split, clip-level",
            source="the 2023 study",
        ),
        notes=_STUDY_NOTES,
    )
    yield _model(
        "timesformer_k600",
        "Frozen TimeSformer-base of Kinetics-600 with a new linear classifier, 16 frames in training",
        "kinetics600",
        input=KINETICS_INPUT,
        trainable=("@head",),
        defaults={**STUDY_DEFAULTS, "frames": 16},
        reference=Reference(
            top1=0.8017,
            dataset="HMDB_simp",
            protocol="16-frame blocks of the test split, clip-level",
            source="the 2023 study",
        ),
        notes=(
            *_STUDY_NOTES,
            "The recipe takes 16 frames, as the study did: the 8 time embeddings of the weights are repeated.",
            "The input and the GFLOPs named here are those of 8 frames; the 16 of the recipe cost about twice as much.",
        ),
    )
    yield _model(
        "timesformer_ssv2",
        "TimeSformer-base of Something-Something v2, fine-tuned whole",
        "ssv2",
        input=_SSV2_INPUT,
        trainable=("*",),
        defaults=_PAPER_DEFAULTS,
        notes=(
            "Not from the study. The recipe is upstream's: SGD at 0.005 for 64 clips a step, here scaled to 8 clips; "
            "upstream's scale jitter and stochastic depth are left out, and each frame is the one "
            "in the middle of its segment in training too, where upstream draws one at random.",
            "Upstream's data reader for this data set gives the channels in the order BGR, as we read its code; "
            "here, as with transformers, they are RGB.",
        ),
    )
