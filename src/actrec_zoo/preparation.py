"""From settings to data: the clips that a run trains on, and the videos that a model is evaluated on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from actrec_zoo import distributed
from actrec_zoo.components import read_data
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.augmentation import FLIP, Augmentation, Strength, directed_classes, mirrored_classes
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.grouping import group_by
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.probe import Track, probe
from actrec_zoo.data.rates import warn_of_unknown_rates, with_rates
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.spans import cut_to_spans
from actrec_zoo.data.splits import Splits, read_splits
from actrec_zoo.data.stated import stated_splits, with_validation
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import ConfigError, DataError
from actrec_zoo.spec import InputSpec

EvalSplit = Literal["train", "val", "test", "all"]

_log = logging.getLogger(__name__)


def training_data(
    config: TrainConfig, spec: InputSpec, files: Path | None, track: Track[Any]
) -> tuple[Manifest, Splits]:
    """List the videos of a run, divide them, and count their frames.

    Args:
        config: names the data.
        spec: the input that clips are made for.
        files: folder of split files; without it the splits that the data set states, or else new ones.
        track: shows the progress.

    Raises:
        DataError: the data cannot be read or divided, or leaves nothing to train or to validate on.
    """
    manifest = read_data(config.data, config.data_format, config.classes)
    if len(manifest.classes) < 2:
        raise DataError(f"{config.data} has one class, {manifest.classes[0]!r}: a classifier needs at least two")
    splits: Splits
    if files is not None:
        if config.splits is not None and files == Path(config.splits):  # a run's own copy was judged when it was made
            manifest = group_by(manifest)
        manifest, splits = read_splits(files, manifest, allow_leak=config.allow_leak)
        _require_training_splits(files, manifest, splits)
    elif stated := stated_splits(manifest, allow_leak=config.allow_leak):
        splits = with_validation(manifest, stated, config.ratios, config.seed)
        _require_training_splits(manifest.root, manifest, splits)
    else:
        manifest = group_by(manifest)
        splits = make_splits(manifest, config.ratios, config.seed)
    _describe_data(manifest, splits)
    return probed(manifest, spec, track), splits


def clip_datasets(
    config: TrainConfig, spec: InputSpec, manifest: Manifest, splits: Splits
) -> tuple[ClipDataset, ClipDataset]:
    """The training clips and the validation clips of a run, for an input.

    Raises:
        ConfigError: an augmentation does not exist, or `flip_labels` names no class.
    """
    sampler = ClipSampler(config.sampling, spec.frames, spec.stride, spec.views, spec.fps)
    train_clips = ClipDataset(
        manifest,
        splits["train"],
        sampler,
        ClipTransform(spec, config.augment),
        config.seed,
        _augmentation(config, spec, manifest.classes),
    )
    val_clips = ClipDataset(manifest, splits["val"], ClipSampler.for_evaluation(spec), ClipTransform(spec))
    return train_clips, val_clips


def part_of(manifest: Manifest, split: EvalSplit, files: Path | None, *, allow_leak: bool) -> tuple[Manifest, IntArray]:
    """The videos of one split, of split files or as the data set states it; `all` without files are all videos.

    Args:
        manifest: the data.
        split: its name.
        files: folder of split files; None takes what the data set states.
        allow_leak: whether the splits may share a video or a group, at the cost of a warning in the log.

    Raises:
        DataError: there is no such split, or it holds no video.
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


def probed(manifest: Manifest, spec: InputSpec, track: Track[Any]) -> Manifest:
    """The manifest with frame counts, of the parts that its entries are, and with frame rates where clips need them."""
    counted = cut_to_spans(probe(manifest, track), track)
    if not spec.fps:
        return counted
    rated = with_rates(counted, track)
    warn_of_unknown_rates(rated)
    return rated


def require_same_clips(data: str | Path, parts: Sequence[ClipDataset]) -> None:
    """Raise DataError where processes find other videos: they would wait for each other in different steps."""
    distributed.require_same(
        lambda: [part.digest() for part in parts],
        lambda other: DataError(
            f"process {other} finds other videos in {data} than the first: each node needs the same"
        ),
    )


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


def _augmentation(config: TrainConfig, spec: InputSpec, classes: Sequence[str]) -> Augmentation:
    """What is done to training clips on the device; nothing is mirrored where that would make a label wrong."""
    if config.flip_labels and FLIP not in config.augment:
        raise ConfigError(f"flip_labels says what {FLIP} does to labels: add {FLIP} to augment, or leave it out")
    red, green, blue = (round(255 * mean) for mean in spec.mean)
    strength = Strength(config.randaugment_ops, config.randaugment_magnitude, config.erasing, (red, green, blue))
    mirrored = mirrored_classes(classes, config.flip_labels)
    named = {name for pair in config.flip_labels.items() for name in pair}
    unpaired = [name for name in directed_classes(classes) if name not in named]
    if FLIP not in config.augment or not unpaired:
        return Augmentation(config.augment, torch.from_numpy(mirrored) if config.flip_labels else None, strength)
    _log.warning(
        "horizontal_flip is left out: a mirrored clip of class %r would show another one. Pairs of classes that change "
        'places can be given: --set \'flip_labels={"left" = "right"}\'',
        unpaired[0],
    )
    return Augmentation([name for name in config.augment if name != FLIP], strength=strength)
