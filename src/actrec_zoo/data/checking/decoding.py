"""Whether a video can be used: it is really decoded, and its length compared with what the file states."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from actrec_zoo.data.checking.findings import Finding
from actrec_zoo.data.checking.likeness import NO_THUMBNAILS, STEP, Thumbnails, thumbnails
from actrec_zoo.data.decode import open_source
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.packets import open_video, video_stream
from actrec_zoo.errors import DataError, first_line

_AT_ONCE = 4
_TOLERANCE = 0.02
_TOLERANCE_OF_DURATION = 0.1


def frames_of(path: Path, numbers: IntArray) -> Iterator[tuple[IntArray, Tensor]]:
    """Decode frames, a few at a time: their numbers, and uint8[T, 3, H, W].

    Raises:
        DataError: one cannot be decoded.
    """
    source = open_source(path)
    for start in range(0, len(numbers), _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        yield part, source.read(part)


def look_at(manifest: Manifest, video: int, *, all_frames: bool, picture: bool) -> tuple[Finding | None, Thumbnails]:
    """Decode a video of a probed manifest.

    Args:
        manifest: with frame counts.
        video: its number.
        all_frames: decode every frame, not the first, middle and last alone.
        picture: decode every `STEP`-th frame too, and make a thumbnail of it.

    Returns:
        What is wrong with the video, and its thumbnails.
    """
    path, count = manifest.path(video), int(manifest.frames[video])
    finding = unusable(manifest, video)
    if count == 0:
        return finding, NO_THUMBNAILS
    pictured = np.arange(0, count if picture else 0, STEP)
    numbers = np.arange(count) if all_frames else np.union1d(pictured, [0, count // 2, count - 1])
    found, missing = [NO_THUMBNAILS], ""
    try:
        missing = shortfall(path)
        for part, frames in frames_of(path, numbers):
            wanted = np.isin(part, pictured)
            if wanted.any():
                found.append(thumbnails(frames[torch.from_numpy(wanted)]))
    except (DataError, OSError) as error:
        finding = Finding("unreadable", manifest.paths[video], detail=str(error))
    if missing:
        finding = Finding("truncated", manifest.paths[video], detail=missing)
    return finding, np.concatenate(found)


def unusable(manifest: Manifest, video: int) -> Finding | None:
    """Why a video of a probed manifest is of no use: no frames, one frame, or an error of the probe."""
    path, error = manifest.paths[video], manifest.errors.get(video, "")
    if error:
        file = manifest.path(video)
        empty = error.endswith("holds no frames") or (file.is_file() and not file.stat().st_size)
        return Finding("empty" if empty else "unreadable", path, detail=error)
    if manifest.frames[video] == 1:
        return Finding("one frame", path)
    return None


def shortfall(path: Path) -> str:
    """What a video file lacks of what its header states, in words; empty where nothing is missing.

    Frame counts of headers are off by one or two in many files, and durations by more; only what is missing beyond that
    is told. A packet that the file ends in the middle of is told always. A folder of frames, and a pack, state nothing.
    """
    if not path.is_file():
        return ""
    try:
        with open_video(path) as container:
            stream = video_stream(container, path)
            packets = [packet.is_corrupt for packet in container.demux(stream) if packet.dts is not None]
            stated = stream.frames
            tolerance = max(2.0, _TOLERANCE * stated)
            if not stated and container.duration and stream.average_rate:
                stated = round(container.duration / av.time_base * stream.average_rate)
                tolerance = max(2.0, _TOLERANCE_OF_DURATION * stated)
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise DataError(f"cannot read {path}: {first_line(error)}") from error
    if stated - len(packets) > tolerance:
        return f"{len(packets)} of {stated} frames are there"
    return "the last frame is cut off" if any(packets[-1:]) else ""
