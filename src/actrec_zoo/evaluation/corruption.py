"""Clips made worse in named ways, so that one sees what the accuracy of a model needs.

A corruption changes the squares that a network is shown, after the crop, each clip by itself. What is random about it
follows from the seed, the video's path within the data and the view, so every model is shown the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.streams import Stream, generator
from actrec_zoo.errors import ConfigError, UnknownNameError, did_you_mean

SIDE = 224
"""Pixels of the squares that the strength of a blur is stated for; smaller ones are blurred by as much less."""

DEFAULT_SEVERITY = 3

Change = Callable[[Tensor, np.random.Generator, float], Tensor]
"""A clip uint8[T, 3, S, S], draws of its own, and a strength, to the same clip made worse."""

Order = Callable[[int, np.random.Generator, float], IntArray]
"""A number of frames, draws and a strength, to the number of the frame that is shown in the place of each."""


def _reordered(order: Order) -> Change:
    def change(clip: Tensor, draw: np.random.Generator, strength: float) -> Tensor:
        return clip[torch.from_numpy(order(len(clip), draw, strength)).to(clip.device)]

    return change


def _shuffled(frames: int, draw: np.random.Generator, _: float) -> IntArray:
    return draw.permutation(frames)


def _reversed(frames: int, draw: np.random.Generator, _: float) -> IntArray:
    return np.arange(frames)[::-1].copy()


def _frozen(frames: int, draw: np.random.Generator, _: float) -> IntArray:
    return np.full(frames, frames // 2)


def _dropped(frames: int, draw: np.random.Generator, share: float) -> IntArray:
    """The first frame stays, and at least one other is lost."""
    lost = 1 + draw.permutation(frames - 1)[: max(1, round(share * frames))]
    shown = np.arange(frames)
    shown[lost] = 0
    return np.maximum.accumulate(shown)


def _held(frames: int, draw: np.random.Generator, every: float) -> IntArray:
    numbers = np.arange(frames)
    return numbers - numbers % int(every)


def _blurred(clip: Tensor, draw: np.random.Generator, sigma: float) -> Tensor:
    deviation = sigma * clip.shape[-1] / SIDE
    radius = math.ceil(3 * deviation)
    return torch.as_tensor(functional.gaussian_blur(clip, [2 * radius + 1] * 2, [deviation] * 2))


def _noisy(clip: Tensor, draw: np.random.Generator, deviation: float) -> Tensor:
    noise = torch.from_numpy(draw.standard_normal(clip.shape, dtype=np.float32)).to(clip.device)
    return (clip + 255 * deviation * noise).round().clamp(0, 255).to(torch.uint8)


def _compressed(clip: Tensor, draw: np.random.Generator, quality: float) -> Tensor:
    frames = clip.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    files = (simplejpeg.encode_jpeg(frame, int(quality), "RGB", "420", fastdct=False) for frame in frames)
    decoded = np.stack([simplejpeg.decode_jpeg(file) for file in files])
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(clip.device)


@dataclass(frozen=True)
class Kind:
    """A way to make clips worse.

    Attributes:
        change: does it to a clip.
        description: what it does, with `{}` for the strength.
        strengths: by severity, from 1; empty where there are no degrees of it.
    """

    change: Change
    description: str
    strengths: tuple[float, ...] = ()


KINDS = {
    "shuffle": Kind(_reordered(_shuffled), "frames in random order"),
    "reverse": Kind(_reordered(_reversed), "frames from the last to the first"),
    "freeze": Kind(_reordered(_frozen), "the middle frame all through"),
    "blur": Kind(_blurred, f"gaussian blur, deviation of {{:g}} pixels in {SIDE}", (1, 2, 3, 4, 6)),
    "noise": Kind(_noisy, "gaussian noise, deviation of {:g} of the range", (0.08, 0.12, 0.18, 0.26, 0.38)),
    "jpeg": Kind(_compressed, "JPEG of quality {:g}", (25, 18, 15, 10, 7)),
    "drop": Kind(
        _reordered(_dropped), "{:.0%} of the frames lost, the one before shown instead", (0.1, 0.25, 0.4, 0.55, 0.7)
    ),
    "slow": Kind(_reordered(_held), "one frame of {:g} shown, for as long as all of them", (2, 3, 4, 6, 8)),
}
"""Every corruption by name. Strengths of blur, noise and JPEG are those of ImageNet-C."""

ORDER = ("shuffle", "reverse", "freeze")
SETS = {"all": tuple(KINDS), "order": ORDER, "image": tuple(name for name in KINDS if name not in ORDER)}
"""Names that stand for several corruptions."""


@dataclass(frozen=True)
class Corruption:
    """A way to make clips worse, to a degree.

    Attributes:
        name: one of `KINDS`.
        severity: 1 to 5; None where there are no degrees of it.
        seed: of what is random about it.
    """

    name: str
    severity: int | None = None
    seed: int = 0

    @property
    def title(self) -> str:
        """As it is asked for: `blur:3`."""
        return self.name if self.severity is None else f"{self.name}:{self.severity}"

    @property
    def description(self) -> str:
        """What it does, in words and numbers."""
        return KINDS[self.name].description.format(self._strength)

    def __call__(self, clips: Tensor, videos: Sequence[str], views: Sequence[int]) -> Tensor:
        """Make clips worse, each by itself.

        Args:
            clips: uint8[B, T, 3, S, S].
            videos: names of their videos, B.
            views: their numbers among the clips of the video, B.

        Returns:
            Clips of the same shape, on the same device.
        """
        change, strength = KINDS[self.name].change, self._strength
        return torch.stack(
            [
                change(clip, generator(Stream.CORRUPTION, self.seed, _number_of(video), view), strength)
                for clip, video, view in zip(clips, videos, views, strict=True)
            ]
        )

    def of(self, manifest: Manifest) -> Callable[[Tensor, Batch], Tensor]:
        """The same, told the videos of the clips by a batch of a manifest's videos."""
        return lambda clips, batch: self(clips, [*map(manifest.name, batch.videos.tolist())], batch.views.tolist())

    @property
    def _strength(self) -> float:
        return KINDS[self.name].strengths[self.severity - 1] if self.severity else 0.0


def corruptions_named(words: Sequence[str]) -> tuple[Corruption, ...]:
    """The corruptions of `NAME` or `NAME:SEVERITY`, each once; a name may be one of `SETS`.

    Raises:
        UnknownNameError: there is no such corruption.
        ConfigError: a severity is not 1 to 5, or is given to what has no degrees.
    """
    return tuple(dict.fromkeys(corruption for word in words for corruption in _named(word)))


def _named(word: str) -> list[Corruption]:
    name, _, severity = word.partition(":")
    if name not in KINDS and name not in SETS:
        known = [*KINDS, *SETS]
        raise UnknownNameError(
            f"--corrupt: there is no corruption {name!r}.{did_you_mean(name, known)} There are {', '.join(known)}."
        )
    members = SETS.get(name, (name,))
    if word != name:
        _require_severity(word, severity, members)
    degree = int(severity or DEFAULT_SEVERITY)
    return [Corruption(member, degree if KINDS[member].strengths else None) for member in members]


def _require_severity(word: str, severity: str, members: Sequence[str]) -> None:
    if not any(KINDS[member].strengths for member in members):
        raise ConfigError(f"--corrupt {word}: there are no degrees of it; leave out the severity")
    if severity not in ("1", "2", "3", "4", "5"):
        raise ConfigError(f"--corrupt {word}: a severity is a number from 1 to 5, as in blur:{DEFAULT_SEVERITY}")


def _number_of(video: str) -> int:
    """The same for a video wherever it comes in a list."""
    return int.from_bytes(hashlib.sha256(video.encode("utf-8", "surrogateescape")).digest()[:8])
