"""Builders of pytorchvideo's networks, each cut before its classifier."""

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from actrec_zoo.nn import FeatureNetwork, LinearHead, require_multiple
from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo.weights import build_filled, url_state
from actrec_zoo_plugins.pytorchvideo import WEIGHTS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of torch.jit, which pytorchvideo's layers use
    from pytorchvideo.layers.swish import Swish
    from pytorchvideo.models.csn import create_csn
    from pytorchvideo.models.r2plus1d import create_r2plus1d
    from pytorchvideo.models.resnet import create_resnet
    from pytorchvideo.models.slowfast import create_slowfast
    from pytorchvideo.models.x3d import create_x3d

ALPHA = 4
"""Frames of SlowFast's fast pathway for one of the slow pathway."""
_POINTWISE = (1, 1, 1)
_IN_TIME = (3, 1, 1)
_BUILDERS: Mapping[str, tuple[Callable[..., nn.Module], Mapping[str, Any]]] = {
    "x3d_xs": (create_x3d, {}),
    "x3d_s": (create_x3d, {}),
    "x3d_m": (create_x3d, {}),
    "x3d_l": (create_x3d, {"depth_factor": 5.0}),
    "slow_r50": (create_resnet, {"stem_conv_kernel_size": (1, 7, 7)}),
    "c2d_r50": (
        create_resnet,
        {
            "stem_conv_kernel_size": (1, 7, 7),
            "stage1_pool": nn.MaxPool3d,
            "stage_conv_a_kernel_size": (_POINTWISE,) * 4,
        },
    ),
    "i3d_r50": (
        create_resnet,
        {
            "stem_conv_kernel_size": (5, 7, 7),
            "stage1_pool": nn.MaxPool3d,
            "stage_conv_a_kernel_size": (
                _IN_TIME,
                [_IN_TIME, _POINTWISE],
                [_IN_TIME, _POINTWISE],
                [_POINTWISE, _IN_TIME],
            ),
        },
    ),
    "csn_r101": (create_csn, {"model_depth": 101, "stem_pool": nn.MaxPool3d}),
    "r2plus1d_r50": (create_r2plus1d, {}),
    "slowfast_r50": (create_slowfast, {"slowfast_fusion_conv_kernel_size": (7, 1, 1)}),
    "slowfast_r101": (create_slowfast, {"model_depth": 101, "slowfast_fusion_conv_kernel_size": (5, 1, 1)}),
}
"""Upstream's builder of each network, with the arguments that its checkpoint was made with."""


class PyTorchVideo(FeatureNetwork):
    """A network of pytorchvideo that ends in one vector a clip, and a linear classifier on it.

    Args:
        backbone: pytorchvideo's network without classifier; its key names are upstream's.
        head: takes vectors [B, D].
    """

    head: LinearHead

    def __init__(self, backbone: nn.Module, head: LinearHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to vectors [B, D]."""
        return cast(Tensor, self.backbone(clips))


class SlowFast(PyTorchVideo):
    """A network of two pathways: every frame goes to the fast one, one of four to the slow one."""

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to vectors [B, 2304]."""
        return cast(Tensor, self.backbone(pathways(clips)))


def pathways(clips: Tensor) -> list[Tensor]:
    """The inputs of SlowFast's slow and fast pathway, [B, 3, T/4, H, W] and [B, 3, T, H, W]; upstream's choice."""
    frames = clips.shape[2]
    slow = torch.linspace(0, frames - 1, frames // ALPHA, device=clips.device).long()
    return [clips.index_select(2, slow), clips]


def build(
    *,
    num_classes: int | None,
    backbone: str,
    pretrained: str | None = None,
    frames: int | None = None,
    dropout: float = 0.5,
    layers: int | None = None,
) -> PyTorchVideo:
    """Build a convolutional network of pytorchvideo.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        backbone: pytorchvideo's name of the network.
        pretrained: a tag of `WEIGHTS[backbone]`; None for random weights.
        frames: frames in a clip, of SlowFast, a multiple of 4; other networks take any number.
        dropout: before the classifier.
        layers: the most residual blocks of a stage; further ones are left out. None takes all.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights do not exist, cannot be downloaded, or do not fit.
    """
    if backbone not in _BUILDERS:
        raise ConfigError(f"backbone {backbone!r} is none of {', '.join(_BUILDERS)}")
    kind = SlowFast if backbone.startswith("slowfast") else PyTorchVideo
    if kind is SlowFast and frames is not None:
        require_multiple("frames", frames, ALPHA, f"the {ALPHA} frames of which the slow pathway takes one")
    create, arguments = _BUILDERS[backbone]
    net = with_weights(
        lambda classes: kind(*_cut(create(**arguments, model_num_class=classes), dropout)),
        backbone,
        num_classes,
        pretrained,
        lambda state: renamed(state, r"blocks\.\d+\.proj"),
    )
    if layers is not None:
        _shorten(net.backbone, layers)
    return net


def with_weights(
    make: Callable[[int], PyTorchVideo],
    backbone: str,
    num_classes: int | None,
    pretrained: str | None,
    adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
) -> PyTorchVideo:
    """Build a network with upstream's weights where they are asked for, and with the classifier that is.

    Args:
        make: builds the network for some number of classes.
        backbone: upstream's name of it.
        num_classes: size of the output; None keeps upstream's classifier.
        pretrained: a tag of `WEIGHTS[backbone]`, or None.
        adapt: makes tensors of our network from upstream's.

    Raises:
        ConfigError: there is no classifier to keep.
        WeightsError: the weights do not exist, cannot be downloaded, or do not fit.
    """
    if pretrained is None:
        if num_classes is None:
            raise ConfigError("without pretrained weights there is no classifier to keep: give num_classes")
        return make(num_classes)
    if pretrained not in WEIGHTS[backbone]:
        raise WeightsError(f"{backbone} has no weights {pretrained!r}: {', '.join(WEIGHTS[backbone])}")
    weights = WEIGHTS[backbone][pretrained]
    net = build_filled(lambda: make(cast(int, weights.num_classes)), weights, adapt(url_state(weights)))
    if num_classes is not None:
        net.head.classifier = new_classifier(net.head.classifier.in_features, num_classes)
    return net


def renamed(state: Mapping[str, Tensor], projection: str) -> dict[str, Tensor]:
    """Upstream's tensors under the names of our network: its last layer, which `projection` matches, is our classifier.

    The number of its block differs, as the pools of C2D, I3D and SlowFast count as blocks.
    """
    last = re.compile(rf"{projection}\.(weight|bias)")
    return {
        last.sub(r"head.classifier.\1", key) if last.fullmatch(key) else f"backbone.{key}": tensor
        for key, tensor in state.items()
    }


def new_classifier(width: int, num_classes: int) -> nn.Linear:
    """A linear classifier initialised as pytorchvideo's: normal of 0.01, and zero bias."""
    classifier = nn.Linear(width, num_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    return classifier


def _cut(network: nn.Module, dropout: float) -> tuple[nn.Module, LinearHead]:
    """Take the classifier off, with the dropout before and the softmax after it, and let the pools take any clip.

    Upstream's windows are as large as the last maps of the clips that the weights were trained on: there, nothing
    changes.
    """
    blocks = cast(Any, network).blocks
    last = blocks[-1]
    head = LinearHead(last.proj.in_features, last.proj.out_features, dropout)
    head.classifier = last.proj
    last.proj = last.dropout = last.activation = None
    if hasattr(last.pool, "pool"):  # of X3D, which goes on after pooling
        last.pool.pool = nn.AdaptiveAvgPool3d(1)
    elif last.pool is not None:
        last.pool = nn.AdaptiveAvgPool3d(1)
    else:  # of SlowFast, which pools each pathway before
        blocks[-2].pool = nn.ModuleList(nn.AdaptiveAvgPool3d(1) for _ in blocks[-2].pool)
    _replace_swish(network)
    return network, head


def _replace_swish(network: nn.Module) -> None:
    """Let torch compute what pytorchvideo has a function of its own for, whose gradient uses what torch deprecates."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Swish):
                setattr(parent, name, nn.SiLU())


def _shorten(network: nn.Module, layers: int) -> None:
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    for name, module in network.named_modules():
        if name.endswith("res_blocks"):
            for index in range(layers, len(cast(nn.ModuleList, module))):
                cast(nn.ModuleList, module)[index] = nn.Identity()
