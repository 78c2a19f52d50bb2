"""Frames a second of videos, for clips that are taken at a rate of their own."""

import dataclasses
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.probe import Track, no_progress

_log = logging.getLogger(__name__)


def video_rate(path: Path) -> float:
    """Mean frames a second that the header of a video states; 0 for a folder of frames, or where it states none."""
    if path.is_dir():
        return 0.0
    try:
        with av.open(str(path)) as container:
            return float(container.streams.video[0].average_rate or 0)
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return 0.0


def with_rates(manifest: Manifest, track: Track[float] = no_progress) -> Manifest:
    """A probed manifest with the rate of each readable video; how many have none is told in the log."""
    readable = np.flatnonzero(manifest.frames > 0)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = pool.map(lambda index: video_rate(manifest.path(index)), readable.tolist())
        rates = np.zeros(len(manifest), dtype=np.float64)
        rates[readable] = list(track(found, len(readable), "Reading rates"))
    unknown = int((rates[readable] == 0).sum())
    if unknown:
        _log.warning("%d videos state no frame rate (folders of frames): they are taken frame by frame", unknown)
    return dataclasses.replace(manifest, rates=rates)
