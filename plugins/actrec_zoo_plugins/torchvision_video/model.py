"""Builder of torchvision's video networks, each cut before its classifier."""

from collections.abc import Callable, Iterable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from actrec_zoo.nn import FeatureNetwork, LinearHead, transformer_classifier
from actrec_zoo.plugin import ConfigError
from actrec_zoo.weights import torchvision_model
from actrec_zoo_plugins.torchvision_video.mvit import multiscale_features, skip_blocks

_CLASSIFIERS = {
    "mc3_18": "fc",
    "s3d": "classifier.1",
    "mvit_v1_b": "head.1",
    "mvit_v2_s": "head.1",
    "swin3d_t": "head",
    "swin3d_s": "head",
    "swin3d_b": "head",
}


class TorchvisionVideo(FeatureNetwork):
    """A video network of torchvision that ends in one vector a clip, and a linear classifier on it.

    Args:
        backbone: torchvision's network, its classifier an identity; its key names are upstream's.
        head: takes vectors [B, D].
    """

    def __init__(self, backbone: nn.Module, head: LinearHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to vectors [B, D]."""
        return cast(Tensor, self.backbone(clips))


class MultiscaleVideo(TorchvisionVideo):
    """MViT, for clips of any number of frames and any size."""

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to class tokens [B, 768]."""
        return multiscale_features(self.backbone, clips)


class FittingPool(nn.Module):
    """A pool whose window covers as many positions as there are, where they are fewer than it has room for.

    Args:
        pool: torch's function.
        window: positions in time, height and width.
        stride: positions from one window to the next.
    """

    def __init__(self, pool: Callable[..., Tensor], window: tuple[int, int, int], stride: int) -> None:
        super().__init__()
        self.pool = pool
        self.window = window
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B, D, T, H, W] to pooled ones."""
        window = [min(most, there) for most, there in zip(self.window, maps.shape[2:], strict=True)]
        return self.pool(maps, window, stride=self.stride)


def build(
    *,
    num_classes: int | None,
    backbone: str,
    pretrained: str | None = None,
    dropout: float = 0.0,
    layers: int | None = None,
) -> TorchvisionVideo:
    """Build a video network of torchvision.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        backbone: torchvision's name of the network.
        pretrained: a tag of torchvision's weights, such as `kinetics400`; None for random weights.
        dropout: before the classifier.
        layers: of MViT and Swin, the most transformer layers of a stage; further ones are passed by. None takes all.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded.
    """
    if backbone not in _CLASSIFIERS:
        raise ConfigError(f"backbone {backbone!r} is none of {', '.join(_CLASSIFIERS)}")
    if num_classes is None and pretrained is None:
        raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
    network = torchvision_model(backbone, pretrained=pretrained)
    upstream = _cut_classifier(network, backbone)
    head = LinearHead(upstream.weight.shape[1], num_classes or upstream.weight.shape[0], dropout)
    if num_classes is None:
        head.classifier.load_state_dict({"weight": upstream.weight.flatten(1), "bias": upstream.bias})
    elif backbone.startswith(("mvit", "swin3d")):
        head.classifier = transformer_classifier(head.classifier.in_features, num_classes)
    if backbone == "s3d":
        _take_any_clip(network)
    if layers is not None:
        _shorten(network, backbone, layers)
    return MultiscaleVideo(network, head) if backbone.startswith("mvit") else TorchvisionVideo(network, head)


def _cut_classifier(network: nn.Module, name: str) -> nn.Linear | nn.Conv3d:
    """Put an identity in the place of the classifier, with the dropout before it, and give the classifier."""
    path = _CLASSIFIERS[name]
    classifier = cast(nn.Linear | nn.Conv3d, network.get_submodule(path))
    setattr(network, path.partition(".")[0], nn.Identity())
    return classifier


def _take_any_clip(network: nn.Module) -> None:
    """Let S3D take clips that its last two pools are too large for."""
    cast(nn.Sequential, network.features)[13] = FittingPool(functional.max_pool3d, (2, 2, 2), stride=2)
    network.avgpool = FittingPool(functional.avg_pool3d, (2, 7, 7), stride=1)


def _shorten(network: nn.Module, name: str, layers: int) -> None:
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    if name.startswith("mvit"):
        skip_blocks(network, layers)
    elif name.startswith("swin3d"):
        for stage in cast(Iterable[nn.Sequential], cast(nn.Sequential, network.features)[::2]):
            for index in range(layers, len(stage)):
                stage[index] = nn.Identity()
    else:
        raise ConfigError(f"{name} has no layers to leave out: leave the option layers out")
