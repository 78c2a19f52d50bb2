"""What a plugin imports: the hook marker, the specs, the errors, and the interfaces it may implement.

Importing this module imports no torch; the interfaces, whose signatures name torch's types, are imported on first
use. A plugin's builder module may also import `actrec_zoo.nn` and `actrec_zoo.weights`, and its tests
`actrec_zoo.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from actrec_zoo.errors import ActrecZooError, ConfigError, DataError, PluginError, WeightsError
from actrec_zoo.hookspecs import API_VERSION
from actrec_zoo.plugin_manager import hookimpl
from actrec_zoo.spec import (
    CallbackSpec,
    CommandSpec,
    DatasetSpec,
    InputSpec,
    MetricSpec,
    ModelSpec,
    ObjectiveSpec,
    Reference,
    TrainerSpec,
    WeightsRef,
)

if TYPE_CHECKING:
    from actrec_zoo.config import TrainConfig
    from actrec_zoo.data.dataset import Batch
    from actrec_zoo.data.layouts import Reader
    from actrec_zoo.data.manifest import Entry
    from actrec_zoo.training.objective import Objective
    from actrec_zoo.training.state import Callback, TrainingState
    from actrec_zoo.training.trainer import Trainer, TrainResult

__all__ = [
    "API_VERSION",
    "ActrecZooError",
    "Batch",
    "Callback",
    "CallbackSpec",
    "CommandSpec",
    "ConfigError",
    "DataError",
    "DatasetSpec",
    "Entry",
    "InputSpec",
    "MetricSpec",
    "ModelSpec",
    "Objective",
    "ObjectiveSpec",
    "PluginError",
    "Reader",
    "Reference",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainerSpec",
    "TrainingState",
    "WeightsError",
    "WeightsRef",
    "hookimpl",
]

_INTERFACES = {
    "Batch": "actrec_zoo.data.dataset",
    "Callback": "actrec_zoo.training.state",
    "Entry": "actrec_zoo.data.manifest",
    "Objective": "actrec_zoo.training.objective",
    "Reader": "actrec_zoo.data.layouts",
    "TrainConfig": "actrec_zoo.config",
    "TrainResult": "actrec_zoo.training.trainer",
    "Trainer": "actrec_zoo.training.trainer",
    "TrainingState": "actrec_zoo.training.state",
}


def __getattr__(name: str) -> Any:
    if name in _INTERFACES:
        return getattr(import_module(_INTERFACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
