"""Descriptions that plugins give: frozen dataclasses of plain values, importable without torch.

A spec says what a component is and where its code lives (`"module:attribute"`); the code is imported when
something is built from it.
"""

import dataclasses
import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from actrec_zoo.errors import ConfigError, PluginError

Sampling = Literal["blocks", "uniform"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]


def import_object(reference: str) -> Any:
    """Import what `"module:attribute"` names.

    Raises:
        PluginError: the module cannot be imported or has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    if not attribute:
        raise PluginError(f"{reference!r} is not of the form 'module:attribute'")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        raise PluginError(f"cannot import {reference!r}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How video becomes the input of a model: the one source of preprocessing for train, eval and predict.

    Attributes:
        frames: frames in a clip, T.
        size: side of the square that the network sees, in pixels.
        resize: what each frame is resized to before the centre crop: `(height, width)`, or the length of the
            shorter side; None resizes to the square itself.
        stride: video frames from one clip frame to the next, for `blocks` sampling.
        fps: clip frames a second of the video, instead of `stride`; None takes `stride`. Frames without times, of a
            folder or in memory, are taken to be at that rate.
        sampling: how a whole video is cut into clips for evaluation and prediction: `blocks` (non-overlapping
            runs of T frames) or `uniform` (T frames spread over the video).
        views: clips a video under `uniform` sampling, each shifted by a fraction of a segment.
        mean: per-channel mean (RGB, frames scaled to 0..1) that is subtracted.
        std: per-channel standard deviation that it is divided by.
        interpolation: of the resize, antialiased where the method allows it.
    """

    frames: int
    size: int
    resize: tuple[int, int] | int | None = None
    stride: int = 1
    fps: float | None = None
    sampling: Sampling = "blocks"
    views: int = 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        for name in ("frames", "size", "stride", "views"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"input {name} must be a whole number of at least 1, not {value!r}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ConfigError(f"input fps must be a positive number, not {self.fps!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise ConfigError(f"input mean {self.mean} and std {self.std} must have three values, no std of 0")
        if self.sampling not in ("blocks", "uniform"):
            raise ConfigError(f"input sampling must be 'blocks' or 'uniform', not {self.sampling!r}")
        if self.interpolation not in ("bilinear", "bicubic", "nearest"):
            raise ConfigError(f"unknown interpolation {self.interpolation!r}: bilinear, bicubic or nearest")
        shorter = min(self.resize) if isinstance(self.resize, tuple) else (self.resize or self.size)
        if shorter < self.size:
            raise ConfigError(f"resize {self.resize} is smaller than the crop of {self.size} pixels")

    def with_size(self, size: int) -> "InputSpec":
        """The same preprocessing for another crop size: the resize grows or shrinks in proportion."""
        scale = size / self.size
        resize: tuple[int, int] | int | None
        match self.resize:
            case (height, width):
                resize = (round(height * scale), round(width * scale))
            case int(short):
                resize = round(short * scale)
            case _:
                resize = None
        return dataclasses.replace(self, size=size, resize=resize)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpec":
        """Read back what `to_dict` wrote.

        Raises:
            ConfigError: a key is unknown or missing, or a value does not fit.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown input keys: {', '.join(unknown)}")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ConfigError(f"input settings do not fit: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A figure that somebody else published, quoted as theirs. Ratios, 0..1."""

    top1: float
    dataset: str
    protocol: str
    source: str
    top5: float | None = None


def as_published(ratio: float) -> str:
    """A published ratio in percent, with all of its digits and at least two of them after the point."""
    value = Decimal(str(ratio)) * 100
    return f"{value:.2f}" if value == round(value, 2) else f"{value.normalize():f}"


@dataclass(frozen=True, kw_only=True)
class WeightsRef:
    """Pretrained weights of a backbone: where they come from and what they are.

    Attributes:
        source: `"torchvision:Enum.MEMBER"`, fetched by torchvision; `"hf:org/name@commit"`, fetched from the
            Hugging Face Hub at that commit; or `"url:https://host/file"`, fetched by torch.hub.
        file: the file in a Hub repository.
        url: where a person finds them, named in the error when they cannot be reached.
        trained_on: data set.
        license: of the weights, not of the code that made them: an SPDX identifier, or in words what is known where
            their publisher states none.
        num_classes: size of upstream's classifier where the model can keep it: the builder then takes
            `num_classes=None`. None where the model always has a new classifier.
        labels: where upstream's class names are, where `source` has none: `"torchvision:Enum.MEMBER"`.
        reference: figure that upstream published for these weights.
        ignore_keys: patterns of checkpoint keys that the model leaves out on purpose (a replaced classifier).
    """

    source: str
    url: str
    trained_on: str
    license: str
    file: str = "model.safetensors"
    num_classes: int | None = None
    labels: str = ""
    reference: Reference | None = None
    ignore_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind, _, rest = self.source.partition(":")
        if kind == "hf" and not re.fullmatch(r"[^/@]+/[^/@]+@[0-9a-f]{40}", rest):
            raise PluginError(f"weights source {self.source!r} is not pinned: write hf:org/name@COMMIT, 40 hex digits")
        if kind not in ("torchvision", "hf", "url") or not rest:
            raise PluginError(
                f"weights source {self.source!r} is none of torchvision:Enum.MEMBER, hf:org/name@COMMIT, url:https://..."
            )
        if kind == "url" and not rest.startswith("https://"):
            raise PluginError(f"weights source {self.source!r} is not fetched safely: write url:https://...")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model: one builder with one set of options, its input, what trains, and how.

    Attributes:
        name: what users type; lower case, no slash, no colon.
        summary: one line for `actrec-zoo list`.
        architecture: the family, in words.
        builder: `"module:function"` with the signature
            `build(*, num_classes: int, pretrained: str | None = None, **options) -> nn.Module`. Where a weights
            reference has `num_classes`, `num_classes=None` keeps upstream's classifier.
        options: every architecture option with its default. An option named `frames` or `size` whose default is
            None takes the value of the input.
        input: preprocessing.
        head_options: options that shape what follows the features alone, each with values that a search tries.
            Features that are kept serve all of them.
        any_frames: whether other frame counts than `input.frames` can go through one network.
        parameters: number of parameters with `num_classes` classes.
        num_classes: number of classes when nothing else is known.
        backbone: module that pretrained weights fill.
        head: module that follows the features, or several.
        classifier: last layer, the one that a new number of classes replaces.
        groups: named parameter groups, each a tuple of patterns over parameter names. `@head`, `@classifier` and
            `@backbone` exist always.
        layers: from the input to the head, each a pattern over parameter names or a tuple of them, for `layer_decay`;
            `{n}` in a pattern stands for a number, and every number is a layer. They cover the backbone; what they do
            not cover (the head, new parts) comes behind them. Patterns that match nothing are layers that options
            leave out.
        no_decay: patterns of parameters that the setting `no_decay` spares weight decay, beside biases and norms.
        trainable: what trains by default: patterns or `@group`.
        defaults: TrainConfig keys that differ from its defaults.
        weights: pretrained weights by tag; the first is the default.
        reference: published figure.
        exportable: whether `torch.export` takes the network.
        without_gradient: patterns of parameters that train and get no gradient, each with the reason.
        card: `"package:file"`: Markdown with the sections of the model card that a person writes.
        notes: what a user should know, such as differences from the publication.
        aliases: other names that lead here.
    """

    name: str
    summary: str
    architecture: str
    builder: str
    input: InputSpec
    parameters: int
    num_classes: int = 25
    options: Mapping[str, Any] = field(default_factory=dict)
    head_options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    any_frames: bool = False
    backbone: str = "backbone"
    head: str | tuple[str, ...] = "head"
    classifier: str = "head.classifier"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: tuple[str | tuple[str, ...], ...] = ()
    no_decay: tuple[str, ...] = ()
    trainable: tuple[str, ...] = ("*",)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, WeightsRef] = field(default_factory=dict)
    reference: Reference | None = None
    exportable: bool = False
    without_gradient: Mapping[str, str] = field(default_factory=dict)
    card: str = ""
    notes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, kind in (
            ("summary", str),
            ("architecture", str),
            ("input", InputSpec),
            ("parameters", int),
            ("card", str),
        ):
            if not isinstance(getattr(self, key), kind):
                raise PluginError(f"{key} of model {self.name!r} must be of type {kind.__name__}")
        for name in (self.name, *self.aliases):
            if not name or any(c in name for c in "/\\:@ ") or name.startswith("."):
                raise PluginError(f"model name {name!r} may not be empty or hold '/', ':', '@' or spaces")

    @property
    def head_modules(self) -> tuple[str, ...]:
        """The modules that follow the features."""
        return (self.head,) if isinstance(self.head, str) else self.head

    @property
    def all_groups(self) -> dict[str, tuple[str, ...]]:
        """The declared groups and those that every model has."""
        always = {
            "backbone": (f"{self.backbone}.*",),
            "head": tuple(f"{module}.*" for module in self.head_modules),
            "classifier": (f"{self.classifier}.*",),
        }
        return always | dict(self.groups)


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """A named part that a plugin adds beside models; `builder` is `"module:attribute"`."""

    name: str
    summary: str
    builder: str


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ComponentSpec):
    """A reader of one layout: `builder` names a class of `actrec_zoo.plugin.Reader`, called without arguments."""


@dataclass(frozen=True, kw_only=True)
class TrainerSpec(ComponentSpec):
    """A training loop: `builder` names a callable `() -> actrec_zoo.training.trainer.Trainer`."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(ComponentSpec):
    """What a training step computes: `builder` names a callable `(config) -> Objective`."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A video-level metric: `builder` names a function `(labels[N], probabilities[N, K]) -> float`."""


@dataclass(frozen=True, kw_only=True)
class CallbackSpec(ComponentSpec):
    """A listener to training: `builder` names a callable `(config) -> Callback`."""


@dataclass(frozen=True, kw_only=True)
class CommandSpec(ComponentSpec):
    """A command of the command line: `builder` names a `click.Command`."""
