"""Builder of 2D residual networks with temporal shift (Lin et al. 2019)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from actrec_zoo.nn import FeatureNetwork, LinearHead
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import torchvision_model


def temporal_shift(features: Tensor, channels: int) -> Tensor:
    """Move channels by one frame: the first ones to the frame after, as many further ones to the frame before.

    Args:
        features: [B, T, C, H, W].
        channels: how many move each way; zeros come in at the ends of the clip.
    """
    sizes = [channels, channels, features.shape[2] - 2 * channels]
    later, earlier, still = torch.split(features, sizes, dim=2)
    later = functional.pad(later, (0, 0, 0, 0, 0, 0, 1, -1))
    earlier = functional.pad(earlier, (0, 0, 0, 0, 0, 0, -1, 1))
    return torch.cat((later, earlier, still), dim=2)


class ShiftBefore:
    """Shifts what a layer takes. It is a hook, so that the parameters keep the names that pretrained weights have.

    Args:
        frames: frames of a clip, T.
        channels: how many move each way.
    """

    def __init__(self, frames: int, channels: int) -> None:
        self.frames = frames
        self.channels = channels

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        """The frames of all clips one after the other, [B * T, C, H, W], to the same shape."""
        clips = torch.unflatten(inputs[0], 0, (-1, self.frames))
        return temporal_shift(clips, self.channels).flatten(0, 1)


class TemporalShiftNetwork(FeatureNetwork):
    """A 2D network over all frames, whose blocks look at the neighbouring ones; its features are averaged over time.

    Args:
        backbone: images [B * T, 3, H, W] to vectors [B * T, D].
        width: D.
        num_classes: size of the output, K.
        frames: frames of a clip, T.
    """

    def __init__(self, backbone: nn.Module, width: int, num_classes: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.backbone = backbone
        self.head = LinearHead(width, num_classes, dropout=0.2)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to vectors [B, D]."""
        if clips.shape[2] != self.frames:
            raise ConfigError(f"the network was built for {self.frames} frames and got {clips.shape[2]}: use as many")
        images = clips.transpose(1, 2).flatten(0, 1)
        vectors = torch.unflatten(self.backbone(images), 0, (-1, self.frames))
        return vectors.mean(dim=1)


def build(
    *,
    num_classes: int,
    pretrained: str | None = None,
    backbone: str = "tiny",
    frames: int = 8,
    share: float = 0.125,
) -> TemporalShiftNetwork:
    """Build a model.

    Args:
        num_classes: size of the output.
        pretrained: `imagenet` for torchvision's weights of the backbone; None for random ones.
        backbone: `tiny`, or a ResNet of torchvision by name.
        frames: frames of a clip, T.
        share: of the channels of each block, that moves to the next frame, and that moves to the one before.

    Raises:
        ConfigError: an option does not fit.
        WeightsError: the pretrained weights do not exist or cannot be downloaded.
    """
    if not 0 <= share <= 0.5:
        raise ConfigError(f"share={share} must be from 0 to 0.5, since as many channels move each way")
    net, width = _tiny(pretrained) if backbone == "tiny" else _resnet(backbone, pretrained)
    for block in net.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            block.conv1.register_forward_pre_hook(ShiftBefore(frames, int(share * block.conv1.in_channels)))
    return TemporalShiftNetwork(net, width, num_classes, frames)


def _tiny(pretrained: str | None) -> tuple[nn.Module, int]:
    if pretrained is not None:
        raise WeightsError("the backbone 'tiny' has no pretrained weights: use `--weights none`")
    stem = (nn.Conv2d(3, 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True))
    blocks = (_narrowing_block(24, 48), _narrowing_block(48, 96), BasicBlock(96, 96))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 96


def _narrowing_block(inputs: int, outputs: int) -> BasicBlock:
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
    return BasicBlock(inputs, outputs, stride=2, downsample=shortcut)


def _resnet(name: str, pretrained: str | None) -> tuple[nn.Module, int]:
    if not name.startswith("resnet"):
        raise ConfigError(f"backbone {name!r} is no ResNet: choose tiny, resnet18, resnet34 or resnet50")
    net: Any = torchvision_model(name, pretrained=pretrained)
    width: int = net.fc.in_features
    net.fc = nn.Identity()
    return net, width
