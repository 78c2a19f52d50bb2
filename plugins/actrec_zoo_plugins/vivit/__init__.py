"""ViViT-B on transformers' implementation."""

from collections.abc import Iterable

from actrec_zoo.plugin import InputSpec, ModelSpec, Reference, WeightsRef, hookimpl

_REPOSITORY = "google/vivit-b-16x2-kinetics400"

WEIGHTS = {
    "kinetics400": WeightsRef(
        source=f"hf:{_REPOSITORY}@8a7171a57f79b9aaa58bc8d977c002a0ea0f0d42",
        file="pytorch_model.bin",
        url=f"https://huggingface.co/{_REPOSITORY}",
        trained_on="ImageNet-21k, then Kinetics-400",
        license="MIT",
        num_classes=400,
        reference=Reference(
            top1=0.799,
            dataset="Kinetics-400",
            protocol="32 frames with stride 2, four clips, three crops of 224x224, video-level",
            source="https://github.com/google-research/scenic/tree/main/scenic/projects/vivit",
        ),
    )
}
"""Upstream's weights by tag; the builder reads them too."""


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The unfactorised base network."""
    yield ModelSpec(
        name="vivit",
        summary="ViViT-B/16x2 of Kinetics-400, fine-tuned whole",
        architecture="ViViT",
        builder="actrec_zoo_plugins.vivit.model:build",
        options={"frames": None, "size": None, "layers": 12},
        input=InputSpec(frames=32, size=224, resize=256, stride=2, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        parameters=88_665_625,
        backbone="vivit",
        head="classifier",
        classifier="classifier",
        layers=("vivit.embeddings.*", "vivit.layers.{n}.*", "vivit.layernorm.*"),
        no_decay=("vivit.embeddings.cls_token", "vivit.embeddings.position_embeddings"),
        defaults={
            "epochs": 30,
            "batch_size": 8,
            "optimizer": "sgd",
            "lr": 0.0125,
            "momentum": 0.9,
            "schedule": "cosine",
            "warmup_epochs": 2.5,
            "clip_grad": 1.0,
            "sampling": "random",
            "augment": ("random_crop", "horizontal_flip"),
        },
        weights=WEIGHTS,
        without_gradient={"vivit.layers.*.k_proj.bias": "a shift of the keys adds the same to all scores of a query"},
        exportable=True,
        card="actrec_zoo_plugins.vivit:card.md",
        notes=(
            "Not from the study. The recipe is upstream's for Kinetics-400: SGD at 0.1 for 64 clips a step, here "
            "scaled to 8 clips; upstream's scale jitter and colour augmentation are left out.",
            "Pixels are scaled to -1..1, as upstream does. transformers' processor for these weights, in the versions "
            "that we read, subtracts a mean of 0.5 and divides by a deviation of 0.5 once more.",
        ),
    )
