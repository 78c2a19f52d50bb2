"""V-JEPA 2 with an attentive probe, on transformers' implementation."""

from collections.abc import Iterable

from actrec_zoo.plugin import InputSpec, ModelSpec, WeightsRef, hookimpl

_REPOSITORY = "facebook/vjepa2-vitl-fpc64-256"

WEIGHTS = {
    "vjepa2": WeightsRef(
        source=f"hf:{_REPOSITORY}@b3c1679b7c34d3255ef3547f27c7b226aefab26f",
        url=f"https://huggingface.co/{_REPOSITORY}",
        trained_on="a million hours of video and images from the internet, without labels",
        license="MIT",
        ignore_keys=("vjepa2.predictor.*",),
    )
}
"""Upstream's weights by tag; the builder reads them too."""


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """The large network."""
    yield ModelSpec(
        name="vjepa2",
        summary="Frozen V-JEPA 2 ViT-L, trained without labels, under a new attentive probe",
        architecture="V-JEPA 2",
        builder="actrec_zoo_plugins.vjepa2.model:build",
        options={"frames": None, "size": None, "layers": 24, "probe_layers": 3},
        head_options={"probe_layers": (0, 1, 3)},
        input=InputSpec(
            frames=16, size=256, resize=292, stride=4, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        parameters=353_247_257,
        backbone="vjepa2",
        head=("pooler", "classifier"),
        classifier="classifier",
        layers=("vjepa2.encoder.embeddings.*", "vjepa2.encoder.layer.{n}.*", "vjepa2.encoder.layernorm.*"),
        no_decay=("pooler.query_tokens",),
        trainable=("@head",),
        defaults={
            "epochs": 20,
            "batch_size": 4,
            "optimizer": "adamw",
            "lr": 1e-4,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "sampling": "random",
        },
        weights=WEIGHTS,
        without_gradient={"pooler.*.k_proj.bias": "a shift of the keys adds the same to all scores of a query"},
        exportable=True,
        card="actrec_zoo_plugins.vjepa2:card.md",
        notes=(
            "Not from the study. The recipe follows upstream's probe on Something-Something v2: 20 epochs of AdamW "
            "with a rate that falls to zero, 16 frames with stride 4. Upstream trains twenty probes at once, with "
            "rates from 0.0001 to 0.005 and weight decays from 0.01 to 0.8, and quotes the best; here it is one, "
            "with the smallest of each.",
            "Upstream's augmentation of the training clips is left out.",
            "The predictor, which upstream trains the network with, has no part in classification and is not built.",
        ),
    )
