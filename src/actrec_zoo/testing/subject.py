"""The model under test: its spec, and a network of it with random weights that every rule finds unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.fitting import meta_network
from actrec_zoo.loading import create
from actrec_zoo.registry import RegisteredModel
from actrec_zoo.spec import InputSpec

CLASSES = 3
BATCH = 2
_COARSE = 4


class Subject:
    """A model under test.

    Args:
        model: registered or not.
        size: input side in pixels; None takes the spec's.
        frames: frames a clip; None takes the spec's.
        options: architecture options that differ from the spec's.
    """

    def __init__(
        self,
        model: RegisteredModel,
        *,
        size: int | None = None,
        frames: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.spec = model.spec
        preprocessing = model.spec.input.with_size(size) if size else model.spec.input
        self.input = replace(preprocessing, frames=frames) if frames else preprocessing
        self.options = dict(options or {})

    def with_options(self, options: Mapping[str, Any]) -> Subject:
        """The model with further options."""
        other = Subject(self.model, options={**self.options, **options})
        other.input = self.input
        return other

    def classifier(self) -> VideoClassifier:
        """The network in evaluation mode, as it was built: what a rule before did to it is undone."""
        classifier, tensors = self._built
        for name, tensor in _tensors(classifier.net).items():
            if tensor.dtype == tensors[name].dtype:
                tensor.data.copy_(tensors[name])
            else:
                tensor.data = tensors[name].clone()
        classifier.zero_grad()
        classifier.requires_grad_(True)
        torch.manual_seed(1)
        return classifier.eval()

    def meta_network(self, num_classes: int = CLASSES) -> nn.Module:
        """The same network without memory."""
        return meta_network(self.model, num_classes, self.input, self.options)

    @cached_property
    def _built(self) -> tuple[VideoClassifier, dict[str, Tensor]]:
        classifier = random_classifier(self.model, input=self.input, options=self.options)
        return classifier, {name: tensor.detach().clone() for name, tensor in _tensors(classifier.net).items()}


def random_classifier(
    model: RegisteredModel,
    *,
    input: InputSpec | None = None,  # noqa: A002 (the field's name in every format)
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> VideoClassifier:
    """The model at 3 classes, every parameter and statistic random."""
    torch.manual_seed(seed)
    labels = [f"class{number}" for number in range(CLASSES)]
    classifier = create(model, labels=labels, input=input, options=options)
    randomise(classifier.net)
    return classifier


def randomise(net: nn.Module) -> None:
    """Give every parameter a random value of a size that keeps signals alive, and batch norms random statistics."""
    for parameter in net.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        with torch.no_grad():
            parameter.copy_(torch.randn_like(parameter) * fan**-0.5 if fan > 1 else _near_one(parameter))
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)


def random_clips(model: VideoClassifier, *, frames: int | None = None, clips: int = BATCH) -> Tensor:
    """Normalised random clips of the model's input, [2, 3, T, S, S].

    Half of the noise is coarse: that of single pixels averages out in a network, and large clips would look the same.
    """
    frames, size = frames or model.input.frames, model.input.size
    coarse: Tensor = nn.functional.interpolate(
        torch.randn(clips, 3, frames, _COARSE, _COARSE), size=(frames, size, size)
    )
    return (coarse + torch.randn(clips, 3, frames, size, size)) * math.sqrt(0.5)


def close(first: Tensor, second: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two outputs agree but for rounding, relative to the largest value."""
    scale = max(1.0, float(first.abs().max()))
    return bool((first - second).abs().max() <= tolerance * scale)


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def _near_one(parameter: nn.Parameter) -> Tensor:
    return 1 + 0.1 * torch.randn_like(parameter) if parameter.dim() == 1 else torch.randn_like(parameter)
