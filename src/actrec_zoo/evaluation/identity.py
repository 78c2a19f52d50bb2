"""What an evaluation was made of, as digests: it is known again, and no path of a machine is told."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from actrec_zoo.data.layouts import place_of, read_csv


def identity(weights: Path | None, videos: str, data: str | Path) -> dict[str, str | None]:
    """The `identity` of eval.json.

    Args:
        weights: file of the model; None where it has none of its own.
        videos: digest of those that were evaluated.
        data: folder or file.
    """
    return {
        "weights": None if weights is None else file_digest(weights),
        "videos": videos,
        "place": hashlib.sha256(_bytes(place_of(data))).hexdigest(),
    }


def videos_digest(videos: Iterable[tuple[str, str]]) -> str:
    """The SHA-256 of the name within the data, and the class, of each video; their order means nothing."""
    lines = sorted(f"{name}\0{label}\n" for name, label in videos)
    digest = hashlib.sha256()
    for line in lines:
        digest.update(_bytes(line))
    return digest.hexdigest()


def split_digest(file: Path) -> str:
    """That of the videos of a split file; a file that did not change is read once.

    Raises:
        DataError: it cannot be read.
    """
    return _split_digest(file, *_version(file))


def file_digest(file: Path) -> str | None:
    """The SHA-256 of a file, None where there is none; a file that did not change is read once."""
    return _file_digest(file, *_version(file)) if file.is_file() else None


@functools.cache
def _split_digest(file: Path, *version: int) -> str:
    return videos_digest((entry.name, entry.label) for _, entry in read_csv(file))


@functools.cache
def _file_digest(file: Path, *version: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(file: Path) -> tuple[int, ...]:
    """What changes when a file is written anew."""
    if not file.is_file():
        return ()
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
