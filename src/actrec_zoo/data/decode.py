"""Frames of a video file or of a folder of images, by number; and how many there are, exactly."""

from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from actrec_zoo.data.layouts import list_frames
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.errors import DataError

_ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg"})


class Source(Protocol):
    """An open video."""

    def read(self, numbers: IntArray) -> Tensor:
        """The frames with these numbers, uint8[T, 3, H, W], RGB.

        Raises:
            DataError: a frame cannot be decoded or the video has fewer frames.
        """


def open_source(path: Path) -> Source:
    """Open a folder of frames or a video file.

    Raises:
        DataError: there is nothing at `path`, or it cannot be opened.
    """
    if path.is_dir():
        return FrameFolder(path)
    return VideoFile(path)


def count_frames(path: Path) -> int:
    """Exact number of frames, without decoding where the codec allows it.

    Container headers are not asked: they are off by one or two in most files. A packet of the codecs listed here
    is a frame. Decoded are other codecs (MPEG-4 part 2 with its packed and skipped frames, VP8 with its invisible
    ones), and files that are cut in the middle of a group of pictures, whose first frames the decoder drops.

    Raises:
        DataError: the video cannot be opened, or holds no frame.
    """
    count = len(list_frames(path)) if path.is_dir() else _count_video_frames(path)
    if count == 0:
        raise DataError(f"{path} holds no frames")
    return count


class FrameFolder:
    """A folder of images in natural order.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._names = list_frames(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`; a frame of another size than the first is resized to it."""
        wanted = numbers.tolist()
        frames = {number: self._decode(number) for number in dict.fromkeys(wanted)}
        return _stack([frames[number] for number in wanted])

    def _decode(self, number: int) -> Tensor:
        if number >= len(self._names):
            raise DataError(f"{self.path} has {len(self._names)} frames, no frame {number}")
        file = self.path / self._names[number]
        try:
            with Image.open(file) as image:
                return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot decode {file}: {_first_line(error)}") from error


class VideoFile:
    """A video file, decoded forwards: a later frame continues where the last request ended.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"there is no video {path}")
        self._frames = self._decode()
        self._next = 0

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`; a frame of another size than the first is resized to it."""
        wanted = set(numbers.tolist())
        if min(wanted) < self._next:
            self._frames.close()
            self._frames, self._next = self._decode(), 0
        found: dict[int, Tensor] = {}
        try:
            while len(found) < len(wanted):
                frame = next(self._frames, None)
                if frame is None:
                    raise DataError(f"{self.path} ends after {self._next} frames, frame {max(wanted)} was expected")
                if self._next in wanted:
                    found[self._next] = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
                self._next += 1
        except (av.FFmpegError, ValueError) as error:
            raise DataError(f"cannot decode {self.path} at frame {self._next}: {_first_line(error)}") from error
        return _stack([found[number] for number in numbers.tolist()])

    def _decode(self) -> Generator[av.VideoFrame]:
        with av.open(str(self.path)) as container:
            yield from container.decode(_video_stream(container, self.path))


def _count_video_frames(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            if stream.codec_context.name in _ONE_FRAME_A_PACKET:
                shown = (p for p in container.demux(stream) if p.size and not p.is_discard)
                keyframes = [p.is_keyframe for p in shown]
                if not keyframes or keyframes[0]:
                    return len(keyframes)
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(_video_stream(container, path)))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {_first_line(error)}") from error


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream, decoded in one thread.

    Videos are decoded side by side as it is. Threads of a decoder do not survive a fork: a worker process that
    clears away a decoder of its parent would wait for them for ever.
    """
    if not container.streams.video:
        raise DataError(f"{path} has no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise DataError(f"{path} has a video codec that cannot be decoded")
    stream.codec_context.thread_count = 1
    return stream


def _stack(frames: list[Tensor]) -> Tensor:
    size = list(frames[0].shape[-2:])
    return torch.stack([f if list(f.shape[-2:]) == size else functional.resize(f, size) for f in frames])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
