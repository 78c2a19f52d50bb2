"""Where in a video file decoding can begin: the key frames, found among the packets or on the way."""

import bisect
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.packets import Packet, one_frame_packets
from actrec_zoo.errors import DataError

_APART = 16
_VIDEOS_REMEMBERED = 4096


class KeyFrame(NamedTuple):
    """A frame that decoding can begin at.

    Attributes:
        number: of the frame in a plain decode.
        time: to seek to, in units of the stream's time base.
        position: of its packet in the file, in bytes: by this it is known again.
    """

    number: int
    time: int
    position: int


class KeyFrames:
    """The key frames of one video, as far as they are known; of those close together the first.

    Where packets tell all, the times of all frames are known too.
    """

    def __init__(self) -> None:
        self._found: list[KeyFrame] = []
        self._numbers: dict[int, int] = {}
        self._times: IntArray | None = None
        self._asked = False

    def ask_packets(self, path: Path) -> None:
        """Look for all key frames among the packets, once, where packets tell the numbers of frames."""
        if self._asked:
            return
        self._asked = True
        packets = one_frame_packets(path)
        if packets is None:
            return
        times = np.unique([packet.time for packet in packets if packet.time is not None]).astype(np.int64)
        if len(times) < len(packets):
            return
        self._times, self._found, self._numbers = times, [], {}
        for packet in packets:
            if packet.is_key and packet.time is not None:
                self._add(int(np.searchsorted(times, packet.time)), packet)

    def time_of(self, number: int) -> int | None:
        """When frame `number` is shown; None where times are not known or there is no such frame."""
        return int(self._times[number]) if self._times is not None and number < len(self._times) else None

    def number_at(self, time: int | None) -> int | None:
        """Number of the frame that is shown at a time; None where that is not known."""
        if self._times is None or time is None:
            return None
        number = int(np.searchsorted(self._times, time))
        return number if self.time_of(number) == time else None

    def distrust_times(self) -> None:
        """Forget what packets have told."""
        self._times, self._found, self._numbers = None, [], {}

    def learn(self, number: int, frame: av.VideoFrame) -> None:
        """Take note of frame `number`, which came from decoding."""
        if self._times is None and frame.key_frame and isinstance(frame.opaque, Packet):
            self._add(number, frame.opaque)

    def before(self, number: int, most: int) -> list[KeyFrame]:
        """At most so many key frames at or before frame `number`, the nearest first."""
        end = bisect.bisect_right(self._found, number, key=lambda key: key.number)
        return self._found[max(0, end - most) : end][::-1]

    def number_of(self, frame: av.VideoFrame) -> int | None:
        """Number of a frame that is a known key frame."""
        packet = frame.opaque
        if not frame.key_frame or not isinstance(packet, Packet) or packet.position is None:
            return None
        return self._numbers.get(packet.position)

    def _add(self, number: int, packet: Packet) -> None:
        if self._found and number < self._found[-1].number + _APART:
            return
        if packet.time is None or packet.position is None or packet.position in self._numbers:
            return
        self._found.append(KeyFrame(number, packet.time, packet.position))
        self._numbers[packet.position] = number


def key_frames_of(path: Path) -> KeyFrames:
    """What is known of the key frames of a video file, remembered in this process until the file changes.

    Raises:
        DataError: there is no file at `path`, or it may not be looked at.
    """
    return _remembered(path, *version_of(path))


def version_of(path: Path) -> tuple[int, int]:
    """Size of a video file in bytes and when it changed, in nanoseconds.

    Raises:
        DataError: there is no file at `path`, or it may not be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"there is no video {path}: {error.strerror}") from error
    if not path.is_file():
        raise DataError(f"there is no video {path}")
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=_VIDEOS_REMEMBERED)
def _remembered(path: Path, size: int, modified: int) -> KeyFrames:
    return KeyFrames()
