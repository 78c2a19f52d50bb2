"""All checks of a data set, one after the other."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from actrec_zoo.data.checking.candidates import candidate_pairs
from actrec_zoo.data.checking.decoding import look_at
from actrec_zoo.data.checking.duplicates import find_duplicates
from actrec_zoo.data.checking.findings import Finding
from actrec_zoo.data.checking.likeness import FEWEST, Thumbnails, is_flat, motion_likeness, perceptual_hashes
from actrec_zoo.data.manifest import SPLIT_NAMES, IntArray, Manifest
from actrec_zoo.data.parallel import in_parallel
from actrec_zoo.data.probe import Track, no_progress, probe
from actrec_zoo.data.splits import Splits, find_leaks, first_parts

ALIKE = 0.88
"""Correlation of the motion from which two videos count as the same; see decision 0017."""
_HASHED = 2  # of the pictures of a video, every second is hashed


def check(
    manifest: Manifest, splits: Splits | None = None, *, all_frames: bool = False, track: Track[Any] = no_progress
) -> Iterator[Finding]:
    """Find what is wrong with videos, and with splits of them.

    Args:
        manifest: the data, with the groups that the splits state.
        splits: looked at for leaks, near-duplicates among them; these need a thumbnail of every second frame.
        all_frames: decode every frame, not the first, middle and last alone.
        track: shows the progress.
    """
    manifest = probe(manifest, track)
    if splits is not None:
        yield from _leaks(manifest, splits)
    first_part = first_parts(manifest)
    videos = np.unique(first_part).tolist()
    pictures: dict[int, Thumbnails] = {}
    look = partial(look_at, manifest, all_frames=all_frames, picture=splits is not None)
    looked = track(in_parallel(look, videos), len(videos), "Decoding")
    for video, (finding, small) in zip(videos, looked, strict=True):
        if finding is not None:
            yield finding
        if len(small) >= FEWEST:
            pictures[video] = small
    split = _split_of(splits or {}, first_part)
    copies: dict[int, int] = {}
    for video, first in find_duplicates(manifest, videos):
        copies[video] = first
        names = [split[v] for v in (first, video) if v in split]
        yield Finding("duplicate", manifest.paths[video], manifest.paths[first], _between(names))
    if splits is not None:
        pictures = {video: small for video, small in pictures.items() if video in split}
        yield from _near_duplicates(manifest, split, pictures, copies, track)


def _leaks(manifest: Manifest, splits: Splits) -> Iterator[Finding]:
    for leak in find_leaks(manifest, splits):
        kind = "shared video" if leak.kind == "video" else "shared group"
        yield Finding(kind, leak.name, detail=_between([leak.first, leak.second]))
    for name, videos in splits.items():
        for label in np.setdiff1d(np.arange(len(manifest.classes)), manifest.labels[videos]).tolist():
            yield Finding("missing class", manifest.classes[label], detail=f"in {name}")


def _near_duplicates(
    manifest: Manifest,
    split: Mapping[int, str],
    pictures: Mapping[int, Thumbnails],
    copies: Mapping[int, int],
    track: Track[Any],
) -> Iterator[Finding]:
    """Videos of two splits that show the same without being the same file; the one of the later split comes first."""
    hashes = {video: perceptual_hashes(small[~is_flat(small)][::_HASHED]) for video, small in pictures.items()}
    for pair in candidate_pairs(hashes, split, track):
        video, other = sorted(pair, key=lambda v: SPLIT_NAMES.index(split[v]), reverse=True)
        if copies.get(video, video) == copies.get(other, other):
            continue
        likeness = motion_likeness(pictures[other], pictures[video])
        if likeness.correlation >= ALIKE:
            start = f", from its frame {likeness.offset} on" if likeness.offset > 0 else ""
            detail = f"{_between([split[other], split[video]])}, likeness {likeness.correlation:.2f}{start}"
            yield Finding("near-duplicate", manifest.paths[video], manifest.paths[other], detail)


def _split_of(splits: Splits, first_part: IntArray) -> dict[int, str]:
    """The split of each video; the first one where it is in several."""
    return {video: name for name in reversed(list(splits)) for video in first_part[splits[name]].tolist()}


def _between(names: list[str]) -> str:
    return f"in {' and '.join(dict.fromkeys(names))}" if names else ""
