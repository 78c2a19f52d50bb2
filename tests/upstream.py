"""Upstream's checkpoints: made from upstream's own classes with random values, in upstream's own files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models
from transformers import (
    PreTrainedModel,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
)

from actrec_zoo.spec import ModelSpec, WeightsRef
from actrec_zoo.testing import randomise

SAFETENSORS = "model.safetensors"


def weights_of(spec: ModelSpec) -> WeightsRef:
    """The default weights of a model."""
    return next(iter(spec.weights.values()))


def timesformer(classes: int, **settings: Any) -> TimesformerForVideoClassification:
    """transformers' TimeSformer, every value random."""
    return randomised(TimesformerForVideoClassification(TimesformerConfig(num_labels=classes, **settings)))


def videomae(classes: int, variant: str, **settings: Any) -> VideoMAEForVideoClassification:
    """transformers' VideoMAE, every value random; ViT-S with the authors' 6 heads."""
    small = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6} if variant == "small" else {}
    return randomised(VideoMAEForVideoClassification(VideoMAEConfig(num_labels=classes, **small, **settings)))


def torchvision_network(name: str) -> nn.Module:
    """torchvision's model with its own number of classes, every value random."""
    return randomised(models.get_model(name, weights=None))


def randomised(network: Any) -> Any:
    torch.manual_seed(7)
    randomise(network)
    return network.eval()


def difference(output: Tensor, reference: Tensor) -> float:
    """Largest difference, as a share of the largest value where that is above 1."""
    assert output.shape == reference.shape
    return float((output - reference).abs().max() / reference.abs().max().clamp(min=1))


def class_names(count: int) -> list[str]:
    """Names whose order is not the alphabet's."""
    return [f"action {(7 * i + 3) % count} of {count}" for i in range(count)]


def write_files(folder: Path, file: str, network: PreTrainedModel, labels: Sequence[str]) -> Path:
    """config.json and the weights as transformers writes them, in `file`'s format."""
    network.config.id2label = dict(enumerate(labels))
    network.config.label2id = {label: i for i, label in enumerate(labels)}
    network.save_pretrained(folder)
    if file != SAFETENSORS:
        torch.save(safetensors.torch.load_file(folder / SAFETENSORS), folder / file)
        (folder / SAFETENSORS).unlink()
    return folder


def snapshot_folder(cache: Path, weights: WeightsRef) -> Path:
    """Where the Hub's client keeps the files of the pinned commit."""
    repository, _, commit = weights.source.removeprefix("hf:").partition("@")
    return cache / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def publish(cache: Path, weights: WeightsRef, network: PreTrainedModel, labels: Sequence[str]) -> Path:
    """Put upstream's files where the Hub's client finds a commit that it has pulled before."""
    return write_files(snapshot_folder(cache, weights), weights.file, network, labels)


def publish_torchvision(home: Path, weights: WeightsRef, state: dict[str, Tensor]) -> Path:
    """Put a state dict where torchvision finds a file that it has downloaded before."""
    file = home / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file
