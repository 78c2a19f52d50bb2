"""What a video states of itself without decoding: its size and its frame rate."""

from pathlib import Path
from typing import NamedTuple

import av

from actrec_zoo.data.images import image_size
from actrec_zoo.data.layouts import list_frames
from actrec_zoo.data.pack import find_packed
from actrec_zoo.data.packets import open_video, video_stream
from actrec_zoo.errors import DataError


class Header(NamedTuple):
    """Size of the frames in pixels, and mean frames a second: 0 for a folder of frames, or where none is stated."""

    width: int
    height: int
    rate: float


def read_header(path: Path) -> Header | None:
    """The header of a folder of frames, a video file or a packed video; None where it cannot be read."""
    try:
        if path.is_dir():
            height, width = image_size(path / list_frames(path)[0])
            return Header(width, height, 0.0)
        packed = find_packed(path)
        if packed is not None:
            return Header(packed.width, packed.height, packed.rate)
        with open_video(path) as container:
            stream = video_stream(container, path)
            return Header(stream.width, stream.height, float(stream.average_rate or 0))
    except (DataError, OSError, ValueError, IndexError, av.FFmpegError):
        return None
