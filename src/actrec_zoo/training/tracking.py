"""Experiment trackers of a run, through accelerate: TensorBoard, Weights & Biases, MLflow, Trackio."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from accelerate.tracking import MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker

from actrec_zoo.config import TrainConfig, flatten
from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.files import read_json, write_json
from actrec_zoo.training.state import Callback, TrainingState

PROJECT = "actrec-zoo"
TRACKERS_FILE = "trackers.json"
_STEPS_A_FIGURE = 50
_TAKES_SETTINGS_AGAIN = ("wandb", "trackio")
_ADVICE = {"wandb": " Log in with `wandb login`, or set WANDB_MODE=offline."}

_log = logging.getLogger(__name__)


class Tracking(Callback):
    """Tells the trackers of a run its settings and figures; a context manager, which ends them.

    Settings are told once, figures of validation and training after every epoch, the training loss every 50 steps: no
    step waits for that. The run at the tracker is noted in trackers.json; a resumed run goes on in it. A tracker that
    fails later than at its start is left out with a warning: it shall not end a run.

    Args:
        run: folder of the run.
        config: its settings.

    Raises:
        ConfigError: the package of a tracker is not installed.
    """

    def __init__(self, run: Path, config: TrainConfig) -> None:
        require_packages(config.trackers)
        self._run = run
        self._config = config
        self._trackers: dict[str, Any] = {}
        self._silent: set[str] = set()
        self._sums = [0.0, 0.0, 0.0]

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, tracker in self._trackers.items():
            try:
                _finish(name, tracker, error)
            except Exception as failure:
                _log.warning("tracker %s did not end well: %s", name, _line(failure))
        self._trackers.clear()

    def on_start(self, state: TrainingState) -> None:
        """Begin at the trackers, or go on there.

        Raises:
            ConfigError: a tracker cannot be started.
        """
        if state.done:
            return
        self._config = state.config
        self._sums = state.running.own()
        known = self._known()
        for name in self._config.trackers:
            self._trackers[name] = self._start(name, known.get(name), _steps(state))
            known[name] = _identity(name, self._trackers[name])
            write_json(self._run / TRACKERS_FILE, known)

    def on_step(self, state: TrainingState) -> None:
        """Now and then, tell the figures since the last time."""
        if not self._trackers or state.step % _STEPS_A_FIGURE:
            return
        sums = state.running.own()
        clips, loss, top1 = (now - before for now, before in zip(sums, self._sums, strict=True))
        self._sums = sums
        if clips:
            self._tell({"step/loss": loss / clips, "step/top1": top1 / clips}, _steps(state))

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the figures of the epoch."""
        self._sums = [0.0, 0.0, 0.0]
        figures = asdict(state.history[-1])
        self._tell({key.replace("_", "/"): value for key, value in figures.items()}, _steps(state))

    def _start(self, name: str, known: str | None, step: int) -> Any:
        try:
            if known is not None:
                try:
                    return self._begin(name, known, step)
                except Exception as error:
                    _log.warning("tracker %s cannot go on where it was: %s. It begins anew.", name, _line(error))
            return self._begin(name, None, step)
        except Exception as error:
            raise ConfigError(f"--track {name} cannot start: {_line(error)}.{_ADVICE.get(name, '')}") from error

    def _begin(self, name: str, known: str | None, step: int) -> Any:
        """Start a tracker and tell it the settings, but for those that take them once."""
        tracker = _begin(name, self._run, known, step)
        if known is None or name in _TAKES_SETTINGS_AGAIN:
            tracker.store_init_configuration(_settings(self._run, self._config))
        return tracker

    def _tell(self, figures: dict[str, float], step: int) -> None:
        for name in self._trackers.keys() - self._silent:
            try:
                self._trackers[name].log(figures, step=step)
            except Exception as error:
                _log.warning("tracker %s is left out from here on: %s", name, _line(error))
                self._silent.add(name)

    def _known(self) -> dict[str, str]:
        """What the trackers call this run, by tracker, from an earlier start."""
        try:
            known = read_json(self._run / TRACKERS_FILE)
        except RunError:
            return {}
        return (
            {name: value for name, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}
        )


def require_packages(trackers: Sequence[str]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        ConfigError: one is not; the message names the extra.
    """
    for name in trackers:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder `wandb` in the working directory is no package
            raise ConfigError(f"--track {name} needs a package that is not installed: pip install 'actrec-zoo[{name}]'")


def _begin(name: str, run: Path, known: str | None, step: int) -> Any:
    """Start a tracker: in the run that it knows by this name, or in a new one."""
    fresh = secrets.token_hex(4)
    match name:
        case "tensorboard":
            tracker = TensorBoardTracker(name, run, purge_step=step + 1 if known else None)
        case "wandb":
            project = os.environ.get("WANDB_PROJECT", PROJECT)
            tracker = WandBTracker(project, name=run.name, id=known or fresh, resume="allow", dir=str(run))
        case "mlflow":
            tracker = MLflowTracker(PROJECT, run_name=run.name, run_id=known)
        case _:
            project = os.environ.get("TRACKIO_PROJECT", PROJECT)
            tracker = TrackioTracker(project, name=known or f"{run.name}-{fresh}", resume="allow")
    tracker.start()
    return tracker


def _identity(name: str, tracker: Any) -> str:
    """What a tracker calls a run that it has started."""
    match name:
        case "tensorboard":
            return str(tracker.run_name)
        case "wandb":
            return str(tracker.tracker.id)
        case "mlflow":
            return str(tracker.tracker.info.run_id)
        case _:
            return str(tracker.tracker.name)


def _finish(name: str, tracker: Any, error: BaseException | None) -> None:
    """End a tracker's run, as one that was completed or one that was not."""
    interrupted = isinstance(error, KeyboardInterrupt)
    if error is not None and name == "wandb":
        tracker.tracker.finish(exit_code=130 if interrupted else 1)
    elif error is not None and name == "mlflow":
        import mlflow

        mlflow.end_run("KILLED" if interrupted else "FAILED")
    else:
        tracker.finish()


def _settings(run: Path, config: TrainConfig) -> dict[str, Any]:
    """Settings as trackers take them, numbers and texts alone, with the folder of the run."""
    flat = flatten(config.model_dump(mode="json", exclude_none=True))
    plain = {
        key: value if isinstance(value, (bool, int, float, str)) else json.dumps(value) for key, value in flat.items()
    }
    return {**plain, "run": str(run.absolute())}


def _steps(state: TrainingState) -> int:
    """Steps of the run so far."""
    return state.epoch * state.steps + state.step


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
