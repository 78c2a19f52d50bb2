"""From decoded frames to the network's input: resize and crop on uint8 where they are read, then normalisation."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from actrec_zoo.data.augmentation import ON_DEVICE
from actrec_zoo.data.frames import Size
from actrec_zoo.data.streams import Stream, derive_seed, seeded
from actrec_zoo.errors import ConfigError, did_you_mean
from actrec_zoo.spec import InputSpec, Interpolation

RANDOM_CROP_MARGIN = 8 / 7

RESIZE = "resize"
"""The study's plain resize, by name: takes the place of the input's own and brings frames to the square as they are,
whatever their proportions."""

CROP = "random_crop"
"""Takes the place of the centre crop."""

AUGMENTATIONS = (RESIZE, CROP, *ON_DEVICE)
"""Names of all augmentations. The crop is drawn where the frames are read, so that the rest is never moved."""


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
    """Resize and crop of one clip.

    Args:
        spec: the input.
        augment: names from `AUGMENTATIONS`; those of `ON_DEVICE` are left to `Augmentation`.
        crops: squares that evaluation cuts out of a clip: one from the centre, or several evenly along the longer
            side, the first and the last at its ends.

    Attributes:
        spec: the input.
        crops: their number.
        augment: the names that concern this class.
        deterministic: whether nothing of this is random.
        least: that of the resize.
        size: side of the square in pixels.

    Raises:
        ConfigError: an augmentation does not exist.
    """

    def __init__(self, spec: InputSpec, augment: Sequence[str] = (), crops: int = 1) -> None:
        unknown = [name for name in augment if name not in AUGMENTATIONS]
        if unknown:
            raise ConfigError(
                f"unknown augmentation {unknown[0]!r}.{did_you_mean(unknown[0], AUGMENTATIONS)} "
                f"There are {', '.join(AUGMENTATIONS)}."
            )
        self.spec = spec
        self.crops = crops
        self.augment = tuple(name for name in augment if name not in ON_DEVICE)
        self.deterministic = CROP not in augment
        resized = replace(spec, resize=None) if RESIZE in augment else spec
        self.resize = Resize(_sides(resized, margin=CROP in augment), spec.interpolation)
        self.least = self.resize.least
        self.size = spec.size
        self._crop = v2.RandomCrop(spec.size) if CROP in augment else v2.CenterCrop(spec.size)

    def __call__(self, frames: Tensor, key: tuple[int, int, int]) -> Tensor:
        """Frames uint8[T, 3, h, w] to uint8[T, 3, S, S]; what is random is drawn from `key`, (seed, epoch, index).

        One draw holds for all frames of the clip.
        """
        return self.crop(self.resize(frames), key)

    def crop(self, frames: Tensor, key: tuple[int, int, int], number: int = 0) -> Tensor:
        """Square `number` of resized frames, uint8[T, 3, h, w] to uint8[T, 3, S, S]."""
        if self.crops > 1:
            top, left = self._corner(frames.shape[-2], frames.shape[-1], number / (self.crops - 1))
            return torch.as_tensor(functional.crop(frames, top, left, self.size, self.size))
        if self.deterministic:
            return torch.as_tensor(self._crop(frames))
        with seeded(derive_seed(Stream.CROP, *key)):
            return torch.as_tensor(self._crop(frames))

    def _corner(self, height: int, width: int, place: float) -> tuple[int, int]:
        """Upper left corner of the square at a place from 0 to 1 along the longer side."""
        across, along = sorted((height - self.size, width - self.size))
        centre, there = round(across / 2), round(along * place)
        return (there, centre) if height > width else (centre, there)


class Normalization(nn.Module):
    """Clips uint8[B, T, 3, S, S] to float32[B, 3, T, S, S], on the device that they and this module are on.

    Its constants move to a device with the module: moved for every batch, each move would be waited for.

    Args:
        spec: for mean and standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised clips, with channels before frames."""
        return ((clips.float() / 255 - self.mean) / self.std).transpose(1, 2)


def _sides(spec: InputSpec, margin: bool) -> list[int]:
    """Height and width, or the shorter side, that the input resizes to; a margin leaves a random crop some room."""
    target = spec.resize if spec.resize is not None else (spec.size, spec.size)
    shorter = min(target) if isinstance(target, tuple) else target
    scale = RANDOM_CROP_MARGIN if margin and shorter == spec.size else 1.0
    sides = target if isinstance(target, tuple) else (target,)
    return [round(side * scale) for side in sides]
