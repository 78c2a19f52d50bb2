"""The verbs: what the command line calls and `actrec_zoo` re-exports."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actrec_zoo import distributed
from actrec_zoo.cards import run_card
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.components import objective_of, plugin_callbacks, trainer_of
from actrec_zoo.config import Layer, Resolved, TrainConfig, read_toml, resolve
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.workers import worker_deaths_named
from actrec_zoo.devices import cpu_threads, default_workers, resolve_device
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from actrec_zoo.evaluation.plots import plot_history
from actrec_zoo.files import write_text
from actrec_zoo.fitting import check_fit
from actrec_zoo.hub import store
from actrec_zoo.loading import check_first_weights, create, load
from actrec_zoo.memory import shortages_named
from actrec_zoo.preparation import clip_datasets, require_same_clips, training_data
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.training.batch_size import choose_batch_size
from actrec_zoo.training.caching import with_features
from actrec_zoo.training.checkpoint import Checkpoints, find_checkpoint, load_model
from actrec_zoo.training.curves import Curves
from actrec_zoo.training.memory_format import arrange, wants_channels_last
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.parameters import parameter_groups, set_trainable
from actrec_zoo.training.profile_files import ProfileFiles
from actrec_zoo.training.recompute import recompute_blocks
from actrec_zoo.training.run import NoteChanges, RunFolder, open_run, refuse_changes
from actrec_zoo.training.state import Callback, InterruptBetweenSteps, NoteSaved, terminated_like_interrupted
from actrec_zoo.training.tracking import Tracking
from actrec_zoo.training.trainer import TrainResult

_OF_A_PROCESS = frozenset({"data", "splits", "workers"})
"""Settings that may differ between the processes of a run."""

_LESS_MEMORY = (
    "What takes less: --set accumulate=2 (the same step in parts), --set checkpoint_activations=true (the same result, "
    "slower), a smaller --batch-size, --set precision=bf16; for validation and frozen parts --set eval_batch_size=1. "
    "A checkpoint that was written is kept: --resume goes on from it, with another accumulate, checkpoint_activations "
    "or eval_batch_size too."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, what training gave, and the trained model with the best epoch's weights."""

    path: Path
    result: TrainResult
    model: VideoClassifier


def train(
    model: str,
    data: str | Path,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    track: Track[Any] = no_progress,
    **settings: Any,
) -> FinishedRun:
    """Train a model on a folder of videos and leave a run folder.

    Args:
        model: name or id.
        data: folder or file, in any known layout.
        out: run folder; by default `runs/<model>`, with a number when that exists.
        config: TOML file with settings.
        resume: continue the run in `out`.
        callbacks: told about steps and epochs.
        track: shows the progress of long preparations.
        settings: keys of `actrec_zoo.config.TrainConfig`; a None is left out.

    Raises:
        ActrecZooError: something about the model, the data, the settings or the folder does not fit.
        InterruptedRun: Ctrl-C; the run can be resumed.
    """
    distributed.join()
    with distributed.losses_named():
        registered = distributed.together(lambda: get_registry().find(model))
        folder = distributed.from_first(
            lambda: open_run(registered.spec.name, Path(out) if out else None, resume=resume)
        )
        with terminated_like_interrupted(), folder.claim(), shortages_named("train", _LESS_MEMORY):
            file = Path(config) if config else None
            resolved = distributed.together(lambda: _resolve(registered, folder, data, file, settings))
            return _train(registered, folder, resolved, callbacks, track)


def resolve_settings(
    model: str,
    data: str | Path,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> Resolved:
    """The settings that `train` would run with, and where each comes from; the data is not looked at.

    Args:
        model: name or id.
        data: folder or file; it need not exist.
        out: run folder.
        config: TOML file with settings.
        resume: take the settings of the run in `out`.
        settings: keys of `actrec_zoo.config.TrainConfig`; a None is left out.

    Raises:
        ActrecZooError: a setting does not exist or does not fit, or `out` cannot be used.
    """
    registered = get_registry().find(model)
    folder = open_run(registered.spec.name, Path(out) if out else None, resume=resume)
    return _resolve(registered, folder, data, Path(config) if config else None, settings)


def _train(
    registered: RegisteredModel,
    folder: RunFolder,
    resolved: Resolved,
    callbacks: Sequence[Callback],
    track: Track[Any],
) -> FinishedRun:
    """Train with settings that are resolved, in a folder that is this process's own."""
    resolved = _with_workers(resolved)
    _require_one_configuration(resolved.config)
    device, objective, trainer, tracking = distributed.together(
        lambda: (
            resolve_device(resolved.config.device),
            objective_of(resolved.config),
            trainer_of(resolved.config),
            Tracking(folder.path, resolved.config) if distributed.is_first() else None,
        )
    )
    distributed.together(lambda: check_network(registered, resolved.config))
    if not folder.has_checkpoint:
        distributed.first_before_others(
            lambda: check_first_weights(registered, resolved.config.weights, resolved.config.backbone_weights)
        )
    files = folder.splits if folder.has_checkpoint else resolved.config.splits
    wanted = resolved.config.input_of(registered.spec)
    manifest, splits = distributed.first_before_others(
        lambda: training_data(resolved.config, wanted, Path(files) if files else None, track)
    )
    continued = distributed.from_first(lambda: find_checkpoint(folder.checkpoints))
    classifier = distributed.together(
        lambda: initial_model(registered, resolved.config, manifest.classes, continued).to(device)
    )
    clips = distributed.together(lambda: clip_datasets(resolved.config, classifier.input, manifest, splits))
    require_same_clips(resolved.config.data, clips)
    arrange(classifier.net, channels_last=wants_channels_last(resolved.config, device))
    if resolved.config.checkpoint_activations:
        distributed.together(lambda: recompute_blocks(classifier))
    resolved = _with_batch_size(resolved, classifier, clips[0], objective)
    last_step = NoteSaved()
    with (
        folder.guard(),
        _interruptible(folder, resolved.config, last_step),
        worker_deaths_named(),
        cpu_threads(resolved.config.threads),
        tracking or nullcontext(),
    ):
        plugin = {"distribution": registered.plugin.distribution, "version": registered.plugin.version}
        distributed.from_first(lambda: folder.begin(resolved, classifier, plugin, manifest, splits))
        profile = [ProfileFiles(folder.path)] if resolved.config.profile else []
        watching = [Curves(folder.curves), tracking, *profile] if tracking else []
        checkpoints = Checkpoints(folder.path, resume=continued, keep=resolved.config.keep_checkpoints)
        own = [checkpoints, last_step, *watching]
        others = [*callbacks, *distributed.together(lambda: plugin_callbacks(resolved.config))]
        told = [*own, *others, NoteChanges(folder, resolved)]
        fit_on = with_features(resolved.config, classifier, clips, track)
        result = trainer.fit(classifier, fit_on[0], fit_on[1], resolved.config, objective, told)
        distributed.from_first(lambda: _finish(folder, result))
    distributed.from_first(lambda: _register(registered, folder))
    return FinishedRun(folder.path, result, distributed.together(lambda: load(folder.path, device=device)))


def _require_one_configuration(config: TrainConfig) -> None:
    """Raise ConfigError where processes were started with other settings."""
    settings = {key: value for key, value in config.model_dump(mode="json").items() if key not in _OF_A_PROCESS}
    distributed.require_same(
        lambda: settings,
        lambda other: ConfigError(f"process {other} has other settings than the first: start all alike"),
    )


def _register(model: RegisteredModel, folder: RunFolder) -> None:
    """Let the model's name lead to the run; a finished run does not fail for want of that."""
    try:
        store.register(model.id, folder.path)
    except RunError as error:
        _log.warning("the run is complete, but not registered under its name: %s", error)


def _resolve(
    model: RegisteredModel, folder: RunFolder, data: str | Path, file: Path | None, settings: Mapping[str, Any]
) -> Resolved:
    """All settings of a run; a resumed one begins from its own and may not change them."""
    flags = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in settings.items() if v is not None}
    own = [] if folder.fresh else [folder.settings()]
    if own and own[0].values.get("model") != model.id:
        raise ConfigError(f"{folder.path} is a run of {own[0].values.get('model')}, not of {model.id}")
    layers = [
        *own,
        *([read_toml(file)] if file else []),
        Layer("flag", {**flags, "model": model.id, "data": str(data)}),
    ]
    resolved = resolve(model.spec, layers)
    if own and resolved.config.batch_size == "auto":  # it was chosen when the run began
        chosen = {"batch_size": own[0].values.get("batch_size", "auto")}
        resolved = Resolved(resolved.config.model_copy(update=chosen), {**resolved.origins, "batch_size": "run"})
    if own:
        refuse_changes(own[0], resolved)
    return resolved


def _with_workers(resolved: Resolved) -> Resolved:
    """The number of workers of this machine where none is given."""
    if resolved.config.workers is not None:
        return resolved
    return dataclasses.replace(resolved, config=resolved.config.model_copy(update={"workers": default_workers()}))


def _with_batch_size(resolved: Resolved, model: VideoClassifier, clips: ClipDataset, objective: Objective) -> Resolved:
    """The number of clips a step where it is to be found out; run.json keeps it for a resumed run."""
    if resolved.config.batch_size != "auto":
        return resolved
    number = choose_batch_size(model, clips, resolved.config, objective)
    config = resolved.config.model_copy(update={"batch_size": number})
    return Resolved(config, {**resolved.origins, "batch_size": "auto"})


def check_network(model: RegisteredModel, config: TrainConfig) -> None:
    """Find out before any data is read whether the network can be built, takes its input, and has what is to train.

    Raises:
        ConfigError: it cannot, or has not.
        WeightsError, RunError: the weights that it starts from do not exist.
    """
    net = check_fit(model, config.input_of(model.spec), config.options)
    try:
        set_trainable(net, model.spec, config.trainable_of(model.spec))
    except ConfigError as error:
        if config.trainable is not None or not config.options:
            raise
        raise ConfigError(f"{error}. With these options, say what trains: --trainable @head") from error
    parameter_groups(net, model.spec, config)


def initial_model(
    model: RegisteredModel, config: TrainConfig, labels: Sequence[str], checkpoint: Path | None = None
) -> VideoClassifier:
    """The model before the first step; a run that is continued finds its weights in the checkpoint."""
    torch.manual_seed(config.seed)
    file = Path(config.backbone_weights) if config.backbone_weights and checkpoint is None else None
    classifier = create(
        model,
        labels=labels,
        input=config.input_of(model.spec),
        options=config.options,
        weights=config.weights if checkpoint is None else "none",
        backbone_weights=file,
    )
    set_trainable(classifier.net, model.spec, config.trainable_of(model.spec))
    if checkpoint is not None:
        load_model(checkpoint, classifier)
    return classifier


@contextmanager
def _interruptible(folder: RunFolder, config: TrainConfig, last_step: NoteSaved) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        before = "Nothing more is saved; the checkpoint before stays." if folder.has_checkpoint else "No step is saved."
        done = "The checkpoint is saved." if last_step.saved else before
        interrupted = InterruptedRun(
            f"interrupted. {done} Continue with: actrec-zoo train {config.model} --data {shlex.quote(config.data)} "
            f"--out {shlex.quote(str(folder.path))} --resume"
        )
        interrupted.agreed = distributed.size() > 1 and isinstance(interrupt, InterruptBetweenSteps)
        raise interrupted from interrupt


def _finish(folder: RunFolder, result: TrainResult) -> None:
    """Weights, README.md and plots/ of a finished run."""
    folder.finish()
    write_text(folder.path / "README.md", run_card(folder.path))
    plot_history(folder.curves, result.history)
