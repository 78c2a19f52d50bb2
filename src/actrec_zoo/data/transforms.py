"""From decoded frames to the network's input: resize and crop on uint8, augmentation, normalisation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from actrec_zoo.data.frames import Size
from actrec_zoo.errors import ConfigError, did_you_mean
from actrec_zoo.spec import InputSpec, Interpolation

ROTATION_DEGREES = 15
RANDOM_CROP_MARGIN = 8 / 7

AUGMENTATIONS: dict[str, Callable[[InputSpec], v2.Transform]] = {
    "random_crop": lambda spec: v2.RandomCrop(spec.size),
    "horizontal_flip": lambda spec: v2.RandomHorizontalFlip(),
    "rotation": lambda spec: v2.RandomRotation(ROTATION_DEGREES, InterpolationMode.BILINEAR),
}
"""Augmentations of the study by name; `random_crop` takes the place of the centre crop."""

RESIZE = "resize"
"""The study's plain resize, by name too: takes the place of the input's own and brings frames to the square as they
are, whatever their proportions."""


class Resize:
    """An antialiased resize.

    Args:
        sides: height and width, or the length of the shorter side alone.
        interpolation: bilinear, bicubic or nearest.

    Attributes:
        least: height and width that are needed at least of a frame; a decoder may shrink larger ones that far. None
            where every pixel counts.
    """

    def __init__(self, sides: Sequence[int], interpolation: Interpolation = "bilinear") -> None:
        self.sides = list(sides)
        self.interpolation = interpolation
        self.least: Size | None = None if interpolation == "nearest" else (self.sides[0], self.sides[-1])
        self._apply = v2.Resize(self.sides, InterpolationMode(interpolation), antialias=True)

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames uint8[T, 3, h, w] to uint8[T, 3, H, W]."""
        return torch.as_tensor(self._apply(frames))


class ClipTransform:
    """Resize, crop and augmentation of one clip.

    Args:
        spec: the input.
        augment: `resize`, and names from `AUGMENTATIONS`, applied in their order.

    Attributes:
        deterministic: whether nothing is random.
        least: that of the resize.

    Raises:
        ConfigError: an augmentation does not exist.
    """

    def __init__(self, spec: InputSpec, augment: Sequence[str] = ()) -> None:
        known = (RESIZE, *AUGMENTATIONS)
        unknown = [name for name in augment if name not in known]
        if unknown:
            raise ConfigError(
                f"unknown augmentation {unknown[0]!r}.{did_you_mean(unknown[0], known)} There are {', '.join(known)}."
            )
        self.deterministic = not set(augment) - {RESIZE}
        resized = replace(spec, resize=None) if RESIZE in augment else spec
        resize = Resize(_sides(resized, margin="random_crop" in augment), spec.interpolation)
        self.least = resize.least
        steps: list[Callable[[Tensor], Tensor]] = [resize]
        steps += [AUGMENTATIONS[name](spec) for name in augment if name != RESIZE]
        if "random_crop" not in augment:
            steps.insert(1, v2.CenterCrop(spec.size))
        self._apply = v2.Compose(steps)

    def __call__(self, frames: Tensor, key: tuple[int, int, int]) -> Tensor:
        """Frames uint8[T, 3, h, w] to uint8[T, 3, S, S]; what is random is drawn from `key`, (seed, epoch, index).

        One draw holds for all frames of the clip.
        """
        if self.deterministic:
            return torch.as_tensor(self._apply(frames))
        with seeded(key):
            return torch.as_tensor(self._apply(frames))


def normalize(clips: Tensor, spec: InputSpec) -> Tensor:
    """Clips uint8[B, T, 3, S, S] to float32[B, 3, T, S, S], on the device that they are on."""
    mean = torch.tensor(spec.mean, device=clips.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=clips.device).view(3, 1, 1)
    return ((clips.float() / 255 - mean) / std).transpose(1, 2)


@contextmanager
def seeded(key: tuple[int, ...]) -> Iterator[None]:
    """Run a block with torch's CPU randomness derived from `key`, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(key))
        yield


def derive_seed(key: tuple[int, ...]) -> int:
    """A 63-bit seed that depends on every number of `key`."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _sides(spec: InputSpec, margin: bool) -> list[int]:
    """Height and width, or the shorter side, that the input resizes to; a margin leaves a random crop some room."""
    target = spec.resize if spec.resize is not None else (spec.size, spec.size)
    shorter = min(target) if isinstance(target, tuple) else target
    scale = RANDOM_CROP_MARGIN if margin and shorter == spec.size else 1.0
    sides = target if isinstance(target, tuple) else (target,)
    return [round(side * scale) for side in sides]
