"""The hooks a plugin may implement. All are optional; each yields frozen dataclasses of `actrec_zoo.spec`.

`API_VERSION` grows when a hook or a required field is added. A plugin module may state the version it needs as
`ACTREC_ZOO_API = N`; one that needs a newer host is listed as incompatible and not called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from actrec_zoo.spec import (
    CallbackSpec,
    CommandSpec,
    ComponentSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    ObjectiveSpec,
    TrainerSpec,
)

if TYPE_CHECKING:
    from actrec_zoo.config import TrainConfig

API_VERSION = 1


def actrec_zoo_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Models: an architecture's builder with options, input, defaults and weights."""


def actrec_zoo_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Readers of data layouts, tried on `--data` before the built-in ones, or chosen with `--data-format NAME`."""


def actrec_zoo_trainers() -> Iterable[TrainerSpec]:  # type: ignore[empty-body]
    """Training loops, chosen with `--set trainer=NAME`."""


def actrec_zoo_objectives() -> Iterable[ObjectiveSpec]:  # type: ignore[empty-body]
    """What a training step computes, chosen with `--set objective=NAME`."""


def actrec_zoo_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Video-level metrics, added to every evaluation under `metrics`."""


def actrec_zoo_callbacks(config: TrainConfig) -> Iterable[CallbackSpec]:  # type: ignore[empty-body]
    """Listeners to a training run with this configuration."""


def actrec_zoo_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Commands added to the command line."""


HOOKS: dict[str, type[ModelSpec] | type[ComponentSpec]] = {
    "models": ModelSpec,
    "datasets": DatasetSpec,
    "trainers": TrainerSpec,
    "objectives": ObjectiveSpec,
    "metrics": MetricSpec,
    "callbacks": CallbackSpec,
    "commands": CommandSpec,
}
"""Short name of each hook (its function is `actrec_zoo_<name>`) and the type of what it yields."""
