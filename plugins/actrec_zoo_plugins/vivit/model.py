"""Builder of ViViT on transformers' implementation."""

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import VivitConfig, VivitForVideoClassification

from actrec_zoo.nn import FeatureNetwork, require_multiple, transformer_classifier
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import build_filled, hub_state
from actrec_zoo_plugins.vivit import WEIGHTS

PATCH = 16
TUBELET = 2
_GRID = (16, 14, 14)
"""Tubelets of the weights in time, height and width."""
_POSITIONS = "vivit.embeddings.position_embeddings"
_RENAMED = {
    ".encoder.layer.": ".layers.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
"""Keys of upstream's file, which is older than the names that transformers gives its layers today."""


class ViViT(FeatureNetwork):
    """A vision transformer over tubelets, two frames of 16x16 pixels each, that attends in time and space at once.

    Parameters have upstream's key names, so that transformers can load them too.

    Args:
        upstream: transformers' model, whose layers are taken over.
    """

    def __init__(self, upstream: VivitForVideoClassification) -> None:
        super().__init__()
        self.vivit: nn.Module = upstream.vivit
        self.classifier: nn.Linear = upstream.classifier
        self._config: VivitConfig = upstream.config

    def transformers_config(self) -> dict[str, object]:
        """What transformers needs in config.json to load these weights."""
        return {**self._config.to_diff_dict(), "architectures": ["VivitForVideoClassification"]}

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to the class token [B, 768]."""
        return cast(Tensor, self.vivit(clips.transpose(1, 2)).last_hidden_state[:, 0])

    def forward_head(self, features: Tensor) -> Tensor:
        """Class tokens [B, 768] to logits [B, K]."""
        return cast(Tensor, self.classifier(features))


def build(
    *, num_classes: int | None, pretrained: str | None = None, frames: int = 32, size: int = 224, layers: int = 12
) -> ViViT:
    """Build ViViT-B/16x2.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        pretrained: a tag of `WEIGHTS`; None for random weights.
        frames: frames in a clip, a multiple of 2; pretrained positions are interpolated for another number.
        size: side of the frames in pixels, a multiple of 16; likewise.
        layers: transformer layers.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded, or do not fit.
    """
    require_multiple("frames", frames, TUBELET, f"the tubelet of {TUBELET} frames")
    require_multiple("size", size, PATCH, f"the patch of {PATCH} pixels")
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    settings = {"num_frames": frames, "image_size": size, "num_hidden_layers": layers}
    if pretrained is None:
        if num_classes is None:
            raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
        return _network(settings, num_classes)
    if pretrained not in WEIGHTS:
        raise WeightsError(f"ViViT has no weights {pretrained!r}: {', '.join(WEIGHTS)}")
    weights = WEIGHTS[pretrained]
    state = fit_positions(renamed(hub_state(weights)), frames=frames, size=size)
    net = build_filled(lambda: _network(settings, cast(int, weights.num_classes)), weights, state)
    if num_classes is not None:
        net.classifier = transformer_classifier(net.classifier.in_features, num_classes)
    return net


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Upstream's tensors under the names that the layers have today."""
    return {_rename(key): tensor for key, tensor in state.items()}


def _rename(key: str) -> str:
    for old, new in _RENAMED.items():
        key = key.replace(old, new)
    return key


def fit_positions(state: Mapping[str, Tensor], *, frames: int, size: int) -> dict[str, Tensor]:
    """Upstream's tensors with position embeddings for another number of frames and another size.

    They are interpolated linearly in time and space. A table of another shape than upstream's is left as it is, for
    the strict loading to refuse.
    """
    fitted = dict(state)
    grid = (frames // TUBELET, size // PATCH, size // PATCH)
    table = fitted.get(_POSITIONS)
    if grid != _GRID and table is not None and table.dim() == 3 and table.shape[:2] == (1, 1 + math.prod(_GRID)):
        class_token, tubelets = table[:, :1], table[:, 1:]
        old = tubelets.transpose(1, 2).reshape(1, -1, *_GRID)
        new = functional.interpolate(old, size=grid, mode="trilinear", align_corners=False)
        fitted[_POSITIONS] = torch.cat((class_token, new.flatten(2).transpose(1, 2)), dim=1)
    return fitted


def _network(settings: Mapping[str, int], num_classes: int) -> ViViT:
    return ViViT(VivitForVideoClassification(VivitConfig(**settings, num_labels=num_classes)))
