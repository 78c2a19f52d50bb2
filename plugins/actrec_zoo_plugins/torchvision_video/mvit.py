"""torchvision's MViT on clips of any length and size: its position tables are interpolated to the tokens there are.

torchvision builds the network for 16 frames of 224x224. It interpolates relative positions as they are used; the tables
of absolute ones are interpolated here in the same way, so that weights fit at every length and size.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.video.mvit import PositionalEncoding

Shape = tuple[int, int, int]


class PassedBy(nn.Module):
    """A block that is left out."""

    def forward(self, tokens: Tensor, shape: Shape) -> tuple[Tensor, Shape]:
        """Tokens [B, 1 + N, D] and their extent in time, height and width, as they are."""
        return tokens, shape


def multiscale_features(network: nn.Module, clips: Tensor) -> Tensor:
    """The class token after all blocks.

    Args:
        network: torchvision's MViT.
        clips: [B, 3, T, H, W].

    Returns:
        Class tokens [B, D].
    """
    net = cast(Any, network)
    patches = net.conv_proj(clips)
    shape: Shape = tuple(patches.shape[2:])
    tokens = with_positions(net.pos_encoding, patches.flatten(2).transpose(1, 2), shape)
    for block in net.blocks:
        tokens, shape = block(tokens, shape)
    return cast(Tensor, net.norm(tokens)[:, 0])


def with_positions(encoding: PositionalEncoding, tokens: Tensor, shape: Shape) -> Tensor:
    """Put the class token first, and add absolute positions where the network has them.

    Args:
        encoding: torchvision's tables, made for some number of tokens.
        tokens: [B, N, D], N the product of `shape`.
        shape: extent of the tokens in time, height and width.

    Returns:
        Tokens [B, 1 + N, D].
    """
    tokens = torch.cat((encoding.class_token.expand(tokens.shape[0], 1, -1), tokens), dim=1)
    if encoding.spatial_pos is None or encoding.temporal_pos is None or encoding.class_pos is None:
        return tokens
    time = _resized(encoding.temporal_pos, (encoding.temporal_size,), shape[:1])
    space = _resized(encoding.spatial_pos, encoding.spatial_size, shape[1:])
    places = (time.unsqueeze(1) + space).flatten(0, 1)
    return tokens + torch.cat((encoding.class_pos.unsqueeze(0), places))


def skip_blocks(network: nn.Module, layers: int) -> None:
    """Leave out the blocks of a stage beyond the first `layers`, but for those that change the width of the tokens.

    A stage begins where tokens are pooled. The other blocks keep their names.
    """
    blocks = cast(Any, network).blocks
    place = 0
    for index, block in enumerate(blocks):
        place = 1 if block.pool_skip is not None else place + 1
        if place > layers and block.project is None:
            blocks[index] = PassedBy()


def _resized(table: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Rows for the positions of a line or a grid, [prod(old), D], interpolated to [prod(new), D]."""
    if new == old:
        return table
    grid = table.T.reshape(1, -1, *old)
    mode = "linear" if len(old) == 1 else "bilinear"
    return functional.interpolate(grid, size=new, mode=mode)[0].flatten(1).T
