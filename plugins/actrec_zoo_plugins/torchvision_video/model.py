"""Builder of torchvision's video networks, each cut before its classifier."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from actrec_zoo.nn import FeatureNetwork, LinearHead, require_multiple, transformer_classifier
from actrec_zoo.plugin import ConfigError
from actrec_zoo.weights import load_strictly, torchvision_model, torchvision_state

_CLASSIFIERS = {
    "mc3_18": "fc",
    "s3d": "classifier.1",
    "mvit_v1_b": "head.1",
    "mvit_v2_s": "head.1",
    "swin3d_t": "head",
    "swin3d_s": "head",
    "swin3d_b": "head",
}
_TUBELET, _COARSEST = 2, 32
"""Frames in a token of MViT, and side in pixels of a position in the last maps of MViT and S3D."""
_POOL = 7
"""Positions a side that S3D's last pool covers, at upstream's 224 pixels."""
_GRID = "pos_encoding.spatial_pos"


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


def build(
    *,
    num_classes: int | None,
    network: str,
    pretrained: str | None = None,
    dropout: float = 0.0,
    frames: int = 16,
    size: int = 224,
) -> TorchvisionVideo:
    """Build a video network of torchvision.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        network: torchvision's name of it.
        pretrained: a tag of torchvision's weights, such as `kinetics400`; None for random weights.
        dropout: before the classifier.
        frames: frames in a clip, a multiple of 2; MViT alone is built for a number.
        size: side of the frames in pixels, a multiple of 32; MViT and S3D alone are built for a size.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights cannot be downloaded.
    """
    if network not in _CLASSIFIERS:
        raise ConfigError(f"network {network!r} is none of {', '.join(_CLASSIFIERS)}")
    if num_classes is None and pretrained is None:
        raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
    backbone = _network(network, frames, size)
    if pretrained is not None:
        state = fit_positions(torchvision_state(network, pretrained), backbone.state_dict())
        load_strictly(backbone, state, source=f"torchvision's {pretrained} weights")
    upstream = _cut_classifier(backbone, network)
    head = LinearHead(upstream.weight.shape[1], num_classes or upstream.weight.shape[0], dropout)
    if num_classes is None:
        head.classifier.load_state_dict({"weight": upstream.weight.flatten(1), "bias": upstream.bias})
    elif network.startswith(("mvit", "swin3d")):
        head.classifier = transformer_classifier(head.classifier.in_features, num_classes)
    return TorchvisionVideo(backbone, head)


def fit_positions(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Upstream's tensors with MViT's position tables interpolated to the lengths that the network has.

    Tables of one dimension, relative ones among them, linearly, as torchvision does between query and key of different
    lengths; the spatial one bilinearly. Everything else, and a table of another width, stays as it is.

    Args:
        state: upstream's tensors.
        own: those of the network.
    """
    return {
        key: _resized(key, table, own[key].shape[0]) if _is_table(key) and _fits(table, own.get(key)) else table
        for key, table in state.items()
    }


def _is_table(key: str) -> bool:
    return key.startswith("pos_encoding.") or ".rel_pos_" in key


def _fits(table: Tensor, own: Tensor | None) -> bool:
    return own is not None and table.dim() == own.dim() == 2 and table.shape[1] == own.shape[1]


def _resized(key: str, table: Tensor, length: int) -> Tensor:
    if table.shape[0] == length:
        return table
    columns = table.T.unsqueeze(0)
    if key != _GRID:
        return functional.interpolate(columns, size=length, mode="linear")[0].T.contiguous()
    old, new = (round(count**0.5) for count in (table.shape[0], length))
    grid = functional.interpolate(columns.unflatten(2, (old, old)), size=(new, new), mode="bilinear")
    return grid[0].flatten(1).T.contiguous()


def _network(name: str, frames: int, size: int) -> nn.Module:
    if name.startswith("mvit"):
        require_multiple("frames", frames, _TUBELET, f"the {_TUBELET} frames of a token")
        require_multiple("size", size, _COARSEST, f"the {_COARSEST} pixels of a position in the last layers")
        return torchvision_model(name, temporal_size=frames, spatial_size=(size, size))
    network = torchvision_model(name)
    if name == "s3d":
        require_multiple("size", size, _COARSEST, f"the {_COARSEST} pixels of a position in the last map")
        side = min(_POOL, size // _COARSEST)
        network.avgpool = nn.AvgPool3d(kernel_size=(2, side, side), stride=1)
    return network


def _cut_classifier(network: nn.Module, name: str) -> nn.Linear | nn.Conv3d:
    """Put an identity in the place of the classifier, with the dropout before it, and give the classifier."""
    path = _CLASSIFIERS[name]
    classifier = cast(nn.Linear | nn.Conv3d, network.get_submodule(path))
    setattr(network, path.partition(".")[0], nn.Identity())
    return classifier
