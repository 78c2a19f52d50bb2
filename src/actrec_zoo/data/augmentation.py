"""Augmentations that run on the device, on each clip of a batch by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment, RandomErasing, functional

from actrec_zoo.data.streams import Stream, generator, seeded
from actrec_zoo.errors import ConfigError, did_you_mean

FLIP, ROTATION, RANDAUGMENT, ERASING = "horizontal_flip", "rotation", "randaugment", "random_erasing"
ON_DEVICE = (FLIP, ROTATION, RANDAUGMENT, ERASING)
"""All augmentations by name, but those that make the crop: two of the study, then torchvision's."""

ROTATION_DEGREES = 15
_FLIP_PROBABILITY = 0.5
_SEEDS = 2**63
_DIRECTIONS = frozenset({"left", "right", "leftward", "rightward", "leftwards", "rightwards"}) | {
    "clockwise",
    "counterclockwise",
    "anticlockwise",
}
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

ClipKey = tuple[int, int, int]
"""(seed, epoch, index) of a clip: everything random about it is drawn from this."""


@dataclass(frozen=True)
class Strength:
    """How much the augmentations change that can do more or less.

    Attributes:
        ops: operations that `randaugment` draws for a clip.
        magnitude: of each, 0 to 30.
        erasing: probability that a box of a clip is erased.
        erased: colour of the box, 0..255 (RGB).
    """

    ops: int = 2
    magnitude: int = 9
    erasing: float = 0.25
    erased: tuple[int, int, int] = (0, 0, 0)


class Augmentation:
    """What is done to clips on their device; every clip has draws of its own, one for all of its frames.

    Args:
        names: of augmentations, applied in their order; those not in `ON_DEVICE` are no concern of this class.
        mirrored: int64[classes], the class of a clip once it is mirrored; None where that never changes it.
        strength: of `randaugment` and `random_erasing`.
    """

    def __init__(
        self, names: Sequence[str] = (), mirrored: Tensor | None = None, strength: Strength | None = None
    ) -> None:
        self.names = tuple(name for name in names if name in ON_DEVICE)
        self.mirrored = mirrored
        self.strength = strength or Strength()
        self._of_torchvision: dict[str, Callable[[Tensor], Tensor]] = {
            RANDAUGMENT: RandAugment(
                self.strength.ops, self.strength.magnitude, interpolation=InterpolationMode.BILINEAR
            ),
            ERASING: RandomErasing(self.strength.erasing, value=self.strength.erased),
        }

    def __call__(self, clips: Tensor, labels: Tensor, keys: Sequence[ClipKey]) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            clips: uint8[B, T, 3, S, S].
            labels: int64[B].
            keys: of the clips.

        Returns:
            Clips and labels of the same shapes, on the same device.
        """
        draws = [generator(Stream.AUGMENTATION, *key) for key in keys] if self.names else []
        for name in self.names:
            if name == FLIP:
                clips, labels = self._flip(clips, labels, draws)
            elif name == ROTATION:
                clips = _each(clips, draws, _rotate)
            else:
                clips = _each(clips, draws, _seeded(self._of_torchvision[name]))
        return clips, labels

    def _flip(self, clips: Tensor, labels: Tensor, draws: Sequence[np.random.Generator]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor([draw.random() < _FLIP_PROBABILITY for draw in draws], device=clips.device)
        flipped = torch.where(chosen.view(-1, 1, 1, 1, 1), functional.horizontal_flip(clips), clips)
        if self.mirrored is None:
            return flipped, labels
        return flipped, torch.where(chosen, self.mirrored.to(labels.device)[labels], labels)


_ClipTransform = Callable[[Tensor, np.random.Generator], Tensor]
"""From frames uint8[T, 3, S, S] to frames of that shape, by the draws of a generator."""


def _each(clips: Tensor, draws: Sequence[np.random.Generator], transform: _ClipTransform) -> Tensor:
    return torch.stack([transform(clip, draw) for clip, draw in zip(clips, draws, strict=True)])


def _rotate(clip: Tensor, draw: np.random.Generator) -> Tensor:
    angle = draw.uniform(-ROTATION_DEGREES, ROTATION_DEGREES)
    return torch.as_tensor(functional.rotate(clip, angle, InterpolationMode.BILINEAR))


def _seeded(transform: Callable[[Tensor], Tensor]) -> _ClipTransform:
    """A transform of torchvision, which asks torch's CPU generator alone, wherever the frames are."""

    def apply(clip: Tensor, draw: np.random.Generator) -> Tensor:
        with seeded(int(draw.integers(_SEEDS))):
            return torch.as_tensor(transform(clip))

    return apply


def mirrored_classes(classes: Sequence[str], pairs: Mapping[str, str]) -> NDArray[np.int64]:
    """The class of a mirrored clip of each class, int64[classes].

    Args:
        classes: their names.
        pairs: classes that change places; one direction of a pair is enough. A class with itself does not change.

    Raises:
        ConfigError: a pair names a class that does not exist, or a class is in two pairs.
    """
    index = {name: number for number, name in enumerate(classes)}
    mirrored = np.arange(len(classes), dtype=np.int64)
    for one, other in pairs.items():
        for name in (one, other):
            if name not in index:
                raise ConfigError(f"flip_labels: there is no class {name!r}.{did_you_mean(name, classes)}")
        for name, opposite in ((one, other), (other, one)):
            if mirrored[index[name]] not in (index[name], index[opposite]):
                raise ConfigError(f"flip_labels: class {name!r} changes places with two others")
            mirrored[index[name]] = index[opposite]
    return mirrored


def directed_classes(classes: Sequence[str]) -> list[str]:
    """Classes whose names tell a direction that a mirror turns round: `turn_left`, `DrawCircleClockwise`."""
    return [name for name in classes if _DIRECTIONS & {word.lower() for word in _WORD.findall(name)}]
