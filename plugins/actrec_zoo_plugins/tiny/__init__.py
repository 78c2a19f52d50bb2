"""A small 3D CNN for the demo, for tests and for first steps on a CPU."""

from collections.abc import Iterable

from actrec_zoo.plugin import InputSpec, ModelSpec, hookimpl


@hookimpl
def actrec_zoo_models() -> Iterable[ModelSpec]:
    """`tiny_conv3d`."""
    yield ModelSpec(
        name="tiny_conv3d",
        summary="Small factorised 3D CNN that trains on a CPU in a minute",
        architecture="Tiny 3D CNN",
        builder="actrec_zoo_plugins.tiny.model:build",
        options={"width": 24, "dropout": 0.0},
        head_options={"dropout": (0.0, 0.2, 0.5)},
        input=InputSpec(frames=8, size=64, stride=2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        any_frames=True,
        parameters=94_753,
        layers=("backbone.{n}.*",),
        trainable=("*",),
        defaults={
            "epochs": 30,
            "batch_size": 16,
            "optimizer": "adamw",
            "lr": 4e-3,
            "weight_decay": 0.02,
            "schedule": "cosine",
            "warmup_epochs": 2,
            "label_smoothing": 0.1,
            "sampling": "random",
            "threads": 1,
        },
        exportable=True,
        card="actrec_zoo_plugins.tiny:card.md",
        notes=("Not from a publication: it is here to learn the tool with and to test it.",),
    )
