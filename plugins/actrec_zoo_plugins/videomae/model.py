"""Builder of VideoMAE for classification on transformers' implementation."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from actrec_zoo.nn import FeatureNetwork, require_multiple, transformer_classifier
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import build_filled, hub_state
from actrec_zoo_plugins.videomae import WEIGHTS

PATCH = 16
TUBELET = 2
_VARIANTS: Mapping[str, Mapping[str, int]] = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "small": {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6},
}
_RENAMED = {
    "attention.attention.q_bias": "attention.attention.query.bias",
    "attention.attention.v_bias": "attention.attention.value.bias",
}
"""Keys that upstream's files have from before transformers gave each projection its own bias."""


class VideoMAE(FeatureNetwork):
    """A vision transformer over tubelets, two frames of 16x16 pixels each, whose tokens are averaged.

    Parameters have upstream's key names, so that transformers can load them too.

    Args:
        upstream: transformers' model, whose layers are taken over.
        frames: in a clip.
        size: side of the frames in pixels.
    """

    def __init__(self, upstream: VideoMAEForVideoClassification, frames: int, size: int) -> None:
        super().__init__()
        self.videomae: nn.Module = upstream.videomae
        self.fc_norm: nn.LayerNorm = upstream.fc_norm
        self.classifier: nn.Linear = upstream.classifier
        self._config: VideoMAEConfig = upstream.config
        self._config.update({"num_frames": frames, "image_size": size})

    def transformers_config(self) -> dict[str, object]:
        """What transformers needs in config.json to load these weights."""
        return {**self._config.to_diff_dict(), "architectures": ["VideoMAEForVideoClassification"]}

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to the normalised mean of the tokens, [B, D]."""
        tokens = self.videomae(clips.transpose(1, 2)).last_hidden_state
        return cast(Tensor, self.fc_norm(tokens.mean(dim=1)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Features [B, D] to logits [B, K]."""
        return cast(Tensor, self.classifier(features))


def build(
    *,
    num_classes: int | None,
    pretrained: str | None = None,
    variant: str = "base",
    frames: int = 16,
    size: int = 224,
    layers: int = 12,
    heads: int | None = None,
) -> VideoMAE:
    """Build VideoMAE for classification.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        pretrained: a tag of `WEIGHTS[variant]`; None for random weights.
        variant: `base` (ViT-B) or `small` (ViT-S).
        frames: frames in a clip, a multiple of 2; positions are fixed sinusoids, so weights fit any number.
        size: side of the frames in pixels, a multiple of 16.
        layers: transformer layers.
        heads: attention heads; None takes the variant's.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights do not exist, cannot be downloaded, or do not fit.
    """
    settings = _settings(variant, layers, heads)
    require_multiple("frames", frames, TUBELET, f"the tubelet of {TUBELET} frames")
    require_multiple("size", size, PATCH, f"the patch of {PATCH} pixels")
    if pretrained is None:
        if num_classes is None:
            raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
        return _network(settings, num_classes, frames, size)
    if pretrained not in WEIGHTS[variant]:
        raise WeightsError(f"variant {variant!r} has no weights {pretrained!r}: {', '.join(WEIGHTS[variant])}")
    weights = WEIGHTS[variant][pretrained]
    state = renamed(hub_state(weights), weights.source)
    net = build_filled(lambda: _network(settings, cast(int, weights.num_classes), frames, size), weights, state)
    if num_classes is not None:
        net.classifier = transformer_classifier(settings["hidden_size"], num_classes)
    return net


def _settings(variant: str, layers: int, heads: int | None) -> dict[str, int]:
    if variant not in _VARIANTS:
        raise ConfigError(f"variant {variant!r} is none of {', '.join(_VARIANTS)}")
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    settings = {**_VARIANTS[variant], "num_hidden_layers": layers}
    width = settings["hidden_size"]
    if heads is not None:
        if heads < 1 or width % heads:
            raise ConfigError(f"heads={heads} does not divide the width {width}: choose a divisor")
        settings["num_attention_heads"] = heads
    return settings


def renamed(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Upstream's tensors under the names that the layers have today.

    Raises:
        WeightsError: a tensor is there under both its names.
    """
    new = {_rename(key): tensor for key, tensor in state.items()}
    twice = [key for key in state if _rename(key) != key and _rename(key) in state]
    if twice:
        raise WeightsError(f"{source} does not fit the model. {twice[0]} is there under its new name too.")
    return new


def _rename(key: str) -> str:
    for old, new in _RENAMED.items():
        key = key.replace(old, new)
    return key


def _network(settings: Mapping[str, int], num_classes: int, frames: int, size: int) -> VideoMAE:
    """The network without weights.

    Upstream computes its table of positions element by element, which takes seconds: it is built for one patch and
    given the table of all of them. Some versions of transformers give the keys a bias; the weights have none.
    """
    upstream = VideoMAEForVideoClassification(
        VideoMAEConfig(**settings, num_frames=TUBELET, image_size=PATCH, num_labels=num_classes)
    )
    embeddings = upstream.videomae.embeddings
    patches = frames // TUBELET * (size // PATCH) ** 2
    embeddings.num_patches = embeddings.patch_embeddings.num_patches = patches
    embeddings.patch_embeddings.image_size = (size, size)
    embeddings.position_embeddings = position_table(patches, settings["hidden_size"])
    for layer in upstream.videomae.encoder.layer:
        layer.attention.attention.key.bias = None
    return VideoMAE(upstream, frames, size)


def position_table(length: int, width: int) -> Tensor:
    """Upstream's fixed sinusoids, float32[1, length, width], computed in double precision on the CPU."""
    column = torch.arange(width, dtype=torch.float64, device="cpu")
    position = torch.arange(length, dtype=torch.float64, device="cpu").unsqueeze(1)
    angle = position / 10000.0 ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float().unsqueeze(0)
