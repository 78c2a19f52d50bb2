"""Builder of the 3D ResNets with a linear or a transformer head."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from actrec_zoo.nn import FeatureNetwork, LinearHead, Readout, TokenHead
from actrec_zoo.plugin import ConfigError
from actrec_zoo.weights import torchvision_model

_BACKBONES = ("r3d_18", "mc3_18", "r2plus1d_18")
_WIDTH = 512


class LogitsR3D(FeatureNetwork):
    """A 3D ResNet that keeps its Kinetics classifier, and a linear layer on those logits.

    Args:
        backbone: torchvision's VideoResNet.
        num_classes: size of the output; None begins with the identity, so that the logits are upstream's.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        upstream_classes = cast(nn.Linear, backbone.fc).out_features
        self.head = LinearHead(upstream_classes, upstream_classes if num_classes is None else num_classes)
        if num_classes is None:
            nn.init.eye_(self.head.classifier.weight)
            nn.init.zeros_(self.head.classifier.bias)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to upstream's logits [B, 400]."""
        return cast(Tensor, self.backbone(clips))


class TokenR3D(FeatureNetwork):
    """A 3D ResNet whose last feature map, pooled to a grid or whole, is read by a transformer head.

    Args:
        backbone: torchvision's VideoResNet; its classifier is removed, its key names stay upstream's.
        grid: time x height x width of the average pool's output; None keeps every position.
        head: takes tokens [B, N, 512].
    """

    def __init__(self, backbone: nn.Module, grid: tuple[int, int, int] | None, head: TokenHead) -> None:
        super().__init__()
        backbone.avgpool = nn.Identity() if grid is None else nn.AdaptiveAvgPool3d(grid)
        backbone.fc = nn.Identity()
        self.backbone = backbone
        self.head = head

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to tokens [B, N, 512], one a position of the grid."""
        features = clips
        for name in ("stem", "layer1", "layer2", "layer3", "layer4", "avgpool"):
            features = cast(nn.Module, getattr(self.backbone, name))(features)
        return features.flatten(2).transpose(1, 2)


def build(
    *,
    num_classes: int | None,
    pretrained: str | None = None,
    backbone: str = "r3d_18",
    layers: int = 2,
    heads: int = 8,
    grid: Sequence[int] | None = None,
    feedforward: int = 512,
    dropout: float = 0.3,
    readout: Readout = "mean",
) -> nn.Module:
    """Build a 3D ResNet with a head.

    Args:
        num_classes: size of the output; None, with 0 layers alone, keeps the Kinetics logits as they are.
        pretrained: `kinetics400` for torchvision's weights of the backbone; None for random ones.
        backbone: `r3d_18`, `mc3_18` or `r2plus1d_18`.
        layers: encoder layers; 0 keeps the Kinetics classifier and adds a linear layer on its logits.
        heads: attention heads, a divisor of 512.
        grid: tokens over time, height and width that the average pool keeps; None takes every position.
        feedforward: width of the feed-forward part of a layer.
        dropout: in the encoder.
        readout: `flatten` (needs a grid), `mean` or `cls`.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded.
    """
    if backbone not in _BACKBONES:
        raise ConfigError(f"backbone {backbone!r} is none of {', '.join(_BACKBONES)}")
    if num_classes is None and pretrained is None:
        raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
    if num_classes is None and layers:
        raise ConfigError("an encoder takes the place of the Kinetics classifier: give num_classes")
    net = torchvision_model(backbone, pretrained=pretrained)
    if num_classes is None or layers == 0:
        return LogitsR3D(net, num_classes)
    size = _checked_grid(grid)
    head = TokenHead(
        _WIDTH,
        num_classes,
        tokens=None if size is None else size[0] * size[1] * size[2],
        layers=layers,
        heads=heads,
        feedforward=feedforward,
        dropout=dropout,
        readout=readout,
    )
    return TokenR3D(net, size, head)


def _checked_grid(grid: Sequence[int] | None) -> tuple[int, int, int] | None:
    if grid is None:
        return None
    match grid:
        case [int(time), int(height), int(width)] if min(grid) > 0:
            return time, height, width
    raise ConfigError(f"grid must be three whole numbers (time, height, width), not {grid!r}")
