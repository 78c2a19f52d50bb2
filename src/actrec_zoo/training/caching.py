"""Frozen backbones run once: the clips of a run as features, where its settings allow that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.features import extract_features
from actrec_zoo.data.probe import Track
from actrec_zoo.errors import ConfigError
from actrec_zoo.evaluation.inference import TrainingData
from actrec_zoo.training.parameters import only_head_trains, set_training_mode


def with_features(
    config: TrainConfig,
    model: VideoClassifier,
    clips: tuple[ClipDataset, ClipDataset],
    folder: Path,
    track: Track[Any],
) -> tuple[TrainingData, TrainingData]:
    """Run a frozen backbone once where the settings allow it.

    Args:
        config: of the run.
        model: with the weights that the run begins with.
        clips: that train, and that validate.
        folder: where features are kept.
        track: shows the progress.

    Returns:
        Features of the clips, or the clips themselves.

    Raises:
        ConfigError: `cache_features=on`, and it cannot be done.
        RunError: the features cannot be written.
    """
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
            folder / f"{name}.f32",
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
