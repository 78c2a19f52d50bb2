"""A network together with what it takes to use it: labels, preprocessing, prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actrec_zoo.data.decode import Source, count_frames, open_source
from actrec_zoo.data.frames import Size
from actrec_zoo.data.layouts import IMAGE_SUFFIXES
from actrec_zoo.data.rates import video_rate
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform, Normalization
from actrec_zoo.errors import DataError
from actrec_zoo.memory import shortages_named
from actrec_zoo.spec import InputSpec, ModelSpec

Video = str | Path | NDArray[np.uint8] | Tensor
"""A video file, a folder of frames, or frames uint8[T, H, W, 3], RGB."""

_CLIPS_AT_ONCE = 8


class VideoClassifier(nn.Module):
    """A video classifier that knows its labels and its input.

    Args:
        net: network with `forward`, `forward_features` and `forward_head`.
        spec: of the model.
        id: qualified id of the model, `plugin:name`.
        labels: class names.
        input: preprocessing.
        options: architecture options that the network was built with.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        spec: ModelSpec,
        id: str,  # noqa: A002 (the field's name in every format)
        labels: Sequence[str],
        input: InputSpec,  # noqa: A002
        options: dict[str, object],
    ) -> None:
        super().__init__()
        self.net = net
        self.spec = spec
        self.id = id
        self.labels = tuple(labels)
        self.input = input
        self.options = options
        self._normalize = Normalization(input)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised clips float32[B, 3, T, H, W] to logits [B, K]."""
        return cast(Tensor, self.net(clips))

    def forward_features(self, clips: Tensor) -> Tensor:
        """Normalised clips float32[B, 3, T, H, W] to what the head takes."""
        return cast(Callable[[Tensor], Tensor], self.net.forward_features)(clips)

    def forward_head(self, features: Tensor) -> Tensor:
        """Features to logits [B, K]; after `forward_features` the same as `forward`."""
        return cast(Callable[[Tensor], Tensor], self.net.forward_head)(features)

    def preprocess(self, clips: Tensor) -> Tensor:
        """Resized and cropped clips uint8[B, T, 3, S, S] to normalised float32[B, 3, T, S, S]."""
        return cast(Tensor, self._normalize(clips))

    @shortages_named("predict", "Where other work fills a GPU, --device cpu may do.")
    @torch.inference_mode()
    def predict(self, video: Video, top_k: int = 5) -> list[tuple[str, float]]:
        """The most probable labels of one video, with their probabilities, best first.

        The video is cut into clips as the input says, and the softmax of the clips is averaged: the same
        numbers as the video level of `actrec_zoo.evaluate`.

        Raises:
            DataError: the video cannot be read, or an array is not uint8[T, H, W, 3].
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            scores = [self(self.preprocess(c.to(self.device))).softmax(1) for c in self._clips(video)]
        finally:
            for module, mode in modes:
                module.training = mode
        probabilities = torch.cat(scores).float().mean(dim=0)
        best = probabilities.topk(min(top_k, len(self.labels)))
        return [(self.labels[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    def _clips(self, video: Video) -> Iterator[Tensor]:
        """Clips of a video, uint8[B, T, 3, S, S], a few at a time."""
        transform = ClipTransform(self.input)
        source, length = _open(video, transform.least)
        sampler = ClipSampler.for_evaluation(self.input)
        rate = video_rate(Path(video)) if self.input.fps and isinstance(video, str | Path) else 0.0
        clips = int(sampler.clips_per_video(np.array([length]), np.array([rate]))[0])
        key = (0, 0, 0)
        for first in range(0, clips, _CLIPS_AT_ONCE):
            views = range(first, min(first + _CLIPS_AT_ONCE, clips))
            frames = (source.read(sampler.frame_numbers(length, view, key, rate)) for view in views)
            yield torch.stack([transform(clip, key) for clip in frames])


class _Frames:
    """Frames in memory as a `Source`."""

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames.permute(0, 3, 1, 2)

    def read(self, numbers: NDArray[np.int64]) -> Tensor:
        return self._frames[torch.from_numpy(numbers)]


def _open(video: Video, least: Size | None) -> tuple[Source, int]:
    if isinstance(video, str | Path):
        path = Path(video)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise DataError(f"{path} is one image: give a video, or the folder that holds its frames")
        return open_source(path, least), count_frames(path)
    frames = video if isinstance(video, Tensor) else np.asarray(video)
    shape = tuple(frames.shape)
    if str(frames.dtype).removeprefix("torch.") != "uint8" or len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise DataError(f"frames must be uint8[T, H, W, 3], RGB, not {frames.dtype} {shape}")
    if isinstance(frames, np.ndarray):  # torch takes neither negative strides nor, without a warning, read-only arrays
        frames = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    return _Frames(frames.cpu()), len(frames)
