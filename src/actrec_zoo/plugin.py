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
    from actrec_zoo.config import TrainConfig as TrainConfig
    from actrec_zoo.data.dataset import Batch as Batch
    from actrec_zoo.data.layouts import Reader as Reader
    from actrec_zoo.data.manifest import Entry as Entry
    from actrec_zoo.training.objective import Objective as Objective
    from actrec_zoo.training.state import Callback as Callback
    from actrec_zoo.training.state import TrainingState as TrainingState
    from actrec_zoo.training.trainer import Trainer as Trainer
    from actrec_zoo.training.trainer import TrainResult as TrainResult

__all__ = [
    "API_VERSION",
    "ActrecZooError",
    "CallbackSpec",
    "CommandSpec",
    "ConfigError",
    "DataError",
    "DatasetSpec",
    "InputSpec",
    "MetricSpec",
    "ModelSpec",
    "ObjectiveSpec",
    "PluginError",
    "Reference",
    "TrainerSpec",
    "WeightsError",
    "WeightsRef",
    "hookimpl",
]

# Not in __all__: `from actrec_zoo.plugin import *` must not import torch.
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


def __dir__() -> list[str]:
    return sorted((*__all__, *_INTERFACES))
