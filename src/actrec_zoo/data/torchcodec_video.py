"""Video files by torchcodec, an extra. Where it cannot be sure of a frame, PyAV reads the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from actrec_zoo.data.keyframes import version_of
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.packets import Packet, one_frame_packets, open_video, video_stream
from actrec_zoo.data.video import VideoFile
from actrec_zoo.errors import ConfigError, DataError

_BITS = 8
_VIDEOS_REMEMBERED = 4096


class TorchcodecFile:
    """A video file that stays open, decoded by torchcodec where that gives the frames of `VideoFile`.

    torchcodec goes by packets and by the marks of key frames, and is silent where these are wrong. So it is asked
    only where packets tell the time of every frame, and for the key frame too that it seeks to; each frame that
    comes has to have its time. A file with deeper colours, with damage, or with a frame of another time is read by
    `VideoFile`, with its errors.

    Args:
        path: of the file.

    Raises:
        ConfigError: torchcodec cannot be used here.
        DataError: there is no file at `path`, or it may not be looked at.
    """

    def __init__(self, path: Path) -> None:
        self._decoder_class = video_decoder_class()
        self._path = path
        self._by_pyav = VideoFile(path)
        self._timeline = _timeline(path, *version_of(path))
        self._decoder: Any = None
        self._last = -1

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`; a frame of another size than the first is resized to it."""
        if self._timeline is not None and self._timeline.holds:
            frames = self._by_torchcodec(self._timeline, numbers.tolist())
            if frames is not None:
                return frames
            self._timeline.holds, self._decoder = False, None
        return self._by_pyav.read(numbers)

    def _by_torchcodec(self, timeline: Timeline, wanted: Sequence[int]) -> Tensor | None:
        """The frames; None where one does not come, or comes with another time."""
        numbers = sorted(set(wanted))
        if numbers[-1] >= len(timeline.times):
            return None
        asked = list(dict.fromkeys(self._with_key_frames(timeline, numbers)))
        try:
            if self._decoder is None:
                path = str(self._path.absolute())  # a name like `http:v.mp4` is a name, not an address
                self._decoder = self._decoder_class(path, stream_index=timeline.stream, dimension_order="NHWC")
            batch = self._decoder.get_frames_at(asked)
        except (RuntimeError, ValueError, IndexError):
            return None
        self._last = asked[-1]
        if not np.array_equal(np.rint(batch.pts_seconds.numpy() / timeline.base), timeline.times[asked]):
            return None
        frames = batch.data if asked == wanted else batch.data[torch.tensor([asked.index(n) for n in wanted])]
        return torch.as_tensor(frames).permute(0, 3, 1, 2)

    def _with_key_frames(self, timeline: Timeline, numbers: Sequence[int]) -> Iterator[int]:
        """Each number, and before one that is reached by seeking, that of its key frame."""
        here = self._last
        for number in numbers:
            key = timeline.key_before(number)
            if not key <= here <= number:
                yield key
            yield number
            here = number


class Timeline:
    """What the packets of a video file tell of its frames.

    Args:
        stream: index of the video stream in the file.
        base: seconds a unit of time.
        packets: one a frame, each with a time of its own.

    Attributes:
        times: int64[N], when each frame is shown, in units.
        holds: whether decoding has agreed so far.
    """

    def __init__(self, stream: int, base: float, packets: Sequence[Packet]) -> None:
        self.stream = stream
        self.base = base
        self.times = _times(packets)
        self.holds = True
        self._keys = np.searchsorted(self.times, _times([packet for packet in packets if packet.is_key]))

    def key_before(self, number: int) -> int:
        """Number of the last key frame at or before frame `number`."""
        return int(self._keys[np.searchsorted(self._keys, number, side="right") - 1])


def video_decoder_class() -> Any:
    """torchcodec's `VideoDecoder`.

    Raises:
        ConfigError: torchcodec is not installed, or finds no FFmpeg.
    """
    try:
        import torchcodec
    except ImportError as error:
        raise ConfigError("the decoder torchcodec needs `pip install 'actrec-zoo[torchcodec]'`") from error
    if torchcodec.ffmpeg_major_version is None:
        raise ConfigError(
            "the decoder torchcodec finds no FFmpeg that it can load: install FFmpeg with its shared libraries"
            " (`apt install ffmpeg`, `conda install ffmpeg`), and a torchcodec for this version of torch"
        )
    return torchcodec.decoders.VideoDecoder


@lru_cache(maxsize=_VIDEOS_REMEMBERED)
def _timeline(path: Path, size: int, modified: int) -> Timeline | None:
    """None where packets do not tell the times of all frames, where colours are deeper, and where all fails."""
    try:
        packets = one_frame_packets(path)
        if not packets or len(_times(packets)) < len(packets):
            return None
        with open_video(path) as container:
            stream = video_stream(container, path)
            base, colours = stream.time_base, stream.format
            if base is None or colours is None or any(part.bits > _BITS for part in colours.components):
                return None
            return Timeline(stream.index, float(base), packets)
    except (av.FFmpegError, DataError, OSError, ValueError):
        return None


def _times(packets: Sequence[Packet]) -> IntArray:
    return np.unique([packet.time for packet in packets if packet.time is not None]).astype(np.int64)
