"""VideoMAE for classification on transformers' implementation, and the hybrid that the 2023 study calls VideoMAE."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl
from actrec_zoo_plugins.timesformer import KINETICS_INPUT, LAYERS, NO_DECAY, STUDY_DEFAULTS
from actrec_zoo_plugins.timesformer import WEIGHTS as TIMESFORMER_WEIGHTS

_KINETICS_INPUT = InputSpec(
    frames=16,
    size=224,
    resize=224,
    stride=4,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
_SSV2_INPUT = replace(_KINETICS_INPUT, stride=1, sampling="uniform", views=2)
_MODEL_ZOO = "https://github.com/MCG-NJU/VideoMAE/blob/main/MODEL_ZOO.md"
_BLOCKS = 12


def _weights(
    name: str, commit: str, data: str, num_classes: int, *, file: str, top1: float, top5: float, protocol: str
) -> WeightsRef:
    repository = f"MCG-NJU/videomae-{name}"
    return WeightsRef(
        source=f"hf:{repository}@{commit}",
        file=file,
        url=f"https://huggingface.co/{repository}",
        trained_on=f"{data}, first without labels",
        license="CC-BY-NC-4.0",
        num_classes=num_classes,
        reference=Reference(top1=top1, top5=top5, dataset=data, protocol=protocol, source=_MODEL_ZOO),
    )


_DENSE = "16 frames with stride 4, five clips, three crops of 224x224, mean of the softmax, video-level"
WEIGHTS: Mapping[str, Mapping[str, WeightsRef]] = {
    "base": {
        "kinetics400": _weights(
            "base-finetuned-kinetics",
            "488eb9a0565f257b32866000305c8178965eb9f6",
            "Kinetics-400",
            400,
            file="model.safetensors",
            top1=0.815,
            top5=0.951,
            protocol=_DENSE,
        ),
        "ssv2": _weights(
            "base-finetuned-ssv2",
            "873e7dfcd91479c8e10d75f7e402573dbdb6f98e",
            "Something-Something v2",
            174,
            file="pytorch_model.bin",
            top1=0.708,
            top5=0.924,
            protocol="16 frames spread over the video, two clips, three crops of 224x224, mean of the softmax, "
            "video-level",
        ),
    },
    "small": {
        "kinetics400": _weights(
            "small-finetuned-kinetics",
            "1bf2b82c809609f5df1ea7648aee577e2e486b63",
            "Kinetics-400",
            400,
            file="pytorch_model.bin",
            top1=0.79,
            top5=0.938,
            protocol=_DENSE,
        ),
    },
}
"""Upstream's weights by variant and tag; the builder reads them too."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "embeddings": ("videomae.embeddings.*",),
    **{f"block{i}": (f"videomae.encoder.layer.{i}.*",) for i in range(_BLOCKS)},
}
_PAPER_DEFAULTS: Mapping[str, Any] = {
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 3.125e-5,
    "layer_decay": 0.75,
    "weight_decay": 0.05,
    "no_decay": True,
    "schedule": "cosine",
    "warmup_epochs": 5,
    "label_smoothing": 0.1,
}
_PAPER_NOTES = (
    "Not from the study. The recipe is upstream's for fine-tuning: AdamW at 0.0005 for 256 clips a step, here scaled "
    "to 16 clips, layer-wise decay of the rate by 0.75, no weight decay for biases and norms; upstream's random scale "
    "of the crop, repeated augmentation and stochastic depth are left out, and the new classifier begins at the usual "
    "size, where upstream scales it by 0.001.",
    "Upstream's mixup (0.8), cutmix (1), RandAugment and random erasing (0.25) are settings here, and off in this "
    "recipe. torchvision's RandAugment has other operations and magnitudes than upstream's.",
    "Layer norms have transformers' epsilon of 1e-12; the authors' code has 1e-6.",
)


def _model(
    name: str, summary: str, variant: str, tag: str, *, notes: tuple[str, ...] = (), **settings: Any
) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        architecture="VideoMAE",
        builder="actrec_zoo_plugins.videomae.model:build",
        options={"variant": variant, "frames": None, "size": None, "layers": _BLOCKS, "heads": None},
        backbone="videomae",
        head="classifier",
        classifier="classifier",
        groups=_GROUPS,
        layers=("videomae.embeddings.*", "videomae.encoder.layer.{n}.*"),
        trainable=("*",),
        weights={tag: WEIGHTS[variant][tag]},
        notes=(*notes, *_PAPER_NOTES),
        exportable=True,
        card="actrec_zoo_plugins.videomae:card.md",
        **settings,
    )


def _hybrid() -> ModelSpec:
    return ModelSpec(
        name="videomae_hybrid",
        summary="Convolutional stem beside a frozen TimeSformer, masked linear classifier: the study's 'VideoMAE'",
        architecture="TimeSformer + stem",
        builder="actrec_zoo_plugins.videomae.hybrid:build",
        options={"frames": None, "size": None, "layers": 12, "stem_width": 64, "dropout": 0.5, "keep": 0.9},
        head_options={"dropout": (0.0, 0.2, 0.5), "keep": (0.7, 0.9, 1.0)},
        input=KINETICS_INPUT,
        parameters=121_283_161,
        backbone="timesformer",
        groups={"stem": ("stem.*",)},
        layers=LAYERS,
        no_decay=NO_DECAY,
        trainable=("@head", "@stem"),
        defaults={**STUDY_DEFAULTS, "augment": ("resize", "random_crop", "horizontal_flip", "rotation")},
        weights={
            "kinetics400": replace(TIMESFORMER_WEIGHTS["kinetics400"], num_classes=None, ignore_keys=("classifier.*",))
        },
        exportable=True,
        card="actrec_zoo_plugins.videomae:hybrid.md",
        notes=(
            "Not VideoMAE: no masked pre-training is involved. The name is the study's.",
            "The study's code never calls the stem, wipes the pretrained weights with its initialisation and lets the "
            "mask be trained away; this is what its text describes. The study gives no result.",
            "The stem runs beside the TimeSformer, which sees the frames themselves, so that its weights fit.",
        ),
    )


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The published VideoMAE, then the study's hybrid."""
    yield _model(
        "videomae",
        "VideoMAE ViT-B of Kinetics-400, fine-tuned whole",
        "base",
        "kinetics400",
        input=_KINETICS_INPUT,
        parameters=86_246_425,
        defaults={**_PAPER_DEFAULTS, "epochs": 75, "sampling": "random", "augment": ("random_crop", "horizontal_flip")},
    )
    yield _model(
        "videomae_small",
        "VideoMAE ViT-S of Kinetics-400, fine-tuned whole",
        "small",
        "kinetics400",
        input=_KINETICS_INPUT,
        parameters=21_889_561,
        defaults={
            **_PAPER_DEFAULTS,
            "epochs": 150,
            "sampling": "random",
            "augment": ("random_crop", "horizontal_flip"),
        },
        notes=(
            "The Hub's configuration of these weights says 16 heads; the authors' network has 6, and so has this one "
            "(the tensors fit both). `options.heads=16` gives the Hub's.",
        ),
    )
    yield _model(
        "videomae_ssv2",
        "VideoMAE ViT-B of Something-Something v2, fine-tuned whole",
        "base",
        "ssv2",
        input=_SSV2_INPUT,
        parameters=86_246_425,
        defaults={**_PAPER_DEFAULTS, "epochs": 30, "sampling": "uniform", "augment": ("random_crop",)},
        notes=(
            "The two views take each frame at a quarter and at three quarters of its segment of the video; upstream "
            "takes it at the start and in the middle, and in training at random.",
        ),
    )
    yield _hybrid()
