"""The verbs: what the command line calls and `actrec_zoo` re-exports."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from actrec_zoo.cards import run_card
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.components import objective_of, plugin_callbacks, plugin_metrics, read_data, trainer_of
from actrec_zoo.config import Layer, Resolved, TrainConfig, read_toml, resolve
from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.augmentation import FLIP, Augmentation, directed_classes, mirrored_classes
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.features import extract_features
from actrec_zoo.data.grouping import group_by
from actrec_zoo.data.layouts import data_name
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.probe import Track, no_progress, probe
from actrec_zoo.data.rates import warn_of_unknown_rates, with_rates
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.spans import cut_to_spans
from actrec_zoo.data.splits import Splits, read_splits
from actrec_zoo.data.stated import stated_splits, with_validation
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.devices import cpu_threads, default_workers, resolve_device
from actrec_zoo.errors import ConfigError, DataError, InterruptedRun, RunError
from actrec_zoo.evaluation.inference import TrainingData, run_evaluation
from actrec_zoo.evaluation.plots import plot_confusion, plot_history
from actrec_zoo.files import require_folder, write_json, write_text
from actrec_zoo.fitting import check_fit
from actrec_zoo.hub import store
from actrec_zoo.hub.package import EVAL_FILE, library_versions
from actrec_zoo.hub.remote import PREFIX
from actrec_zoo.loading import check_first_weights, create, load, load_to_answer, locate
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec
from actrec_zoo.training.checkpoint import Checkpoints, load_model
from actrec_zoo.training.parameters import only_head_trains, parameter_groups, set_trainable, set_training_mode
from actrec_zoo.training.run import RunFolder, count_seen, open_run, refuse_changes
from actrec_zoo.training.state import Callback
from actrec_zoo.training.trainer import TrainResult

EvalSplit = Literal["train", "val", "test", "all"]

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
    registered = get_registry().find(model)
    folder = open_run(registered.spec.name, Path(out) if out else None, resume=resume)
    resolved = _resolve(registered, folder, data, Path(config) if config else None, settings)
    device = resolve_device(resolved.config.device)
    objective, trainer = objective_of(resolved.config), trainer_of(resolved.config)
    _check_network(registered, resolved.config)
    if not folder.has_checkpoint:
        check_first_weights(registered, resolved.config.weights, resolved.config.backbone_weights)
    manifest, splits = _training_data(resolved.config, resolved.config.input_of(registered.spec), folder, track)
    classifier = _initial_model(registered, resolved.config, folder, manifest.classes).to(device)
    clips = _clip_datasets(resolved.config, classifier, manifest, splits)
    with folder.guard(), _interruptible(folder, resolved.config), cpu_threads(resolved.config.threads):
        plugin = {"distribution": registered.plugin.distribution, "version": registered.plugin.version}
        folder.begin(resolved, classifier, plugin, manifest, splits)
        told = [Checkpoints(folder.path, resume=resume), *callbacks, *plugin_callbacks(resolved.config)]
        fit_on = _with_features(resolved.config, classifier, clips, folder, track)
        result = trainer.fit(classifier, fit_on[0], fit_on[1], resolved.config, objective, told)
        folder.finish()
        _describe(folder, result)
    _register(registered, folder)
    return FinishedRun(folder.path, result, load(folder.path, device=device))


def evaluate(
    model: str | Path | VideoClassifier,
    data: str | Path,
    *,
    data_format: str | None = None,
    classes: str | None = None,
    split: EvalSplit = "test",
    splits: str | Path | None = None,
    out: str | Path | None = None,
    weights: str = "auto",
    batch_size: int = 16,
    workers: int | None = None,
    device: str = "auto",
    track: Track[Any] = no_progress,
) -> dict[str, Any]:
    """Evaluate a trained model and return what eval.json holds.

    Args:
        model: run folder, name, `hf:` reference, or a loaded model.
        data: folder or file, in any known layout.
        data_format: name of the layout; found out without it.
        classes: text file with the classes to keep, or `hmdb_simp`.
        split: which part of the data; `all` needs no split files.
        splits: folder of split files; by default the run's own copy, else the splits that the data set states.
        out: folder that eval.json is written to; by default the folder of the model, or `runs/` for one of the Hub;
            nothing is written for a loaded model without it.
        weights: `auto`: trained ones; or `pretrained`, upstream's, for the name of a model that keeps its classifier.
        batch_size: clips at once; the result does not depend on it.
        workers: decoding processes.
        device: auto, cpu, cuda or mps.
        track: shows the progress.

    Raises:
        ActrecZooError: the model, the data or the splits do not fit.
    """
    target = resolve_device(device)
    home = None if isinstance(model, VideoClassifier) or weights != "auto" else locate(model)
    classifier = model if isinstance(model, VideoClassifier) else load_to_answer(home or model, weights)
    folder = Path(out) if out else _home_of_results(model, home)
    if folder is not None:
        require_folder(folder)
    manifest = read_data(data, data_format, classes).with_classes(classifier.labels)
    manifest = _probed(manifest, classifier.input, track)
    files = _splits_folder(splits, home) if splits or split != "all" else None
    manifest, videos = _part(manifest, split, files, allow_leak=splits is None)
    was_on = classifier.device
    clips = ClipDataset(manifest, videos, ClipSampler.for_evaluation(classifier.input), ClipTransform(classifier.input))
    report = run_evaluation(
        classifier.to(target),
        clips,
        batch_size=batch_size,
        workers=default_workers() if workers is None else workers,
        metrics=plugin_metrics(),
        track=track,
    )
    classifier.to(was_on)
    seen = None if home is None else count_seen(home, manifest, videos)
    protocol = _protocol(classifier, data, split, seen)
    result = report.to_dict(model=classifier.id, protocol=protocol, versions=library_versions())
    if folder is not None:
        write_json(folder / EVAL_FILE, result)
        plot_confusion(folder / "plots" / "confusion.png", report.confusion, report.labels)
    return result


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
    if own:
        refuse_changes(own[0], resolved)
    workers = resolved.config.workers
    return dataclasses.replace(
        resolved,
        config=resolved.config.model_copy(update={"workers": default_workers() if workers is None else workers}),
    )


def _check_network(model: RegisteredModel, config: TrainConfig) -> None:
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
    parameter_groups(net, model.spec, config.lr_factors)


def _probed(manifest: Manifest, spec: InputSpec, track: Track[Any]) -> Manifest:
    """The manifest with frame counts, of the parts that its entries are, and with frame rates where clips need them."""
    counted = cut_to_spans(probe(manifest, track), track)
    if not spec.fps:
        return counted
    rated = with_rates(counted, track)
    warn_of_unknown_rates(rated)
    return rated


def _training_data(
    config: TrainConfig, spec: InputSpec, folder: RunFolder, track: Track[Any]
) -> tuple[Manifest, Splits]:
    manifest = read_data(config.data, config.data_format, config.classes)
    files = folder.splits if folder.has_checkpoint else (Path(config.splits) if config.splits else None)
    if len(manifest.classes) < 2:
        raise DataError(f"{config.data} has one class, {manifest.classes[0]!r}: a classifier needs at least two")
    splits: Splits
    if files is not None:
        manifest, splits = read_splits(files, manifest, allow_leak=config.allow_leak)
        _require_training_splits(files, manifest, splits)
    elif stated := stated_splits(manifest, allow_leak=config.allow_leak):
        splits = with_validation(manifest, stated, config.ratios, config.seed)
        _require_training_splits(manifest.root, manifest, splits)
    else:
        manifest = group_by(manifest)
        splits = make_splits(manifest, config.ratios, config.seed)
    _describe_data(manifest, splits)
    return _probed(manifest, spec, track), splits


def _describe_data(manifest: Manifest, splits: Splits) -> None:
    parts = ", ".join(f"{len(indices)} {name}" for name, indices in splits.items())
    _log.info("%s: %d videos in %d classes (%s)", manifest.root, len(manifest), len(manifest.classes), parts)
    if manifest.skipped:
        _log.info("passed over: %s", ", ".join(f"{count} {kind}" for kind, count in manifest.skipped.items()))


def _require_training_splits(files: Path, manifest: Manifest, splits: Splits) -> None:
    for name in ("train", "val"):
        if name not in splits or not len(splits[name]):
            raise DataError(f"{files} has no videos for {name}: training needs train and val")
    untrained = set(range(len(manifest.classes))) - set(manifest.labels[splits["train"]].tolist())
    if untrained:
        raise DataError(f"{files}: train has no video of class {manifest.classes[min(untrained)]!r}")


def _initial_model(
    model: RegisteredModel, config: TrainConfig, folder: RunFolder, labels: Sequence[str]
) -> VideoClassifier:
    """The model before the first step; a run that is continued finds its weights in the checkpoint."""
    torch.manual_seed(config.seed)
    continued = not folder.fresh and folder.has_checkpoint
    file = Path(config.backbone_weights) if config.backbone_weights and not continued else None
    classifier = create(
        model,
        labels=labels,
        input=config.input_of(model.spec),
        options=config.options,
        weights="none" if continued else config.weights,
        backbone_weights=file,
    )
    set_trainable(classifier.net, model.spec, config.trainable_of(model.spec))
    if continued:
        load_model(folder.last_checkpoint, classifier)
    return classifier


def _clip_datasets(
    config: TrainConfig, model: VideoClassifier, manifest: Manifest, splits: Splits
) -> tuple[ClipDataset, ClipDataset]:
    spec = model.input
    sampler = ClipSampler(config.sampling, spec.frames, spec.stride, spec.views, spec.fps)
    train_clips = ClipDataset(
        manifest,
        splits["train"],
        sampler,
        ClipTransform(spec, config.augment),
        config.seed,
        _augmentation(config, manifest.classes),
    )
    val_clips = ClipDataset(manifest, splits["val"], ClipSampler.for_evaluation(spec), ClipTransform(spec))
    return train_clips, val_clips


def _augmentation(config: TrainConfig, classes: Sequence[str]) -> Augmentation:
    """What is done to training clips on the device; nothing is mirrored where that would make a label wrong."""
    mirrored = mirrored_classes(classes, config.flip_labels)
    unpaired = [name for name in directed_classes(classes) if mirrored[classes.index(name)] == classes.index(name)]
    if FLIP not in config.augment or not unpaired:
        return Augmentation(config.augment, torch.from_numpy(mirrored) if config.flip_labels else None)
    _log.warning(
        "horizontal_flip is left out: a mirrored clip of class %r would show another one. Pairs of classes that change "
        'places can be given: --set \'flip_labels={"left" = "right"}\'',
        unpaired[0],
    )
    return Augmentation([name for name in config.augment if name != FLIP])


def _with_features(
    config: TrainConfig,
    model: VideoClassifier,
    clips: tuple[ClipDataset, ClipDataset],
    folder: RunFolder,
    track: Track[Any],
) -> tuple[TrainingData, TrainingData]:
    """Run a frozen backbone once where the settings allow it."""
    obstacle = _obstacle_to_caching(model, clips[0])
    if config.cache_features == "on" and obstacle:
        raise ConfigError(f"cache_features=on is not possible: {obstacle}")
    if config.cache_features == "off" or obstacle or not all(len(part) for part in clips):
        return clips

    @torch.inference_mode()
    def compute(inputs: Tensor) -> Tensor:
        return model.forward_features(model.preprocess(inputs))

    set_training_mode(model)
    first, second = (
        extract_features(
            part,
            compute,
            folder.features / f"{name}.f32",
            batch_size=config.batch_size,
            device=model.device,
            workers=config.workers or 0,
            track=track,
        )
        for name, part in zip(("train", "val"), clips, strict=True)
    )
    return first, second


def _obstacle_to_caching(model: VideoClassifier, clips: ClipDataset) -> str:
    if not only_head_trains(model.net, model.spec):
        return "more than the head trains"
    if not clips.deterministic:
        return "the training clips differ from epoch to epoch (random sampling or augmentation)"
    return ""


@contextmanager
def _interruptible(folder: RunFolder, config: TrainConfig) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        done = "The checkpoint is saved." if folder.has_checkpoint else "No step was completed."
        raise InterruptedRun(
            f"interrupted. {done} Continue with: actrec-zoo train {config.model} --data {shlex.quote(config.data)} "
            f"--out {shlex.quote(str(folder.path))} --resume"
        ) from interrupt


def _describe(folder: RunFolder, result: TrainResult) -> None:
    """README.md and plots/ of a finished run."""
    write_text(folder.path / "README.md", run_card(folder.path))
    plot_history(folder.path / "plots" / "history.png", result.history)


def _home_of_results(model: str | Path | VideoClassifier, home: Path | None) -> Path | None:
    """The model's own folder; for one of the Hub, whose folder is a cache, one below runs/."""
    if home is None or not str(model).startswith(PREFIX):
        return home
    return Path("runs") / str(model).translate(str.maketrans(":/@", "---"))


def _splits_folder(splits: str | Path | None, home: Path | None) -> Path | None:
    """Split files asked for, or the run's own."""
    if splits is not None:
        return Path(splits)
    own = home / "splits" if home is not None else None
    return own if own is not None and own.is_dir() else None


def _part(manifest: Manifest, split: EvalSplit, files: Path | None, *, allow_leak: bool) -> tuple[Manifest, IntArray]:
    """The videos of one split, of split files or as the data set states it; `all` without files are all videos.

    A run that was allowed to leak is evaluated on its own splits, with a warning.
    """
    found: Splits | None
    if files is not None:
        manifest, found = read_splits(files, manifest, allow_leak=allow_leak)
    elif split == "all":
        return manifest, np.arange(len(manifest))
    else:
        found = stated_splits(manifest, allow_leak=allow_leak)
    if found is None:
        raise DataError(f"the model has no splits of its own: give --splits DIR, or --split all instead of {split}")
    if split == "all":
        return manifest, np.unique(np.concatenate(list(found.values())))
    if split not in found or not len(found[split]):
        raise DataError(f"{files or manifest.root} has no videos for {split}")
    return manifest, found[split]


def _protocol(model: VideoClassifier, data: str | Path, split: EvalSplit, seen: int | None) -> dict[str, Any]:
    """What the figures were measured with."""
    return {
        "name": "video",
        "data": data_name(data),
        "split": split,
        "seen": seen,
        "clip": "each clip by itself",
        "video": "mean of the softmax of its clips",
        "top5": f"top-{min(5, len(model.labels))} of {len(model.labels)} classes",
        "crop": "center",
        **model.input.to_dict(),
    }
