"""Frames a second of videos, for clips that are taken at a rate of their own."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from actrec_zoo.data.headers import read_header
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.parallel import in_parallel
from actrec_zoo.data.probe import Track, no_progress

_log = logging.getLogger(__name__)


def video_rate(path: Path) -> float:
    """Mean frames a second that a video states; 0 for a folder of frames, or where it states none."""
    header = read_header(path)
    return header.rate if header else 0.0


def with_rates(manifest: Manifest, track: Track[float] = no_progress) -> Manifest:
    """A probed manifest with the rate of each readable video; 0 where it states none."""
    readable = np.flatnonzero(manifest.frames > 0)
    rates = np.zeros(len(manifest), dtype=np.float64)
    found = in_parallel(lambda index: video_rate(manifest.path(int(index))), readable)
    rates[readable] = np.fromiter(track(found, len(readable), "Reading rates"), np.float64, len(readable))
    return dataclasses.replace(manifest, rates=rates)


def warn_of_unknown_rates(manifest: Manifest) -> None:
    """Say in the log how many readable videos have no rate, so that clips of them are taken frame by frame."""
    unknown = int((manifest.rates[manifest.frames > 0] == 0).sum())
    if unknown:
        _log.warning("%d videos state no frame rate (folders of frames): they are taken frame by frame", unknown)
