"""Features on disk: a folder a set of clips, in it chunks of them, each a safetensors file that is whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.files import cache_folder, read_json, remove_leftovers, write_atomically, write_json

CHUNK = 256
"""Clips a file: what an interrupted extraction loses at most."""

LIMIT_VARIABLE = "ACTREC_ZOO_FEATURES_GB"
_LIMIT_GB = 20.0
_ABOUT = "about.json"
_IN_USE = 600.0  # seconds since a chunk was written or the store was opened
_HOUR = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Features of consecutive clips.

    Attributes:
        features: [present, ...], of the clips that could be read, memory-mapped once written.
        labels: int64[clips], the class of each; -1 where it could not be read.
        errors: why not, by place in the chunk.
    """

    features: Tensor
    labels: Tensor
    errors: Mapping[int, str]

    def checksum(self) -> int:
        """CRC-32 of all that it holds."""
        value = zlib.crc32(json.dumps(sorted(self.errors.items())).encode())
        for tensor in (self.labels, self.features):
            value = zlib.crc32(bytes_of(tensor), value)
        return value

    def require_whole(self, clips: int, checksum: int) -> None:
        """Raise ValueError where this is not what was written."""
        if len(self.labels) != clips or len(self.features) != int((self.labels >= 0).sum()):
            raise ValueError("it has other clips than it should")
        if self.checksum() != checksum:
            raise ValueError("its checksum is wrong")


class FeatureStore:
    """A folder of chunks.

    Args:
        root: folder of all stores.
        about: all that decides the features, as plain values; it names the folder, and about.json holds it.
        length: number of clips.
    """

    def __init__(self, root: Path, about: Mapping[str, Any], length: int) -> None:
        text = json.dumps(about, sort_keys=True)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:32]
        self.about = about
        self.length = length

    @property
    def chunks(self) -> range:
        """Their numbers."""
        return range(-(-self.length // CHUNK))

    def clips(self, chunk: int) -> range:
        """Which clips a chunk has."""
        return range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.length))

    def write(self, number: int, chunk: Chunk) -> None:
        """Write a chunk, whole or not at all; two processes may write the same one.

        Raises:
            RunError: it cannot be written.
        """
        if not (self.folder / _ABOUT).is_file():
            write_json(self.folder / _ABOUT, self.about)
        notes = {"checksum": chunk.checksum(), "errors": [[place, text] for place, text in chunk.errors.items()]}
        tensors = {"features": chunk.features.contiguous(), "labels": chunk.labels}
        write_atomically(
            self._file(number), lambda file: safetensors.torch.save_file(tensors, file, {"notes": json.dumps(notes)})
        )
        self.used()

    def read(self, number: int) -> Chunk | None:
        """A chunk, checked byte for byte; None where it is absent or, with a line in the log, damaged."""
        file = self._file(number)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                notes = json.loads((opened.metadata() or {})["notes"])
                errors = {int(place): str(text) for place, text in notes["errors"]}
                chunk = Chunk(opened.get_tensor("features"), opened.get_tensor("labels"), errors)
            chunk.require_whole(len(self.clips(number)), notes["checksum"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged and its features are computed again: %s", file, error)
            return None
        return chunk

    def used(self) -> None:
        """Note that the store is in use now."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / _ABOUT)

    def clear(self) -> None:
        """Remove it, as far as that can be done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.safetensors"


@dataclass(frozen=True)
class Kept:
    """What one folder of the cache holds.

    Attributes:
        folder: its place.
        about: what the features are of.
        size: bytes.
        used: when it was used last, in seconds since 1970.
    """

    folder: Path
    about: Mapping[str, Any]
    size: int
    used: float

    def clear(self) -> bool:
        """Remove it, as far as that can be done; whether it is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists()


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy where it lies in memory in one piece."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def features_folder() -> Path:
    """Where features are kept, below the user's cache folder."""
    return cache_folder() / "features"


def kept_features(root: Path) -> list[Kept]:
    """All stores of a folder, those used last first."""
    folders = [folder for folder in (root.iterdir() if root.is_dir() else ()) if folder.is_dir()]
    found = [_kept(folder) for folder in folders]
    return sorted((kept for kept in found if kept is not None), key=lambda kept: -kept.used)


def make_room(root: Path, keep: Collection[Path]) -> None:
    """Remove what killed processes left, and the stores used longest ago until the folder is within its limit.

    Args:
        root: folder of all stores.
        keep: folders that stay, whatever they take; so do those that another process may be filling.

    Raises:
        ConfigError: `ACTREC_ZOO_FEATURES_GB` is no number.
    """
    for store in kept_features(root):
        remove_leftovers(store.folder, older=_HOUR)  # another process may be writing a file that is younger
    kept = kept_features(root)
    excess = sum(store.size for store in kept) - limit_in_bytes()
    latest = time.time() - _IN_USE
    for store in reversed(kept):
        if excess > 0 and store.folder not in keep and store.used < latest:
            _log.info("features of %s make room for others: %s is removed", store.about.get("data"), store.folder)
            store.clear()
            excess -= store.size


def limit_in_bytes() -> float:
    """What features may take on disk: `ACTREC_ZOO_FEATURES_GB`, 20 without it.

    Raises:
        ConfigError: it is no number, or negative.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text or _LIMIT_GB)
    except ValueError:
        limit = -1.0
    if not limit >= 0:
        raise ConfigError(f"{LIMIT_VARIABLE}={text} must be a number of gigabytes, such as 20")
    return limit * 1e9


def require_space(folder: Path, needed: int) -> None:
    """Check early that so many bytes can be written below a folder.

    Raises:
        RunError: they cannot; the message says what to do.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise RunError(
            f"features need {needed / 1e9:.2g} GB below {folder}, and {free / 1e9:.2g} GB are free: let "
            "ACTREC_ZOO_CACHE name a folder on a larger disk, or take features_dtype=float16 or cache_features=off"
        )


def _kept(folder: Path) -> Kept | None:
    """What a folder holds; None where another process has just removed it."""
    try:
        about, used = read_json(folder / _ABOUT), (folder / _ABOUT).stat().st_mtime
    except (RunError, OSError):
        about, used = {}, 0.0
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:
        return None
    size = 0
    for file in files:
        with contextlib.suppress(OSError):  # another process may remove it now
            size += file.stat().st_size
    return Kept(folder, about if isinstance(about, dict) else {}, size, used)
