"""Frozen backbones run once: the clips of a run as features, where its settings allow that."""

from __future__ import annotations

import hashlib
import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.feature_extraction import Extraction
from actrec_zoo.data.feature_store import FeatureStore, bytes_of, features_folder, limit_in_bytes, make_room
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.fingerprint import fingerprints
from actrec_zoo.data.probe import Track
from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.evaluation.inference import TrainingData
from actrec_zoo.precision import autocast, resolve_precision
from actrec_zoo.training.parameters import is_of_head, set_training_mode

_FORMAT = 2
_LIBRARIES = ("actrec-zoo", "av", "numpy", "pillow", "simplejpeg", "torch", "torchcodec", "torchvision", "transformers")
_log = logging.getLogger(__name__)


def with_features(
    config: TrainConfig, model: VideoClassifier, clips: tuple[ClipDataset, ClipDataset], track: Track[Any]
) -> tuple[TrainingData, TrainingData]:
    """Run a frozen backbone once where the settings allow it; several processes share the work.

    The features are kept in the user's cache folder, for this run and others.

    Args:
        config: of the run.
        model: with the weights that the run begins with.
        clips: that train, and that validate.
        track: shows the progress.

    Returns:
        Features of the clips, or the clips themselves.

    Raises:
        ConfigError: `cache_features=on`, and it cannot be done; or the limit of the cache is no number.
        RunError: `cache_features=on`, and the features cannot be written.
    """
    obstacle = obstacle_to_caching(config, model, clips[0])
    if config.cache_features == "on" and obstacle:
        raise ConfigError(f"cache_features=on is not possible: {obstacle}")
    if config.cache_features == "off" or obstacle or not all(len(part) for part in clips):
        return clips
    limit_in_bytes()  # what is wrong with it is told now, and not after the work
    try:
        return _features(config, model, clips, track)
    except RunError as error:
        if config.cache_features == "on":
            raise
        _log.warning("the backbone runs in every epoch: %s", error)
        return clips


def obstacle_to_caching(config: TrainConfig, model: VideoClassifier, clips: ClipDataset) -> str:
    """Why the backbone has to run in every epoch, or an empty string."""
    outside = [n for n, p in model.net.named_parameters() if p.requires_grad and not is_of_head(n, model.spec)]
    if outside:
        return f"more than the head trains ({outside[0]}), and the features with it: --trainable @head trains the head"
    if config.mixup or config.cutmix:
        return "mixup and cutmix mix the pixels of clips, in other pairs in every epoch: leave them out"
    if not clips.deterministic and config.feature_views is None:
        return (
            "the training clips differ from epoch to epoch (random sampling or augmentation): "
            "feature_views=K keeps K versions of each, sampling=blocks without augmentation needs one"
        )
    return ""


def _features(
    config: TrainConfig, model: VideoClassifier, clips: tuple[ClipDataset, ClipDataset], track: Track[Any]
) -> tuple[FeatureDataset, FeatureDataset]:
    precision = resolve_precision(config.precision, model.device)

    @torch.inference_mode()
    def compute(inputs: Tensor) -> Tensor:
        with autocast(model.device, precision):
            return model.forward_features(model.preprocess(inputs))

    set_training_mode(model)
    extraction = Extraction(
        compute,
        batch_size=config.evaluated_at_once(distributed.size()),
        device=model.device,
        dtype=getattr(torch, config.features_dtype),
        workers=config.workers or 0,
        track=track,
    )
    backbone = {**describe_backbone(model), "dtype": config.features_dtype, "precision": precision}
    views = 1 if clips[0].deterministic else min(config.feature_views or 1, config.epochs)
    found = [
        [
            extraction.run(part, view, FeatureStore(features_folder(), {**of_view, **backbone}, len(part)))
            for view, of_view in enumerate(fingerprints(part, number))
        ]
        for part, number in zip(clips, (views, 1), strict=True)
    ]
    keep = [features.folder for part in found for features in part]
    leads = distributed.crew(features_folder()).leads
    distributed.together(lambda: make_room(features_folder(), keep) if leads else None)
    return FeatureDataset(clips[0], found[0]), FeatureDataset(clips[1], found[1])


def describe_backbone(model: VideoClassifier) -> dict[str, Any]:
    """What decides the features of given clips, as plain values; options of the head alone are no part of it."""
    options = {**model.spec.options, **model.options}
    return {
        "format": _FORMAT,
        "builder": model.spec.builder,
        "options": {name: repr(value) for name, value in options.items() if name not in model.spec.head_options},
        "backbone": _digest_of_backbone(model),
        "device": model.device.type,
        "versions": {name: _version(name) for name in _LIBRARIES},
    }


def _digest_of_backbone(model: VideoClassifier) -> str:
    """Changes with any tensor before the head, and with any module there as it prints itself."""
    digest = hashlib.sha256()
    for name, module in model.net.named_modules():
        if name and not is_of_head(f"{name}.", model.spec):
            digest.update(f"{name} {type(module).__qualname__} {module.extra_repr()}\n".encode())
    for name, tensor in (*model.net.named_parameters(), *model.net.named_buffers()):
        if not is_of_head(name, model.spec):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(bytes_of(tensor))
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
