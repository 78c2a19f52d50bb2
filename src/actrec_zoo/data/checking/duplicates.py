"""Videos with the same content: the same bytes in a file, or in all images of a folder."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from actrec_zoo.data.layouts import list_frames
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.parallel import in_parallel

_BLOCK = 1 << 20


def find_duplicates(manifest: Manifest, videos: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs (video, an earlier one with the same content) of some videos; only those of the same size are read."""
    by_size: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    sizes = in_parallel(lambda i: _size(manifest.path(i)), videos)
    for video, size in zip(videos, sizes, strict=True):
        by_size[size].append(video)
    alike = sorted(video for size, same in by_size.items() if len(same) > 1 and any(size) for video in same)
    first: dict[bytes, int] = {}
    for video, digest in zip(alike, in_parallel(lambda i: _digest(manifest.path(i)), alike), strict=True):
        if digest and first.setdefault(digest, video) != video:
            yield video, first[digest]


def _files(path: Path) -> list[Path]:
    return [path / name for name in list_frames(path)] if path.is_dir() else [path]


def _size(path: Path) -> tuple[int, int]:
    """Number of files and of bytes; (0, 0) where they cannot be read or are empty."""
    try:
        sizes = [file.stat().st_size for file in _files(path)]
    except OSError:
        return 0, 0
    return (len(sizes), sum(sizes)) if sum(sizes) else (0, 0)


def _digest(path: Path) -> bytes:
    """Of the content of all files in order; empty where they cannot be read."""
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            digest.update(file.stat().st_size.to_bytes(8))
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
    except OSError:
        return b""
    return digest.digest()
