"""What decoders of images and of videos share: how far a frame may be shrunk, and frames put together to a clip."""

from collections.abc import Callable, Sequence

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

_MOST_REDUCTION = 8


def reduction(size: Size, least: Size | None) -> int:
    """The power of two, at most 8, that a frame may be shrunk by without falling below `least`."""
    if least is None:
        return 1
    by = min(size[0] // least[0], size[1] // least[1], _MOST_REDUCTION)
    return 1 << max(by.bit_length() - 1, 0)


def clip_of(numbers: Sequence[int], decode: Callable[[int, Frame | None], Frame]) -> Tensor:
    """A clip uint8[T, 3, H, W]; frames of another size than the first are resized to it.

    In memory the channels come last, as decoded: torchvision resizes that twice as fast as channels first.

    Args:
        numbers: of the frames; one that comes again is decoded once.
        decode: gives the frame with a number. It may put it into the place in the clip that it is handed, where that
            has the right size, and saves a copy.
    """
    first = decode(numbers[0], None)
    clip = np.empty((len(numbers), *first.shape), np.uint8)
    clip[0] = first
    for place, number in enumerate(numbers[1:], 1):
        before = numbers.index(number)
        clip[place] = clip[before] if before < place else _resize(decode(number, clip[place]), first.shape[:2])
    return torch.from_numpy(clip).permute(0, 3, 1, 2)


def _resize(frame: Frame, size: Sequence[int]) -> Frame:
    if frame.shape[:2] == size:
        return frame
    channels_first = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    resized: Frame = functional.resize(channels_first, list(size)).permute(1, 2, 0).numpy()
    return resized
