"""What a data set holds: classes, videos, frames, durations, sizes, junk, and how even its classes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actrec_zoo.data.headers import Header, read_header
from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.data.parallel import in_parallel
from actrec_zoo.data.probe import Track, no_progress

OVER, UNDER = 1.5, 0.5
RULE = f"more than {OVER:g} times, or less than {UNDER:g} times, what the median class has"
"""When a class is over-represented or under-represented. The median, since a few large classes would move the mean."""

_SIZES_SHOWN = 5


class Spread(NamedTuple):
    """Smallest, median and largest of a figure."""

    min: float
    median: float
    max: float


class ClassCounts(NamedTuple):
    """Readable videos of a class, and their frames."""

    label: str
    videos: int
    frames: int


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        data: where.
        classes: counts of each, in the order of the manifest.
        unreadable: path and error of each video that cannot be read.
        frames: spread over videos.
        seconds: spread over video files; None without any.
        width: spread over videos, in pixels.
        height: spread over videos, in pixels.
        sizes: the most frequent `width x height`, and how many videos have it.
        splits: videos in each split that the data set states.
        groups: number of source groups.
        skipped: how many things were passed over, by kind.
    """

    data: str
    classes: tuple[ClassCounts, ...]
    unreadable: tuple[tuple[str, str], ...]
    frames: Spread | None
    seconds: Spread | None
    width: Spread | None
    height: Spread | None
    sizes: Mapping[str, int]
    splits: Mapping[str, int]
    groups: int
    skipped: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `data inspect --json` prints them."""
        spreads = {
            name: spread._asdict() if spread else None
            for name in ("frames", "seconds", "width", "height")
            for spread in [getattr(self, name)]
        }
        return {
            "data": self.data,
            "videos": sum(c.videos for c in self.classes),
            "classes": [c._asdict() for c in self.classes],
            "unreadable": [{"path": path, "error": error} for path, error in self.unreadable],
            **spreads,
            "sizes": dict(self.sizes),
            "splits": dict(self.splits),
            "groups": self.groups,
            "skipped": dict(self.skipped),
            "balance": {kind: balance(self.classes, kind) for kind in ("videos", "frames")} | {"rule": RULE},
        }


def inspect_manifest(manifest: Manifest, track: Track[Header | None] = no_progress) -> Inspection:
    """Describe the videos of a probed manifest; headers are read, nothing is decoded.

    Args:
        manifest: with frame counts.
        track: shows the progress.
    """
    readable = np.flatnonzero(manifest.frames > 0)
    headers = _headers(manifest, readable, track)
    known = [header for header in headers if header is not None]
    seconds = [f / h.rate for f, h in zip(manifest.frames[readable].tolist(), headers, strict=True) if h and h.rate]
    sizes = Counter(f"{header.width}x{header.height}" for header in known)
    stated = Counter(manifest.stated_splits.tolist())
    return Inspection(
        data=str(manifest.root),
        classes=_class_counts(manifest, readable),
        unreadable=tuple((manifest.entry(index).name, error) for index, error in sorted(manifest.errors.items())),
        frames=_spread(manifest.frames[readable].tolist()),
        seconds=_spread(seconds),
        width=_spread([header.width for header in known]),
        height=_spread([header.height for header in known]),
        sizes=dict(sizes.most_common(_SIZES_SHOWN)),
        splits={name: stated[index] for index, name in enumerate(SPLIT_NAMES) if stated[index]},
        groups=len(manifest.group_names),
        skipped=manifest.skipped,
    )


def balance(classes: Sequence[ClassCounts], kind: str) -> dict[str, list[str]]:
    """The over-represented and under-represented classes by `RULE`, the most extreme first.

    Args:
        classes: counts.
        kind: what is compared, `videos` or `frames`.
    """
    counts = {c.label: int(getattr(c, kind)) for c in classes}
    middle = float(np.median(list(counts.values())))
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    return {
        "over": [label for label in ordered if counts[label] > OVER * middle],
        "under": [label for label in reversed(ordered) if counts[label] < UNDER * middle],
    }


def _class_counts(manifest: Manifest, readable: IntArray) -> tuple[ClassCounts, ...]:
    labels, number = manifest.labels[readable], len(manifest.classes)
    videos = np.bincount(labels, minlength=number)
    frames = np.bincount(labels, weights=manifest.frames[readable], minlength=number)
    return tuple(
        ClassCounts(label, int(v), int(f)) for label, v, f in zip(manifest.classes, videos, frames, strict=True)
    )


def _headers(manifest: Manifest, videos: IntArray, track: Track[Header | None]) -> list[Header | None]:
    found = in_parallel(lambda index: read_header(manifest.path(int(index))), videos)
    return list(track(found, len(videos), "Reading headers"))


def _spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    return Spread(min(found), float(np.median(found)), max(found)) if found else None
