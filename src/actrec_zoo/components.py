"""The parts of a run that plugins may add: readers, metrics, callbacks, objectives, trainers."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.config import TrainConfig
from actrec_zoo.data.classes import read_classes
from actrec_zoo.data.layouts import BUILT_IN, Reader, read_manifest
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.errors import ActrecZooError, PluginError, UnknownNameError, did_you_mean
from actrec_zoo.evaluation.evaluator import Metric
from actrec_zoo.plugin_manager import Plugin, get_plugin_manager
from actrec_zoo.spec import import_object
from actrec_zoo.training.objective import Classification, Objective
from actrec_zoo.training.state import Callback
from actrec_zoo.training.trainer import SupervisedTrainer, Trainer


class _GuardedReader:
    """A plugin's reader: one that fails to recognise a layout is left out, one that fails to read it is named."""

    def __init__(self, plugin: Plugin, reader: Reader) -> None:
        self._plugin = plugin
        self._reader = reader

    def matches(self, path: Path) -> bool:
        try:
            return bool(self._reader.matches(path))
        except Exception as error:
            self._plugin.fail("broken", error)
            return False

    def root(self, path: Path) -> Path:
        with self._named(path):
            return self._reader.root(path)

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        with self._named(path):
            yield from self._reader.read(path, skipped)

    @contextmanager
    def _named(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (ActrecZooError, OSError, GeneratorExit):
            raise
        except Exception as error:
            raise PluginError(f"plugin {self._plugin.name!r} cannot read {path}: {error}") from error


def read_data(data: str | Path, data_format: str | None = None, classes: str | None = None) -> Manifest:
    """List the videos of a data set in any layout that actrec-zoo or a plugin reads.

    Args:
        data: folder, file, or `hf:org/name`.
        data_format: name of the reader; found out without it.
        classes: text file with the classes to keep, or the name of a list; all without it.

    Raises:
        ActrecZooError: the data, the format or the classes cannot be used.
    """
    kept = read_classes(classes) if classes else ()
    return read_manifest(Path(data), readers(), layout=data_format or "", classes=kept)


def readers() -> dict[str, Reader]:
    """Readers of data layouts that plugins add, by name, or by `plugin:name` where the name is not the only one.

    A plugin whose reader cannot be made is broken and left out.
    """
    found = _make("datasets", lambda factory: factory())
    uses = Counter([*BUILT_IN, *(name for _, name, _ in found)])
    return {
        name if uses[name] == 1 else f"{plugin.name}:{name}": _GuardedReader(plugin, made)
        for plugin, name, made in found
    }


def plugin_metrics() -> dict[str, Metric]:
    """Video-level metrics that plugins add, by name, or by `plugin:name` where the name is not the only one.

    A plugin whose metric cannot be imported, or raises, is broken, and its metric is left out.
    """
    found = _make("metrics", lambda metric: metric)
    uses = Counter(name for _, name, _ in found)
    return {
        name if uses[name] == 1 else f"{plugin.name}:{name}": _guarded(plugin, metric) for plugin, name, metric in found
    }


def plugin_callbacks(config: TrainConfig) -> list[Callback]:
    """Listeners that plugins add to a run; one that is no `Callback` breaks its plugin and is left out."""
    return [made for _, _, made in _make("callbacks", lambda factory: _callback(factory(config)), config=config)]


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


def _make(hook: str, make: Callable[[Any], Any], **arguments: Any) -> list[tuple[Plugin, str, Any]]:
    """Plugin, name and object of everything that plugins add to a hook."""
    found = []
    for plugin, spec in get_plugin_manager().collect(hook, **arguments):
        try:
            found.append((plugin, spec.name, make(import_object(spec.builder))))
        except Exception as error:
            plugin.fail("broken", error)
    return found


def _callback(made: object) -> Callback:
    if not isinstance(made, Callback):
        raise PluginError(f"a callback must be an actrec_zoo.plugin.Callback, not {type(made).__name__}")
    return made


def _guarded(plugin: Plugin, metric: Any) -> Metric:
    """The metric, giving None once it has raised."""

    def guarded(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
        try:
            return float(metric(labels, probabilities))
        except Exception as error:
            plugin.fail("broken", error)
            return None

    return guarded


def _component(hook: str, key: str, name: str) -> str:
    """The builder of a plugin's component by name."""
    manager = get_plugin_manager()
    spec = manager.component(hook, name)
    if spec is None:
        known = [item.name for _, item in manager.collect(hook)]
        raise UnknownNameError(f"there is no {key} {name!r}.{did_you_mean(name, known)}")
    builder: str = spec.builder
    return builder
