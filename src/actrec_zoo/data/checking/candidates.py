"""Which pairs of videos are worth a comparison: those with frames whose perceptual hashes nearly agree."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.checking.likeness import Hashes
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.probe import Track, no_progress

_BITS = 64
_BANDS = 6
_VOTES = 3
_TOO_COMMON = 1000


class HashIndex:
    """Videos by the hashes of their frames.

    A hash is cut into six bands, and a table for each two of them finds the videos that agree in both: so do most
    hashes that differ in up to eight bits, wherever those lie, and few that differ at random. What more than a
    thousand videos share, such as a title or an empty background, tells nothing and is passed over.

    Args:
        hashes: of the frames of each video, by the number of the video.
    """

    def __init__(self, hashes: Mapping[int, Hashes]) -> None:
        words = np.concatenate([np.empty(0, dtype=np.uint64), *hashes.values()])
        videos = np.repeat(list(hashes), [len(frames) for frames in hashes.values()]).astype(np.int32)
        self._tables = [(mask, *_sorted(words & mask, videos)) for mask in _masks()]

    def alike(self, hashes: Hashes) -> IntArray:
        """The videos that agree with some of these frames in at least three tables, however many frames those are."""
        found = [np.empty(0, dtype=np.int32)]
        for mask, keys, videos in self._tables:
            wanted = np.unique(hashes & mask)
            start, end = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
            found += [videos[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True) if b - a <= _TOO_COMMON]
        numbers, votes = np.unique(np.concatenate(found), return_counts=True)
        return numbers[votes >= _VOTES].astype(np.int64)


def candidate_pairs(
    hashes: Mapping[int, Hashes], split: Mapping[int, str], track: Track[int] = no_progress
) -> Iterator[tuple[int, int]]:
    """Pairs of videos of different splits whose frames agree; the videos of the largest split are only looked up.

    Args:
        hashes: of the frames of each video, by the number of the video.
        split: of each of these videos.
        track: shows the progress.
    """
    largest, _ = Counter(split[video] for video in hashes).most_common(1)[0] if hashes else ("", 0)
    index = HashIndex(hashes)
    sought = [video for video in hashes if split[video] != largest]
    for video in track(sought, len(sought), "Comparing"):
        for other in index.alike(hashes[video]).tolist():
            if split[other] == largest or (split[other] != split[video] and other < video):
                yield video, other


def _masks() -> list[np.uint64]:
    bands = [sum(1 << int(bit) for bit in bits) for bits in np.array_split(np.arange(_BITS), _BANDS)]
    return [np.uint64(first | second) for first, second in combinations(bands, 2)]


def _sorted(keys: Hashes, videos: NDArray[np.int32]) -> tuple[Hashes, NDArray[np.int32]]:
    """Keys in order with their videos, each pair once."""
    order = np.lexsort((videos, keys))
    keys, videos = keys[order], videos[order]
    fresh = np.ones(len(keys), dtype=bool)
    fresh[1:] = (keys[1:] != keys[:-1]) | (videos[1:] != videos[:-1])
    return keys[fresh], videos[fresh]
