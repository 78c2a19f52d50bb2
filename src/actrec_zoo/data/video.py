"""Frames of a video file by number: frame n is the n-th of a plain decode from the start, however it is reached."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from torch import Tensor

from actrec_zoo.data.frames import Frame, clip_of
from actrec_zoo.data.keyframes import KeyFrame, key_frames_of
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.packets import Packet, decode_marked, open_video, video_stream
from actrec_zoo.errors import DataError, first_line

_FAR = 16
_TRIES = 3


class VideoFile:
    """A video file that stays open.

    A later frame continues where the last request ended. One further away, ahead or behind, is reached from the
    nearest key frame before it that is known, which has to show itself after the seek; else from the start.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys = key_frames_of(path)
        self._scaler = VideoReformatter()
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0
        self._wanted_from: int | None = None

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`; a frame of another size than the first is resized to it."""
        wanted = numbers.tolist()
        found: dict[int, Frame] = {}
        try:
            for number in sorted(set(wanted)):
                found[number] = to_rgb(self._frame(number), self._scaler)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._container = None
            raise DataError(f"cannot decode {self.path} at frame {self._next}: {first_line(error)}") from error
        return clip_of(wanted, lambda number, room: found[number])

    def _frame(self, number: int) -> av.VideoFrame:
        frame = self._decode_to(number)
        if frame is None and self._keys.time_of(number) is not None:
            self._keys.distrust_times()
            self._restart()
            frame = self._decode_to(number)
        if frame is None:
            raise DataError(f"{self.path} ends after {self._next} frames, frame {number} was expected")
        return frame

    def _decode_to(self, number: int) -> av.VideoFrame | None:
        """The frame, or None where it does not come."""
        self._approach(number)
        self._wanted_from = self._keys.time_of(number)
        for frame in self._frames:
            self._keys.learn(self._next, frame)
            known = self._keys.number_at(frame.pts)
            self._next = (self._next if known is None else known) + 1
            if self._next > number:
                return frame if self._next == number + 1 else None
        return None

    def _is_needed(self, time: int | None) -> bool:
        return time is None or self._wanted_from is None or time >= self._wanted_from

    def _approach(self, number: int) -> None:
        """Go to the place from which the fewest frames are decoded on the way to `number`."""
        container = self._container or self._restart()
        here = self._next if self._next <= number else 0
        if number - here > _FAR:
            self._keys.ask_packets(self.path)
            keys = self._keys.before(number, _TRIES)
            for key in itertools.takewhile(lambda key: key.number > here, keys):
                if self._seek(container, key, number):
                    return
                self._next = number + 1  # the place in the file is lost
        if self._next > number:
            self._restart()

    def _restart(self) -> av.container.InputContainer:
        container = open_video(self.path)
        self._frames = decode_marked(container, video_stream(container, self.path), self._is_needed)
        self._container, self._next = container, 0
        return container

    def _seek(self, container: av.container.InputContainer, key: KeyFrame, number: int) -> bool:
        """Continue at a known key frame at or before `number`; False where none shows itself."""
        stream = container.streams.video[0]
        try:
            container.seek(key.time, stream=stream)
            frames = decode_marked(container, stream, self._is_needed)
            for frame in frames:
                known = self._keys.number_of(frame)
                if known is not None and known <= number:
                    self._frames, self._next = itertools.chain((frame,), frames), known
                    return True
                if isinstance(frame.opaque, Packet) and (frame.opaque.position or 0) >= key.position:
                    return False
        except av.FFmpegError:
            pass
        return False


def to_rgb(frame: av.VideoFrame, scaler: VideoReformatter) -> Frame:
    """A frame as it is shown, at its full size: swscale shrinks no faster than it converts and torchvision resizes.

    Args:
        frame: decoded.
        scaler: kept from frame to frame, for speed.
    """
    rgb = scaler.reformat(frame, format="rgb24", threads=1)  # threads of a scaler do not survive a fork
    return np.rot90(rgb.to_ndarray(), round(frame.rotation / 90) % 4)
