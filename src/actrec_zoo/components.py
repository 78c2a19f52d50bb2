"""The parts of a run that plugins may add: readers, metrics, callbacks, objectives, trainers."""

from actrec_zoo.config import TrainConfig
from actrec_zoo.data.layouts import Reader
from actrec_zoo.errors import UnknownNameError, did_you_mean
from actrec_zoo.evaluation.evaluator import Metric
from actrec_zoo.plugin_manager import get_plugin_manager
from actrec_zoo.spec import import_object
from actrec_zoo.training.objective import Classification, Objective
from actrec_zoo.training.state import Callback
from actrec_zoo.training.trainer import SupervisedTrainer, Trainer


def readers() -> list[Reader]:
    """Readers of data layouts that plugins add."""
    return [import_object(spec.builder)() for _, spec in get_plugin_manager().collect("datasets")]


def plugin_metrics() -> dict[str, Metric]:
    """Video-level metrics that plugins add, by name."""
    return {spec.name: import_object(spec.builder) for _, spec in get_plugin_manager().collect("metrics")}


def plugin_callbacks(config: TrainConfig) -> list[Callback]:
    """Listeners that plugins add to a run."""
    found = get_plugin_manager().collect("callbacks", config=config)
    return [import_object(spec.builder)(config) for _, spec in found]


def objective_of(config: TrainConfig) -> Objective:
    """The objective that a run asks for.

    Raises:
        UnknownNameError: no plugin has it.
    """
    if config.objective == "classification":
        return Classification(config)
    objective: Objective = import_object(_component("objectives", "objective", config.objective))(config)
    return objective


def trainer_of(config: TrainConfig) -> Trainer:
    """The training loop that a run asks for.

    Raises:
        UnknownNameError: no plugin has it.
    """
    if config.trainer == "default":
        return SupervisedTrainer()
    trainer: Trainer = import_object(_component("trainers", "trainer", config.trainer))()
    return trainer


def _component(hook: str, key: str, name: str) -> str:
    """The builder of a plugin's component by name."""
    manager = get_plugin_manager()
    spec = manager.component(hook, name)
    if spec is None:
        known = [item.name for _, item in manager.collect(hook)]
        raise UnknownNameError(f"there is no {key} {name!r}.{did_you_mean(name, known)}")
    builder: str = spec.builder
    return builder
