"""Builder of the tiny 3D CNN."""

from typing import cast

from torch import Tensor, nn

from actrec_zoo.nn import FeatureNetwork, LinearHead
from actrec_zoo.plugin import WeightsError


class TinyConv3d(FeatureNetwork):
    """Three stages of factorised (2+1)D convolutions with batch norm, averaged over time and space.

    Args:
        num_classes: size of the output.
        width: channels of the first stage; each further stage doubles them.
        dropout: before the classifier.
    """

    def __init__(self, num_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            _stage(3, width, spatial_stride=4, temporal_stride=1),
            _stage(width, 2 * width, spatial_stride=2, temporal_stride=1),
            _stage(2 * width, 4 * width, spatial_stride=2, temporal_stride=2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )
        self.head = LinearHead(4 * width, num_classes, dropout)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to pooled features [B, D]."""
        return cast(Tensor, self.backbone(clips))


def build(*, num_classes: int, pretrained: str | None = None, width: int = 24, dropout: float = 0.0) -> TinyConv3d:
    """Build the model; see `TinyConv3d`.

    Raises:
        WeightsError: pretrained weights are asked for; there are none.
    """
    if pretrained is not None:
        raise WeightsError("tiny_conv3d has no pretrained weights: use `--weights none`")
    return TinyConv3d(num_classes, width, dropout)


def _stage(inputs: int, outputs: int, *, spatial_stride: int, temporal_stride: int) -> nn.Sequential:
    kernel = 2 * spatial_stride - 1
    return nn.Sequential(
        nn.Conv3d(
            inputs,
            outputs,
            (1, kernel, kernel),
            stride=(1, spatial_stride, spatial_stride),
            padding=(0, kernel // 2, kernel // 2),
            bias=False,
        ),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv3d(outputs, outputs, (3, 1, 1), stride=(temporal_stride, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )
