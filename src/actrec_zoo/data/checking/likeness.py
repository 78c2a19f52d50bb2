"""How alike two videos are: small grey pictures of their frames, perceptual hashes of those, and motion in common."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actrec_zoo.data.manifest import IntArray

Thumbnails = NDArray[np.uint8]
"""Grey pictures uint8[T, 8, 9] of every `STEP`-th frame of a video."""
Hashes = NDArray[np.uint64]

STEP = 2
FEWEST = 7
_ROWS, _COLUMNS = 8, 9
NO_THUMBNAILS: Thumbnails = np.empty((0, _ROWS, _COLUMNS), dtype=np.uint8)
_LUMA = (0.299, 0.587, 0.114)
_STILL = 0.15
_FLAT = 3.0


class Likeness(NamedTuple):
    """How alike two videos are at best: correlation -1..1, and the frame of the first where the second begins."""

    correlation: float
    offset: int


def thumbnails(frames: Tensor) -> Thumbnails:
    """Grey pictures of frames uint8[T, 3, H, W]: each value is the mean over an eighth by a ninth of the frame."""
    small = torch.nn.functional.adaptive_avg_pool2d(frames.float(), (_ROWS, _COLUMNS))
    grey = torch.tensordot(torch.tensor(_LUMA), small, dims=([0], [1]))
    return np.asarray(grey.round().clamp(0, 255).to(torch.uint8))


def perceptual_hashes(pictures: Thumbnails) -> Hashes:
    """A difference hash of each picture, uint64[T]: whether a value is above the one to its left."""
    brighter = pictures[:, :, 1:] > pictures[:, :, :-1]
    return np.packbits(brighter.reshape(-1, _ROWS * (_COLUMNS - 1)), axis=1).view(np.uint64)[:, 0]


def motion_likeness(first: Thumbnails, second: Thumbnails) -> Likeness:
    """Correlation of what changes in two videos, at the offset in time where it is highest.

    At each offset the part that both cover is compared, at least half of the shorter: from every value its mean over
    that part is taken away, so that what stands still, such as the background that clips of one scene share, does not
    count. Where next to nothing moves the correlation is 0. Pictures halfway between those of the second video are
    tried too: a copy may begin between two pictures.
    """
    a, b = _centred(first), _centred(second)
    halfway = (b[:-1] + b[1:]) / 2
    correlation, offset = _best_offset(a, b)
    between, offset_between = _best_offset(a, halfway)
    if between > correlation:
        return Likeness(between, STEP * offset_between - STEP // 2)
    return Likeness(correlation, STEP * offset)


def _best_offset(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, int]:
    """The highest correlation of two sequences of rows, and how many rows later `a` has then to be read."""
    fewest = max(FEWEST, -(-min(len(a), len(b)) // 2))
    offsets = np.arange(fewest - len(b), len(a) - fewest + 1)
    if not len(offsets):
        return 0.0, 0
    from_a, from_b = np.maximum(offsets, 0), np.maximum(-offsets, 0)
    length = np.minimum(len(a) - from_a, len(b) - from_b)
    sum_a, square_a = _window(a, from_a, length)
    sum_b, square_b = _window(b, from_b, length)
    common = _products(a, b)[offsets] - (sum_a * sum_b).sum(axis=1) / length
    energy = np.minimum(square_a, square_b) / (length * a.shape[1])
    correlation = np.where(energy > _STILL, common / np.sqrt(np.maximum(square_a * square_b, 1e-9)), 0)
    best = int(correlation.argmax())
    return float(correlation[best]), int(offsets[best])


def _products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of a[t + offset] * b[t] over t and all columns, at index `offset`, which may be negative."""
    size = 1 << (len(a) + len(b) - 1).bit_length()
    spectrum = (np.fft.rfft(a, size, axis=0) * np.fft.rfft(b, size, axis=0).conj()).sum(axis=1)
    return np.fft.irfft(spectrum, size)


def _centred(pictures: Thumbnails) -> NDArray[np.float64]:
    """Pictures as rows less the brightness of each: fades and flicker are no motion."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float64)
    centred: NDArray[np.float64] = rows - rows.mean(axis=1, keepdims=True)
    return centred


def _window(
    rows: NDArray[np.float64], start: IntArray, length: IntArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum over each stretch of rows, and the sum of squares about its mean."""
    total = np.concatenate([np.zeros((1, rows.shape[1])), rows.cumsum(axis=0)])
    square = np.concatenate([[0.0], (rows**2).sum(axis=1).cumsum()])
    end = start + length
    summed = total[end] - total[start]
    return summed, square[end] - square[start] - (summed**2).sum(axis=1) / length


def is_flat(pictures: Thumbnails) -> NDArray[np.bool_]:
    """Which pictures show next to nothing, such as black frames: bool[T]."""
    flat: NDArray[np.bool_] = pictures.std(axis=(1, 2)) < _FLAT
    return flat
