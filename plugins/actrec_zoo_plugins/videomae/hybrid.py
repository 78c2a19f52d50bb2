"""Builder of the study's hybrid: a convolutional stem beside a TimeSformer, and a masked linear classifier."""

import torch
from torch import Tensor, nn

from actrec_zoo.nn import FeatureNetwork, MaskedLinear
from actrec_zoo.plugin import ConfigError
from actrec_zoo_plugins.timesformer.model import TimeSformer
from actrec_zoo_plugins.timesformer.model import build as build_timesformer


class Stem(nn.Sequential):
    """Spatial convolution, batch norm, ReLU and max pooling over time and space, averaged to one vector.

    Args:
        width: channels of the convolution.
    """

    def __init__(self, width: int) -> None:
        convolution = nn.Conv3d(3, width, (1, 3, 3), padding=(0, 1, 1))
        nn.init.xavier_uniform_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        super().__init__(
            convolution,
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )


class MaskedHead(nn.Sequential):
    """Layer norm, dropout and a masked linear classifier.

    Args:
        width: size of the combined features.
        num_classes: size of the output.
        dropout: before the classifier.
        keep: share of the classifier's weights that the mask keeps.
    """

    def __init__(self, width: int, num_classes: int, dropout: float, keep: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = MaskedLinear(width, num_classes, keep=keep)


class HybridTimeSformer(FeatureNetwork):
    """Features of a stem and of a TimeSformer, side by side, under a masked head.

    Args:
        timesformer: its classifier is left out.
        num_classes: size of the output.
        stem_width: channels of the stem.
        dropout: before the classifier.
        keep: share of the classifier's weights that the mask keeps.
    """

    def __init__(
        self, timesformer: TimeSformer, num_classes: int, *, stem_width: int, dropout: float, keep: float
    ) -> None:
        super().__init__()
        self.timesformer = timesformer.timesformer
        self.stem = Stem(stem_width)
        self.head = MaskedHead(stem_width + timesformer.classifier.in_features, num_classes, dropout, keep)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to the combined features [B, stem width + 768]."""
        class_token = self.timesformer(clips.transpose(1, 2)).last_hidden_state[:, 0]
        return torch.cat((self.stem(clips), class_token), dim=1)


def build(
    *,
    num_classes: int,
    pretrained: str | None = None,
    frames: int = 8,
    size: int = 224,
    layers: int = 12,
    stem_width: int = 64,
    dropout: float = 0.5,
    keep: float = 0.9,
) -> HybridTimeSformer:
    """Build the hybrid.

    Args:
        num_classes: size of the output.
        pretrained: a tag of TimeSformer's weights; None for random ones.
        frames: frames in a clip, at least 2.
        size: side of the frames in pixels, a multiple of 16.
        layers: transformer layers.
        stem_width: channels of the stem.
        dropout: before the classifier.
        keep: share of the classifier's weights that the mask keeps, above 0 and up to 1.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded, or do not fit.
    """
    if frames < 2:
        raise ConfigError(f"frames={frames} is too few for the temporal pooling of the stem: take 2 or more")
    if stem_width < 1:
        raise ConfigError(f"stem_width={stem_width} must be 1 or more")
    timesformer = build_timesformer(
        num_classes=None if pretrained else 1, pretrained=pretrained, frames=frames, size=size, layers=layers
    )
    return HybridTimeSformer(timesformer, num_classes, stem_width=stem_width, dropout=dropout, keep=keep)
