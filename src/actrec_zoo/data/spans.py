"""Parts of videos: from frame numbers or seconds to the frames that a probed video really has."""

import contextlib
import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.packets import open_video, video_stream
from actrec_zoo.data.parallel import in_parallel
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.errors import DataError, RunError, first_line
from actrec_zoo.files import cache_folder, write_json

Bounds = Mapping[int, Sequence[int]]
"""First frame, and the frame after the last, of entries by index."""


def cut_to_spans(
    manifest: Manifest, track: Track[tuple[Bounds, str]] = no_progress, cache: Path | None = None
) -> Manifest:
    """A probed manifest whose entries have the frames of their spans alone.

    A frame is in a span of seconds when it is shown first within it, by its time stamp: a variable frame rate is right
    too. A span that reaches beyond the end is cut there; an entry without any frame cannot be read.

    Args:
        manifest: with the frame counts of whole videos.
        track: shows the progress.
        cache: folder of remembered frame numbers; by default in the user's cache folder.
    """
    spans = np.flatnonzero(~np.isnan(manifest.spans[:, 0]) & (manifest.frames > 0)).tolist()
    timed = [index for index in spans if manifest.spans_in_seconds[index]]
    found, errors = _bounds_of_seconds(manifest, timed, track, cache) if timed else ({}, {})
    frames, offsets = manifest.frames.copy(), manifest.offsets.copy()
    for index in spans:
        length = int(frames[index])
        first, last = (int(min(bound, length)) for bound in found.get(index, manifest.spans[index].tolist()))
        if index not in errors and last <= first:
            errors[index] = f"{manifest.path(index)} has no frame in {manifest.span(index)}: it has {length} frames"
        frames[index], offsets[index] = (0, 0) if index in errors else (last - first, first)
    return dataclasses.replace(manifest, frames=frames, offsets=offsets, errors={**manifest.errors, **errors})


def frame_times(path: Path, count: int) -> NDArray[np.float64]:
    """When each frame of a video file is shown, float64[count], in seconds after the first one.

    Time stamps of packets are asked where they are those of the frames; else the video is decoded. A file without
    time stamps has a frame every 1 / rate seconds.

    Args:
        path: of the file.
        count: of its frames.

    Raises:
        DataError: it is a folder of frames, which have no times, or cannot be read.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder of frames, which have no times: give start_frame and end_frame")
    try:
        for decoded in (False, True):
            times = _time_stamps(path, decoded)
            if len(times) == count:
                from_the_first: NDArray[np.float64] = times - times[0]
                return from_the_first
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DataError(f"cannot read {path}: {first_line(error)}") from error
    raise DataError(f"{path} has {len(times)} time stamps for {count} frames")


def _time_stamps(path: Path, decoded: bool) -> NDArray[np.float64]:
    with open_video(path) as container:
        stream = video_stream(container, path)
        items = container.decode(stream) if decoded else (p for p in container.demux(stream) if p.size)
        stamps = [item.pts for item in items if decoded or not getattr(item, "is_discard", False)]
        if None in stamps:
            return np.arange(len(stamps), dtype=np.float64) / float(stream.average_rate or 1)
        return np.sort(np.array(stamps, dtype=np.float64)) * float(stream.time_base or 1)


def _bounds_of_seconds(
    manifest: Manifest, entries: Sequence[int], track: Track[tuple[Bounds, str]], cache: Path | None
) -> tuple[Bounds, dict[int, str]]:
    """Bounds of entries whose spans are in seconds, and why there are none; each video is looked at once."""
    asked = manifest.spans.tobytes() + manifest.spans_in_seconds.tobytes()
    digest = hashlib.sha256(manifest.content_hash().encode() + asked).hexdigest()
    file = (cache or cache_folder() / "spans") / f"{digest}.json"
    bounds: dict[int, Sequence[int]] = _read_cache(file)
    videos: defaultdict[str, list[int]] = defaultdict(list)
    for index in entries:
        if index not in bounds:
            videos[manifest.paths[index]].append(index)
    errors: dict[int, str] = {}
    if not videos:
        return bounds, errors
    found = in_parallel(lambda parts: _bounds_in_video(manifest, parts), videos.values())
    for parts, (own, error) in zip(videos.values(), track(found, len(videos), "Reading times"), strict=True):
        bounds.update(own)
        errors.update(dict.fromkeys(parts, error) if error else {})
    with contextlib.suppress(RunError):  # a cache that cannot be written costs time, nothing else
        write_json(file, {str(index): list(bound) for index, bound in bounds.items()})
    return bounds, errors


def _bounds_in_video(manifest: Manifest, parts: Sequence[int]) -> tuple[Bounds, str]:
    try:
        times = frame_times(manifest.path(parts[0]), int(manifest.frames[parts[0]]))
    except DataError as error:
        return {}, str(error)
    return {index: np.searchsorted(times + 1e-6, manifest.spans[index]).tolist() for index in parts}, ""


def _read_cache(file: Path) -> dict[int, Sequence[int]]:
    try:
        return {int(index): (int(first), int(last)) for index, (first, last) in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
