"""Builder of pytorchvideo's MViT, cut before its classifier."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from actrec_zoo.nn import LinearHead, require_multiple
from actrec_zoo.plugin import ConfigError
from actrec_zoo_plugins.pytorchvideo.model import PyTorchVideo, renamed, with_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of torch.jit, which pytorchvideo's layers use
    from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers

_NAME = "mvit_base_16x4"
_PATCH = (2, 4, 4)
_GRID = (8, 56, 56)
"""Patches of the weights in time, height and width."""
_DOUBLED = [[1, 2.0], [3, 2.0], [14, 2.0]]
_BASE: Mapping[str, Any] = {
    "embed_dim_mul": _DOUBLED,
    "atten_head_mul": _DOUBLED,
    "pool_q_stride_size": [[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]],
    "pool_kv_stride_adaptive": [1, 8, 8],
    "pool_kvq_kernel": [3, 3, 3],
}
_TIME = "backbone.cls_positional_encoding.pos_embed_temporal"
_SPACE = "backbone.cls_positional_encoding.pos_embed_spatial"


class PassedBy(nn.Module):
    """A block that is left out."""

    def forward(self, tokens: Tensor, shape: list[int]) -> tuple[Tensor, list[int]]:
        """Tokens [B, 1 + N, D] and their extent in time, height and width, as they are."""
        return tokens, shape


class NumbersOnTheCpu(TorchFunctionMode):
    """Within, what pytorchvideo computes widths and rates with has values, also where parameters get no memory."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        where = {"device": "cpu"} if function in (torch.ones, torch.linspace) else {}
        return function(*args, **{**(kwargs or {}), **where})


def build(
    *,
    num_classes: int | None,
    pretrained: str | None = None,
    frames: int = 16,
    size: int = 224,
    dropout: float = 0.5,
    layers: int | None = None,
) -> PyTorchVideo:
    """Build MViT-B.

    Args:
        num_classes: size of the output; None keeps the classifier of the pretrained weights.
        pretrained: a tag of the weights; None for random ones.
        frames: frames in a clip, a multiple of 2; pretrained positions are interpolated for another number than 16.
        size: side of the frames in pixels, a multiple of 32; likewise for another than 224.
        dropout: before the classifier.
        layers: the most transformer layers of a stage; further ones are left out. None takes all.

    Raises:
        ConfigError: an option has a value that does not fit.
        WeightsError: the pretrained weights do not exist, cannot be downloaded, or do not fit.
    """
    require_multiple("frames", frames, 2, "the two frames from one patch to the next")
    require_multiple("size", size, 32, "the 32 pixels of a token of the last stage")
    net = with_weights(
        lambda classes: _network(classes, frames, size, dropout),
        _NAME,
        num_classes,
        pretrained,
        lambda state: fit_positions(renamed(state, r"head\.proj"), frames=frames, size=size),
    )
    if layers is not None:
        _shorten(net.backbone, layers)
    return net


def fit_positions(state: Mapping[str, Tensor], *, frames: int, size: int) -> dict[str, Tensor]:
    """Tensors of the network with position embeddings for another number of frames and another size.

    They are interpolated linearly. A table of another shape than upstream's is left as it is, for the strict loading to
    refuse.
    """
    fitted = dict(state)
    for key, old, new in (
        (_TIME, _GRID[:1], (frames // _PATCH[0],)),
        (_SPACE, _GRID[1:], (size // _PATCH[1], size // _PATCH[2])),
    ):
        table = fitted.get(key)
        if new != old and table is not None and table.dim() == 3 and table.shape[1] == torch.Size(old).numel():
            grid = table.transpose(1, 2).reshape(1, -1, *old)
            resized = functional.interpolate(grid, size=new, mode="linear" if len(old) == 1 else "bilinear")
            fitted[key] = resized.flatten(2).transpose(1, 2).contiguous()
    return fitted


def _network(classes: int, frames: int, size: int, dropout: float) -> PyTorchVideo:
    with NumbersOnTheCpu():
        network = create_multiscale_vision_transformers(
            **_BASE, spatial_size=size, temporal_size=frames, head_num_classes=classes
        )
    upstream = network.head
    head = LinearHead(upstream.proj.in_features, upstream.proj.out_features, dropout)
    head.classifier = upstream.proj
    upstream.dropout, upstream.proj = None, nn.Identity()
    return PyTorchVideo(network, head)


def _shorten(network: nn.Module, layers: int) -> None:
    """Leave out the blocks of a stage beyond the first `layers`, but for those that change the width of the tokens."""
    if layers < 1:
        raise ConfigError(f"layers={layers} must be 1 or more")
    blocks = cast(Any, network).blocks
    place = 0
    for index, block in enumerate(blocks):
        place = 1 if block.pool_skip is not None else place + 1
        if place > layers and block.dim == block.dim_out:
            blocks[index] = PassedBy()
