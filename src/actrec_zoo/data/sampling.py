"""Which frames of a video make a clip: pure functions of the video's length and of (seed, epoch, index)."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.streams import Stream, generator
from actrec_zoo.errors import ConfigError
from actrec_zoo.spec import InputSpec

TrainSampling = Literal["blocks", "random", "uniform"]
ClipMode = Literal["blocks", "random", "uniform", "spread"]

_DIGITS = 9  # 3.3 / 1.1 is 2.9999999999999996


@dataclass(frozen=True)
class ClipSampler:
    """Cuts videos into clips.

    Attributes:
        mode: `blocks`: non-overlapping runs of `frames` frames at a stride, a short tail dropped; `random`: one
            run at a random place a video and epoch; `uniform`: `frames` frames spread over the video, `views`
            times, each view shifted by a fraction of a segment; `spread`: `views` runs of `frames` frames at a stride,
            the first at the start of the video, the last at its end, one alone in the middle.
        frames: frames in a clip, T.
        stride: video frames from one clip frame to the next (all but `uniform`).
        views: clips a video under `uniform` and `spread`.
        fps: clip frames a second of the video, instead of `stride`: of two video frames the earlier is taken.
    """

    mode: ClipMode
    frames: int
    stride: int = 1
    views: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(ClipMode):
            raise ConfigError(f"unknown sampling {self.mode!r}: choose one of {', '.join(get_args(ClipMode))}")

    @classmethod
    def for_evaluation(cls, spec: InputSpec) -> "ClipSampler":
        """How the input cuts a whole video into clips."""
        return cls(spec.sampling, spec.frames, spec.stride, spec.views, spec.fps)

    @property
    def deterministic(self) -> bool:
        """Whether every epoch sees the same clips."""
        return self.mode != "random"

    def step(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Video frames from one clip frame to the next, for videos of these frames a second; 0 is an unknown rate."""
        if self.fps is None:
            return np.full_like(rates, self.stride)
        return np.where(rates > 0, np.round(rates / self.fps, _DIGITS), 1.0)

    def clips_per_video(
        self, lengths: NDArray[np.signedinteger[Any]], rates: NDArray[np.float64] | None = None
    ) -> IntArray:
        """Clips of videos with so many frames, int64[N]: a readable video has at least one, an empty one none."""
        match self.mode:
            case "random":
                clips = np.ones_like(lengths)
            case "uniform" | "spread":
                clips = np.full_like(lengths, self.views)
            case _:
                step = self.step(np.zeros(len(lengths)) if rates is None else rates)
                reach = np.floor((self.frames - 1) * step) + 1
                clips = np.maximum((lengths - reach) // (self.frames * step) + 1, 1)
        return np.where(lengths > 0, clips, 0).astype(np.int64)

    def frame_numbers(self, length: int, view: int, key: tuple[int, int, int], rate: float = 0.0) -> IntArray:
        """Frame numbers, int64[T], of clip `view` of a video with `length` frames, `rate` a second.

        A video shorter than the clip repeats its last frame. `key` is (seed, epoch, index), which `random` alone
        looks at.
        """
        steps = np.arange(self.frames, dtype=np.int64)
        if self.mode == "uniform":
            numbers = ((steps + (view + 0.5) / self.views) * (length / self.frames)).astype(np.int64)
        else:
            step = float(self.step(np.array([rate]))[0])
            numbers = self._start(length, view, key, step) + (steps * step).astype(np.int64)
        return np.minimum(numbers, length - 1)

    def _start(self, length: int, view: int, key: tuple[int, int, int], step: float) -> int:
        if self.mode == "blocks":
            return int(view * self.frames * step)
        last = max(0, length - 1 - int((self.frames - 1) * step))
        if self.mode == "spread":
            return last // 2 if self.views == 1 else view * last // (self.views - 1)
        return int(generator(Stream.FRAMES, *key).integers(last + 1))
