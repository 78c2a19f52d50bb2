"""What decoders of images and of videos share: how far a frame may be shrunk, and frames stacked to a clip."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

Frame = NDArray[np.uint8]
"""One frame, uint8[H, W, 3], RGB."""

Size = tuple[int, int]
"""Height and width in pixels."""

MOST_PIXELS = 2**26
"""Frames of more pixels (8192 x 8192) are refused before any memory is taken for them."""

_REDUCTIONS = (8, 4, 2)


def reduction(size: Size, least: Size | None) -> int:
    """The power of two, at most 8, that a frame may be shrunk by without falling below `least`."""
    if least is None:
        return 1
    return next((by for by in _REDUCTIONS if all(a // by >= b for a, b in zip(size, least, strict=True))), 1)


def stack(frames: Sequence[Frame]) -> Tensor:
    """A clip uint8[T, 3, H, W]; frames of another size than the first are resized to it.

    In memory the channels come last, as decoded: torchvision resizes that twice as fast as channels first.
    """
    size = frames[0].shape[:2]
    same = [frame if frame.shape[:2] == size else _resize(frame, size) for frame in frames]
    return torch.from_numpy(np.stack(same)).permute(0, 3, 1, 2)


def first_line(error: Exception) -> str:
    """What an error of a decoder says, in one line."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _resize(frame: Frame, size: Sequence[int]) -> Frame:
    channels_first = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    resized: Frame = functional.resize(channels_first, list(size)).permute(1, 2, 0).numpy()
    return resized
