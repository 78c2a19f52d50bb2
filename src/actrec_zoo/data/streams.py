"""Random numbers by what they are for: the same key gives every purpose numbers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

import numpy as np
import torch


@unique
class Stream(IntEnum):
    """What random numbers are drawn for, and from which key.

    The number of the stream comes first in what is hashed. Behind the key it would not do: numpy takes a missing number
    for a 0, so that keys of different length could meet.
    """

    ORDER = 1
    """Of an epoch's clips: (seed, epoch)."""
    FRAMES = 2
    """Of a clip: (seed, epoch, index)."""
    CROP = 3
    """Of a clip: (seed, epoch, index)."""
    AUGMENTATION = 4
    """Of a clip on its device: (seed, epoch, index)."""
    MIXING = 5
    """Of the clips of a part of a batch with each other: (seed, epoch, step, part)."""
    DROPOUT = 6
    """And whatever else the network draws: (seed, epoch, step, part)."""
    SEARCH = 7
    """Of a trial's settings: (seed, trial)."""
    CORRUPTION = 8
    """Of a clip that is evaluated: (seed, number of its video's name, view)."""


def generator(stream: Stream, *key: int) -> np.random.Generator:
    """numpy's random numbers of a key."""
    return np.random.default_rng((stream, *key))


def derive_seed(stream: Stream, *key: int) -> int:
    """A 63-bit seed that depends on the stream and on every number of the key."""
    return int(np.random.SeedSequence((stream, *key)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with torch's CPU randomness from a seed, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
