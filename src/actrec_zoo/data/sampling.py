"""Which frames of a video make a clip: pure functions of the video's length and of (seed, epoch, index)."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.errors import ConfigError
from actrec_zoo.spec import InputSpec

TrainSampling = Literal["blocks", "random", "uniform"]


@dataclass(frozen=True)
class ClipSampler:
    """Cuts videos into clips.

    Attributes:
        mode: `blocks`: non-overlapping runs of `frames` frames at a stride, a short tail dropped; `random`: one
            run at a random place a video and epoch; `uniform`: `frames` frames spread over the video, `views`
            times, each view shifted by a fraction of a segment.
        frames: frames in a clip, T.
        stride: video frames from one clip frame to the next (`blocks` and `random`).
        views: clips a video under `uniform`.
    """

    mode: TrainSampling
    frames: int
    stride: int = 1
    views: int = 1

    def __post_init__(self) -> None:
        if self.mode not in get_args(TrainSampling):
            raise ConfigError(f"unknown sampling {self.mode!r}: choose one of {', '.join(get_args(TrainSampling))}")

    @classmethod
    def for_evaluation(cls, spec: InputSpec) -> "ClipSampler":
        """How the input cuts a whole video into clips."""
        return cls(spec.sampling, spec.frames, spec.stride, spec.views)

    @property
    def deterministic(self) -> bool:
        """Whether every epoch sees the same clips."""
        return self.mode != "random"

    def clips_per_video(self, lengths: IntArray) -> IntArray:
        """Number of clips of videos with so many frames; a readable video has at least one, an empty one none."""
        match self.mode:
            case "random":
                clips = np.ones_like(lengths)
            case "uniform":
                clips = np.full_like(lengths, self.views)
            case _:
                reach = (self.frames - 1) * self.stride + 1
                clips = np.maximum((lengths - reach) // (self.frames * self.stride) + 1, 1)
        return np.where(lengths > 0, clips, 0)

    def frame_numbers(self, length: int, view: int, key: tuple[int, int, int]) -> IntArray:
        """Frame numbers, int64[T], of clip `view` of a video with `length` frames.

        A video shorter than the clip repeats its last frame. `key` is (seed, epoch, index), which `random` alone
        looks at.
        """
        steps = np.arange(self.frames, dtype=np.int64)
        if self.mode == "uniform":
            numbers = ((steps + (view + 0.5) / self.views) * (length / self.frames)).astype(np.int64)
        else:
            numbers = self._start(length, view, key) + steps * self.stride
        return np.minimum(numbers, length - 1)

    def _start(self, length: int, view: int, key: tuple[int, int, int]) -> int:
        if self.mode == "blocks":
            return view * self.frames * self.stride
        places = max(1, length - (self.frames - 1) * self.stride)
        return int(np.random.default_rng(key).integers(places))
