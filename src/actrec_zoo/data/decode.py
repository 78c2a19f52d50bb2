"""Frames of a video file or of a folder of images, by number; and how many there are, exactly."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from actrec_zoo.data.frames import Size
from actrec_zoo.data.images import FrameFolder
from actrec_zoo.data.layouts import list_frames
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.pack import find_packed
from actrec_zoo.data.packets import count_video_frames
from actrec_zoo.data.torchcodec_video import TorchcodecFile, video_decoder_class
from actrec_zoo.data.video import VideoFile
from actrec_zoo.errors import ConfigError, DataError, did_you_mean

DECODER_VARIABLE = "ACTREC_ZOO_DECODER"
DECODERS = ("pyav", "torchcodec")


class Source(Protocol):
    """An open video."""

    def read(self, numbers: IntArray) -> Tensor:
        """The frames with these numbers, uint8[T, 3, H, W], RGB, turned the way they are to be shown.

        Raises:
            DataError: a frame cannot be decoded or the video has fewer frames.
        """


def open_source(path: Path, least: Size | None = None) -> Source:
    """Open a folder of frames, a video file, or a video of a pack.

    Args:
        path: of the folder or the file; of a packed video, below the folder of the pack.
        least: height and width below which a frame is of no use: a larger JPEG is shrunk by a power of two as it is
            decoded. None keeps every pixel.

    Raises:
        ConfigError: see `video_reader`.
        DataError: there is nothing at `path`, or it cannot be opened.
    """
    if _is_folder(path):
        return FrameFolder(path, least)
    packed = find_packed(path, least)
    return video_reader()(path) if packed is None else packed


def video_reader() -> Callable[[Path], Source]:
    """What opens video files: that of `ACTREC_ZOO_DECODER`, which worker processes inherit; PyAV where it is not set.

    Raises:
        ConfigError: there is no such decoder, or it cannot be used here.
    """
    name = os.environ.get(DECODER_VARIABLE) or "pyav"
    if name not in DECODERS:
        raise ConfigError(
            f"{DECODER_VARIABLE} is {name!r}: there is no such decoder.{did_you_mean(name, DECODERS)} "
            f"There are {', '.join(DECODERS)}."
        )
    if name == "pyav":
        return VideoFile
    video_decoder_class()
    return TorchcodecFile


def count_frames(path: Path) -> int:
    """Exact number of frames, without decoding where the codec allows it.

    Raises:
        DataError: the video cannot be opened, or holds no frame.
    """
    try:
        if _is_folder(path):
            count = len(list_frames(path))
        else:
            packed = find_packed(path)
            count = count_video_frames(path) if packed is None else len(packed)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if count == 0:
        raise DataError(f"{path} holds no frames")
    return count


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
