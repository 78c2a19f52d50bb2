"""What decides the pixels and labels of clips, as plain values: it differs where they do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.decode import video_reader
from actrec_zoo.data.manifest import PACK_HEADER


def fingerprints(clips: ClipDataset, epochs: int) -> list[dict[str, Any]]:
    """All that decides the clips of each of the first epochs, but the versions of the libraries.

    Files are known by path, size and time, folders by those of the frames in them.
    """
    videos = _videos_digest(clips)
    return [_fingerprint(clips, videos, epoch) for epoch in range(epochs)]


def _fingerprint(clips: ClipDataset, videos: str, epoch: int) -> dict[str, Any]:
    fixed = {
        "data": str(clips.manifest.root.resolve()),
        "videos": videos,
        "clips": len(clips),
        "decoder": video_reader().__name__,
        "sampler": repr(clips.sampler),
        "input": repr(clips.transform.spec),
        "augment": [*clips.transform.augment, *clips.augmentation.names],
    }
    if clips.deterministic:
        return fixed
    mirrored = clips.augmentation.mirrored
    return {
        **fixed,
        "mirrored": None if mirrored is None else mirrored.tolist(),
        "strength": repr(clips.augmentation.strength),
        "seed": clips.seed,
        "epoch": epoch,
    }


def _videos_digest(clips: ClipDataset) -> str:
    manifest, videos = clips.manifest, clips.videos
    digest = hashlib.sha256()
    for values in (manifest.labels, manifest.frames, manifest.offsets, manifest.rates):
        digest.update(values[videos].tobytes())
    if (manifest.root / PACK_HEADER).is_file():
        digest.update(_state(manifest.root))
    for video in videos.tolist():
        digest.update(manifest.paths[video].encode("utf-8", "surrogateescape"))
        digest.update(_state(manifest.path(video)))
    return digest.hexdigest()


def _state(path: Path) -> bytes:
    """Size and time of a file, or of every file of a folder."""
    try:
        if not path.is_dir():
            return _size_and_time(path.stat())
        with os.scandir(path) as entries:
            frames = sorted((os.fsencode(entry.name), _size_and_time(entry.stat())) for entry in entries)
        return b"".join(name + state for name, state in frames)
    except OSError:
        return b"\0missing\n"


def _size_and_time(status: os.stat_result) -> bytes:
    return f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
