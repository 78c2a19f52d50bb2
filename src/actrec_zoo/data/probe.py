"""Counts the frames of every video once: in parallel, remembered under the manifest's content hash."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.decode import count_frames, video_reader
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.parallel import in_parallel
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.files import cache_folder, write_text

T = TypeVar("T")
Track = Callable[[Iterable[T], int, str], Iterable[T]]
"""Shows progress over an iterable, given its length and a description."""


def no_progress(items: Iterable[T], total: int, description: str) -> Iterable[T]:
    """The `Track` that shows nothing."""
    return items


def probe(manifest: Manifest, track: Track[tuple[int, str]] = no_progress, cache: Path | None = None) -> Manifest:
    """The manifest with the exact frame count of each video, and the error of each that cannot be read.

    A video that could not be read is tried again the next time: the reason may lie outside of it.

    Args:
        manifest: videos to count.
        track: shows the progress.
        cache: folder of remembered counts; by default in the user's cache folder.

    Raises:
        ConfigError: the decoder of videos that was chosen cannot be used: said here, before there are workers.
    """
    video_reader()
    file = (cache or cache_folder() / "frames") / f"{manifest.content_hash()}.json"
    counts = _read_cache(file, len(manifest))
    unknown = np.flatnonzero(counts == 0)
    if not len(unknown):
        return dataclasses.replace(manifest, frames=counts, errors={})
    errors = {}
    counted = in_parallel(lambda index: _count(manifest.path(int(index))), unknown)
    for index, (count, error) in zip(unknown, track(counted, len(unknown), "Counting frames"), strict=True):
        counts[index] = count
        if error:
            errors[int(index)] = error
    with contextlib.suppress(RunError):  # a cache that cannot be written costs time, nothing else
        write_text(file, json.dumps(counts.tolist()))
    return dataclasses.replace(manifest, frames=counts, errors=errors)


def _count(path: Path) -> tuple[int, str]:
    try:
        return count_frames(path), ""
    except (DataError, OSError) as error:
        return 0, str(error)


def _read_cache(file: Path, length: int) -> NDArray[np.int32]:
    """The counts that are remembered, 0 where none is."""
    nothing = np.zeros(length, dtype=np.int32)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return nothing
    if not isinstance(values, list) or len(values) != length:
        return nothing
    return np.array(values, dtype=np.int32) if all(type(v) is int and 0 <= v < 2**31 for v in values) else nothing
