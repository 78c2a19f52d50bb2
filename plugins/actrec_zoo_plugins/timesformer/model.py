"""Builder of TimeSformer on transformers' implementation."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import TimesformerConfig, TimesformerForVideoClassification

from actrec_zoo.nn import FeatureNetwork, require_multiple, transformer_classifier
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import build_filled, hub_state
from actrec_zoo_plugins.timesformer import WEIGHTS
from actrec_zoo_plugins.timesformer.attention import fuse_attention

PATCH = 16
_FRAMES, _SIDE = 8, 14
"""Frames and patches a side that the weights were made for."""
_TIME = "timesformer.embeddings.time_embeddings"
_SPACE = "timesformer.embeddings.position_embeddings"


class TimeSformer(FeatureNetwork):
    """A vision transformer over the patches of all frames whose attention is divided into time and space.

    Parameters have upstream's key names, so that transformers can load them too.

    Args:
        upstream: transformers' model, whose layers are taken over.
    """

    def __init__(self, upstream: TimesformerForVideoClassification) -> None:
        super().__init__()
        self.timesformer: nn.Module = upstream.timesformer
        self.classifier: nn.Linear = upstream.classifier
        self._config: TimesformerConfig = upstream.config
        fuse_attention(self.timesformer)

    def transformers_config(self) -> dict[str, object]:
        """What transformers needs in config.json to load these weights."""
        return {**self._config.to_diff_dict(), "architectures": ["TimesformerForVideoClassification"]}

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to the class token [B, 768]."""
        return cast(Tensor, self.timesformer(clips.transpose(1, 2)).last_hidden_state[:, 0])

    def forward_head(self, features: Tensor) -> Tensor:
        """Class tokens [B, 768] to logits [B, K]."""
        return cast(Tensor, self.classifier(features))


def build(
    *,
    num_classes: int | None,
    pretrained: str | None = None,
    frames: int = 8,
    size: int = 224,
    layers: int = 12,
) -> TimeSformer:
    """Build TimeSformer-base.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        pretrained: a tag of `WEIGHTS`; None for random weights.
        frames: frames in a clip; pretrained time embeddings are repeated for more of them.
        size: side of the frames in pixels, a multiple of 16.
        layers: transformer layers.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded, or do not fit.
    """
    require_multiple("size", size, PATCH, f"the patch of {PATCH} pixels")
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    settings = {
        "num_frames": frames,
        "image_size": size,
        "num_hidden_layers": layers,
    }
    if pretrained is None:
        if num_classes is None:
            raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
        return _network(settings, num_classes)
    if pretrained not in WEIGHTS:
        raise WeightsError(f"TimeSformer has no weights {pretrained!r}: {', '.join(WEIGHTS)}")
    weights = WEIGHTS[pretrained]
    state = fit_positions(hub_state(weights), frames=frames, size=size)
    net = build_filled(lambda: _network(settings, weights.num_classes), weights, state)
    if num_classes is not None:
        net.classifier = transformer_classifier(net.classifier.in_features, num_classes)
    return net


def fit_positions(state: Mapping[str, Tensor], *, frames: int, size: int) -> dict[str, Tensor]:
    """Upstream's tensors with time and position embeddings for another number of frames and another size.

    The nearest embedding is taken, as upstream does (`mode="nearest"`). Tables of another shape than upstream's are
    left as they are, for the strict loading to refuse.
    """
    fitted = dict(state)
    side = size // PATCH
    if _is_table(fitted.get(_TIME), _FRAMES):
        time = fitted[_TIME].transpose(1, 2)
        fitted[_TIME] = functional.interpolate(time, size=frames, mode="nearest").transpose(1, 2).contiguous()
    if _is_table(fitted.get(_SPACE), 1 + _SIDE**2):
        class_token, patches = fitted[_SPACE][:, :1], fitted[_SPACE][:, 1:]
        grid = patches.transpose(1, 2).reshape(1, -1, _SIDE, _SIDE)
        grid = functional.interpolate(grid, size=(side, side), mode="nearest").flatten(2).transpose(1, 2)
        fitted[_SPACE] = torch.cat((class_token, grid), dim=1)
    return fitted


def _is_table(tensor: Tensor | None, length: int) -> bool:
    return tensor is not None and tensor.dim() == 3 and tensor.shape[:2] == (1, length)


def _network(settings: Mapping[str, object], num_classes: int | None) -> TimeSformer:
    return TimeSformer(TimesformerForVideoClassification(TimesformerConfig(**settings, num_labels=num_classes)))
