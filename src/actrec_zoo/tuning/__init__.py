"""`tune`: a bounded search of learning rate, weight decay and head options over features that are computed once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actrec_zoo.api import check_network, initial_model
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.components import objective_of, trainer_of
from actrec_zoo.config import Layer, Resolved, TrainConfig, read_toml, resolve
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.workers import worker_deaths_named
from actrec_zoo.devices import cpu_threads, default_workers, resolve_device
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from actrec_zoo.evaluation.inference import TrainingData
from actrec_zoo.files import read_json, remove_leftovers, require_folder, write_json, write_text
from actrec_zoo.loading import check_first_weights
from actrec_zoo.locking import LOCK_FILE, locked
from actrec_zoo.memory import shortages_named
from actrec_zoo.preparation import clip_datasets, training_data
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.training.caching import obstacle_to_caching, with_features
from actrec_zoo.training.memory_format import arrange, wants_channels_last
from actrec_zoo.training.state import Callback, TrainingState, terminated_like_interrupted
from actrec_zoo.training.trainer import TrainResult
from actrec_zoo.tuning.study import Study, require_optuna
from actrec_zoo.tuning.trials import CHOSEN_BY_NOBODY, WHERE, Space, Trial, best_toml, read_trials, trials_csv

TUNE_FILE, TRIALS_FILE, BEST_FILE = "tune.json", "trials.csv", "best.toml"
_FORMAT = 1
_RATES = {"sgd": (1e-4, 1.0)}
_OTHER_RATES = (1e-5, 1e-1)
_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        path: folder with tune.json, trials.csv and best.toml.
        trials: in their order.
        best: the best of them.
    """

    path: Path
    trials: tuple[Trial, ...]
    best: Trial


def tune(
    model: str,
    data: str | Path,
    *,
    trials: int = 30,
    seconds: float | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    told: Callable[[Trial], object] = lambda trial: None,
    track: Track[Any] = no_progress,
    **settings: Any,
) -> Tuned:
    """Search settings of the head of a model, by the validation videos alone.

    What is given in `config` or `settings` is not searched.

    Args:
        model: name or id.
        data: folder or file, in any known layout.
        trials: how many trainings in all, those of a search that is resumed included.
        seconds: after which no further epoch begins, counted from the first training on.
        out: folder of the search; by default `tune/<model>`.
        config: TOML file with settings.
        resume: continue the search in `out`.
        told: called after each trial.
        track: shows the progress of long preparations.
        settings: keys of `actrec_zoo.config.TrainConfig`; a None is left out.

    Raises:
        ConfigError: more than the head trains, clips differ from epoch to epoch without `feature_views`, a setting does
            not fit, or Optuna is missing.
        RunError: the folder cannot be used, or no trial could be finished.
        InterruptedRun: Ctrl-C; the search can be resumed.
    """
    require_optuna()
    registered = get_registry().find(model)
    resolved = _resolve(registered, data, Path(config) if config else None, settings)
    folder = Path(out) if out else Path("tune") / registered.spec.name
    search = _Search(registered, resolved, folder, _space(registered, resolved))
    with search.begun(resume) as done, terminated_like_interrupted(), worker_deaths_named():
        with shortages_named("tune", "Fewer clips at once take less: --set eval_batch_size=1."):
            search.prepare(track)
        with cpu_threads(resolved.config.threads):
            found = search.run(done, trials, seconds, told)
    return Tuned(folder, tuple(found), max(found, key=lambda trial: trial.rank))


class _OutOfTime(Exception):  # noqa: N818 (no error: the search is bounded)
    """The time of the search has run out."""


@dataclass
class _Deadline(Callback):
    """Stops a training between two epochs."""

    at: float

    def on_epoch_end(self, state: TrainingState) -> None:
        if time.monotonic() > self.at and state.epoch < state.config.epochs:
            raise _OutOfTime


@dataclass
class _Search:
    """A search: the folder it leaves, the features it trains on, and how a trial is trained."""

    model: RegisteredModel
    resolved: Resolved
    folder: Path
    space: Space
    labels: Sequence[str] = ()
    data: tuple[TrainingData, TrainingData] = field(init=False)

    @property
    def config(self) -> TrainConfig:
        """The settings that trials begin from."""
        return self.resolved.config

    @contextmanager
    def begun(self, resume: bool) -> Iterator[list[Trial]]:
        """Keep the folder for this process, and remove one in which nothing was left; gives the trials done."""
        if self.folder.exists() and not resume:
            raise RunError(f"--out {self.folder} exists: choose another folder, or continue that search with --resume")
        require_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            remove_leftovers(self.folder)
            try:
                yield self._done()
            finally:
                if not self._others_than_the_lock():
                    shutil.rmtree(self.folder, ignore_errors=True)

    def _done(self) -> list[Trial]:
        if not self._others_than_the_lock():
            return []
        file = self.folder / TUNE_FILE
        if not file.is_file():
            raise RunError(f"--out {self.folder} is no search to resume: it has no {TUNE_FILE}")
        if read_json(file) != self._record():
            raise ConfigError(f"{file} has other settings than these: choose another --out")
        return read_trials(self.folder / TRIALS_FILE, self.space)

    def _others_than_the_lock(self) -> bool:
        return any(path.name != LOCK_FILE for path in self.folder.iterdir())

    def prepare(self, track: Track[Any]) -> None:
        """Everything that trials share: the data, as features."""
        config, spec = self.config, self.model.spec
        check_network(self.model, config)
        check_first_weights(self.model, config.weights, config.backbone_weights)
        manifest, splits = training_data(
            config, config.input_of(spec), Path(config.splits) if config.splits else None, track
        )
        self.labels = manifest.classes
        classifier = self._initial(config)
        clips = clip_datasets(config, classifier.input, manifest, splits)
        obstacle = obstacle_to_caching(config, classifier, clips[0])
        if obstacle:
            raise ConfigError(f"tune trains on features that are kept, and there can be none: {obstacle}")
        on = config.model_copy(update={"cache_features": "on"})
        self.data = with_features(on, classifier, clips, track)
        write_json(self.folder / TUNE_FILE, self._record())

    def run(
        self, done: Sequence[Trial], trials: int, seconds: float | None, told: Callable[[Trial], object]
    ) -> list[Trial]:
        """The trials that are done, and so many more."""
        found = list(done)
        deadline = time.monotonic() + seconds if seconds is not None else float("inf")
        own = {name: _value_of(self.config, name, self.model) for name in self.space}
        videos = len(self.data[1].videos)
        study = Study(self.space, own, seed=self.config.seed, videos=videos, done=found)
        try:
            while len(found) < trials and time.monotonic() < deadline:
                found.append(self._try(len(found), study.ask(len(found)), deadline))
                study.tell(found[-1])
                self._write(found)
                told(found[-1])
        except _OutOfTime:
            _log.info("the time is over: trial %d is left out", len(found))
        except KeyboardInterrupt as interrupt:
            raise InterruptedRun(
                f"interrupted after {len(found)} trials. Continue with the same command and --resume"
            ) from interrupt
        if all(trial.error for trial in found):
            reason = f": {found[0].error}" if found else f" in {seconds:g} s: give --seconds more" if seconds else ""
            raise RunError(f"no trial could be finished{reason}")
        return found

    def _try(self, number: int, tried: Mapping[str, Any], deadline: float) -> Trial:
        started = time.monotonic()
        try:
            with shortages_named("train with these settings", "A smaller --batch-size takes less."):
                result = self._train(self._with(tried), deadline)
        except (ConfigError, RunError) as error:  # they do not go together or take too much, or the loss is no number
            return Trial(number, tried, seconds=time.monotonic() - started, error=str(error))
        best = result.best
        return Trial(number, tried, best.val_top1, best.val_loss, best.epoch, time.monotonic() - started)

    def _with(self, tried: Mapping[str, Any]) -> TrainConfig:
        """The settings of a trial."""
        own = Layer("search", self.config.model_dump())
        return resolve(self.model.spec, [own, Layer("trial", tried)]).config

    def _train(self, config: TrainConfig, deadline: float) -> TrainResult:
        train, val = self.data
        told = [_Deadline(deadline)]
        return trainer_of(config).fit(self._initial(config), train, val, config, objective_of(config), told)

    def _initial(self, config: TrainConfig) -> VideoClassifier:
        """The model before the first step, as `train` has it."""
        device = resolve_device(config.device)
        model = initial_model(self.model, config, self.labels).to(device)
        arrange(model.net, channels_last=wants_channels_last(config, device))
        return model

    def _write(self, found: Sequence[Trial]) -> None:
        write_text(self.folder / TRIALS_FILE, trials_csv(found, self.space))
        best = max(found, key=lambda trial: trial.rank)
        if not best.error:
            write_text(self.folder / BEST_FILE, best_toml(self.resolved, best))

    def _record(self) -> dict[str, Any]:
        """What a search that is resumed has to have in common."""
        config = self.config.model_dump(mode="json", exclude=set(WHERE))
        space = {name: list(values) for name, values in self.space.items()}
        record: dict[str, Any] = json.loads(json.dumps({"format": _FORMAT, "config": config, "space": space}))
        return record


def _resolve(model: RegisteredModel, data: str | Path, file: Path | None, settings: Mapping[str, Any]) -> Resolved:
    flags = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in settings.items() if v is not None}
    layers = [*([read_toml(file)] if file else []), Layer("flag", {**flags, "model": model.id, "data": str(data)})]
    resolved = resolve(model.spec, layers)
    for name in ("trackers", "checkpoint_steps"):
        if getattr(resolved.config, name):
            raise ConfigError(f"tune has no use for {name}: its trials leave no runs. Leave it out")
    workers = default_workers() if resolved.config.workers is None else resolved.config.workers
    return Resolved(resolved.config.model_copy(update={"workers": workers}), resolved.origins)


def _space(model: RegisteredModel, resolved: Resolved) -> Space:
    """What is searched: what nobody chose, with the value that it has."""
    config = resolved.config
    low, high = _RATES.get(config.optimizer, _OTHER_RATES)
    listed: Space = {"lr": (max(low, config.min_lr, config.warmup_lr), high), "weight_decay": _DECAYS}
    listed |= {f"options.{name}": values for name, values in model.spec.head_options.items() if values}
    free = {
        name: values for name, values in listed.items() if resolved.origins.get(name, "default") in CHOSEN_BY_NOBODY
    }
    if not free:
        raise ConfigError("there is nothing to search: lr, weight_decay and the options of the head are all given")
    return {name: _with_own(name, values, _value_of(config, name, model)) for name, values in free.items()}


def _value_of(config: TrainConfig, name: str, model: RegisteredModel) -> Any:
    """The value that a setting has before the search."""
    if name.startswith("options."):
        option = name.removeprefix("options.")
        return config.options.get(option, model.spec.options[option])
    return getattr(config, name)


def _with_own(name: str, values: tuple[Any, ...], own: Any) -> tuple[Any, ...]:
    if name == "lr":
        return (min(values[0], own), max(values[1], own))
    return values if own in values else (own, *values)
