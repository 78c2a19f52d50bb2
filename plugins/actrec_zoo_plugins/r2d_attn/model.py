"""Builder of the frame-wise 2D CNN with a transformer encoder over time."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision import models

from actrec_zoo.nn import FeatureNetwork, Readout, TokenHead
from actrec_zoo.plugin import ConfigError
from actrec_zoo.weights import torchvision_model

_CLASSIFIER_NAMES = ("fc", "classifier", "head", "heads")


class FrameTransformer(FeatureNetwork):
    """A 2D CNN turns each frame into a token; a transformer head reads the tokens of the clip.

    The CNN gets its frames in the channels-last layout: about half the time on a CPU for the small backbones.

    Args:
        backbone: images [N, 3, H, W] to vectors [N, D].
        head: tokens [B, T, D] to logits [B, K].
    """

    def __init__(self, backbone: nn.Module, head: TokenHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to one token a frame, [B, T, D]."""
        frames = clips.transpose(1, 2)
        images = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        tokens = self.backbone(images).flatten(1)
        return cast(Tensor, tokens.unflatten(0, frames.shape[:2]))


def build(
    *,
    num_classes: int,
    pretrained: str | None = None,
    backbone: str = "resnet50",
    backbone_args: Mapping[str, Any] | None = None,
    frames: int = 8,
    layers: int = 1,
    heads: int = 8,
    feedforward: int | None = None,
    dropout: float = 0.3,
    readout: Readout = "flatten",
    project: int | None = None,
    center: bool = False,
) -> FrameTransformer:
    """Build a frame-wise CNN with class token, sinusoidal positions and a transformer encoder over time.

    Args:
        num_classes: size of the output.
        pretrained: `imagenet` for torchvision's weights of the backbone; None for random ones.
        backbone: any image classifier of torchvision by name; its classifier is removed.
        backbone_args: further arguments of torchvision's builder, such as `width_mult` of MobileNetV2.
        frames: T, which the readout `flatten` fixes.
        layers: encoder layers.
        heads: attention heads, a divisor of the encoder's width.
        feedforward: width of the feed-forward part; None takes the encoder's width.
        dropout: in the encoder.
        readout: `flatten`, or `cls` or `mean` for any number of frames.
        project: width of the encoder where it is not that of the features.
        center: normalise each frame's features and subtract their mean over the clip.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded.
    """
    if backbone in models.list_models(models.video):
        raise ConfigError(f"backbone {backbone!r} takes clips, not images: choose an image classifier")
    net = torchvision_model(backbone, pretrained=pretrained, **(backbone_args or {}))
    head = TokenHead(
        _remove_classifier(net, backbone),
        num_classes,
        tokens=frames,
        layers=layers,
        heads=heads,
        feedforward=feedforward,
        dropout=dropout,
        readout=readout,
        class_token=True,
        positions=True,
        project=project,
        center=center,
    )
    return FrameTransformer(net, head)


def _remove_classifier(net: nn.Module, name: str) -> int:
    """Cut a torchvision classifier back to its pooled features, in place; return their width."""
    attribute = next((n for n in _CLASSIFIER_NAMES if isinstance(getattr(net, n, None), nn.Module)), None)
    if attribute is None:
        raise ConfigError(f"backbone {name!r} has no classifier to remove: choose an image classifier")
    if hasattr(net, "aux_logits"):
        _remove_auxiliary_classifiers(net)
    classifier = getattr(net, attribute)
    layers = list(classifier) if isinstance(classifier, nn.Sequential) else [classifier]
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear | nn.Conv2d))
    kept = [layer for layer in layers[:first] if not isinstance(layer, nn.Dropout)]
    if isinstance(layers[first], nn.Conv2d):
        kept.append(nn.AdaptiveAvgPool2d(1))
    setattr(net, attribute, nn.Sequential(*kept))
    return _width(layers[first]) // _positions_flattened(net)


def _remove_auxiliary_classifiers(net: nn.Module) -> None:
    """GoogLeNet and Inception have further classifiers for training from scratch."""
    for name, value in (("aux_logits", False), ("aux1", None), ("aux2", None), ("AuxLogits", None)):
        setattr(net, name, value)


def _width(layer: nn.Module) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else cast(nn.Conv2d, layer).in_channels


def _positions_flattened(net: nn.Module) -> int:
    """VGG and AlexNet flatten a pooled map of several positions: pool it to one, and say how many there were."""
    pool = getattr(net, "avgpool", None)
    if not isinstance(pool, nn.AdaptiveAvgPool2d) or isinstance(pool.output_size, int):
        return 1
    positions = math.prod(int(n or 1) for n in pool.output_size or ())
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    return positions
