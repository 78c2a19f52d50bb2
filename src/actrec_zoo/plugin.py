"""What a plugin imports: the hook marker, the specs and the errors. No torch.

A plugin's builder module may also import `actrec_zoo.nn` and `actrec_zoo.weights`, and its tests
`actrec_zoo.testing`.
"""

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
