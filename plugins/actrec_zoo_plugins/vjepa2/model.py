"""Builder of V-JEPA 2 for classification on transformers' implementation."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from transformers import VJEPA2Config, VJEPA2ForVideoClassification, VJEPA2Model

from actrec_zoo.nn import FeatureNetwork, require_multiple
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import build_filled, hub_state
from actrec_zoo_plugins.vjepa2 import WEIGHTS

PATCH = 16
TUBELET = 2


class VJEPA2(FeatureNetwork):
    """A vision transformer over tubelets with rotary positions, whose tokens an attentive probe reads.

    Parameters have upstream's key names, so that transformers can load them too.

    Args:
        upstream: transformers' model, whose layers are taken over; its predictor is left out.
    """

    def __init__(self, upstream: VJEPA2ForVideoClassification) -> None:
        super().__init__()
        del upstream.vjepa2.predictor
        self.vjepa2: VJEPA2Model = upstream.vjepa2
        self.pooler: nn.Module = upstream.pooler
        self.classifier: nn.Linear = upstream.classifier
        self._config: VJEPA2Config = upstream.config

    def transformers_config(self) -> dict[str, object]:
        """What transformers needs in config.json to load these weights."""
        return {**self._config.to_diff_dict(), "architectures": ["VJEPA2ForVideoClassification"]}

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to tokens [B, T/2 * H/16 * W/16, 1024]."""
        return cast(Tensor, self.vjepa2.encoder(clips.transpose(1, 2)).last_hidden_state)

    def forward_head(self, features: Tensor) -> Tensor:
        """Tokens [B, N, 1024] to logits [B, K]."""
        return cast(Tensor, self.classifier(self.pooler(features)))


def build(
    *,
    num_classes: int,
    pretrained: str | None = None,
    frames: int = 16,
    size: int = 256,
    layers: int = 24,
    probe_layers: int = 3,
) -> VJEPA2:
    """Build V-JEPA 2 ViT-L with an attentive probe.

    Args:
        num_classes: size of the output.
        pretrained: a tag of `WEIGHTS`, for all but the probe; None for random weights.
        frames: frames in a clip, a multiple of 2; positions are rotations, so weights fit any number.
        size: side of the frames in pixels, a multiple of 16; likewise.
        layers: transformer layers.
        probe_layers: self-attention layers of the probe, before the cross-attention that pools.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded, or do not fit.
    """
    require_multiple("frames", frames, TUBELET, f"the tubelet of {TUBELET} frames")
    require_multiple("size", size, PATCH, f"the patch of {PATCH} pixels")
    if layers < 1 or probe_layers < 0:
        raise ConfigError(f"layers={layers} must be 1 or more, probe_layers={probe_layers} 0 or more")
    settings = {"frames_per_clip": frames, "crop_size": size, "num_pooler_layers": probe_layers}
    if pretrained is None:
        return _network({**settings, "num_hidden_layers": layers}, num_classes)
    if pretrained not in WEIGHTS:
        raise WeightsError(f"V-JEPA 2 has no weights {pretrained!r}: {', '.join(WEIGHTS)}")
    weights = WEIGHTS[pretrained]
    state = {f"vjepa2.{key}": tensor for key, tensor in hub_state(weights).items()}
    probe = _network({**settings, "num_hidden_layers": 0}, num_classes).state_dict()
    state |= {key: tensor for key, tensor in probe.items() if not key.startswith("vjepa2.")}
    return build_filled(lambda: _network({**settings, "num_hidden_layers": layers}, num_classes), weights, state)


def _network(settings: Mapping[str, int], num_classes: int) -> VJEPA2:
    return VJEPA2(VJEPA2ForVideoClassification(VJEPA2Config(**settings, num_labels=num_classes)))
