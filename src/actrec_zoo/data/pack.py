"""A pack: videos decoded and resized once, in one large file that is read by memory map.

The folder of a pack stands for the folder it was made from: `PACK/jump/clip1.mp4` is a video that `open_source` opens.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from actrec_zoo.data.frames import Frame, Size, clip_of
from actrec_zoo.data.images import decode_image
from actrec_zoo.data.manifest import PACK_HEADER, IntArray
from actrec_zoo.errors import DataError, first_line

FORMAT = 1
INDEX_FILE = "index.npz"
ENDS_FILE = "ends.npy"
FRAMES_FILE = "frames.bin"

_PACKS_OPEN = 8


@dataclass(frozen=True)
class Index:
    """Where the videos of a pack are, in the order of their keys.

    Attributes:
        keys: uint64[V], `key_of` each path, ascending.
        frames: int64[V], frames of each video; 0 where it could not be read.
        sizes: int64[V, 2], height and width of its frames.
        rates: float64[V], frames a second; 0 where the video stated none.
        starts: int64[V], first byte of it.
        firsts: int64[V], number of its first frame among all frames of the pack.
    """

    keys: NDArray[np.uint64]
    frames: IntArray
    sizes: IntArray
    rates: NDArray[np.float64]
    starts: IntArray
    firsts: IntArray


class Pack:
    """An open pack.

    Args:
        path: folder that `actrec-zoo data pack` wrote.

    Raises:
        DataError: it is of a later version, incomplete or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            header = json.loads((path / PACK_HEADER).read_text(encoding="utf-8"))
            with (path / INDEX_FILE).open("rb") as file, np.load(file) as arrays:
                self.index = Index(**{name: arrays[name] for name in Index.__dataclass_fields__})
            self.errors: dict[str, str] = dict(header["errors"])
            self._ends = np.load(path / ENDS_FILE, mmap_mode="r") if header["encoding"] == "jpeg" else None
            empty = (path / FRAMES_FILE).stat().st_size == 0
            self._bytes = np.empty(0, np.uint8) if empty else np.memmap(path / FRAMES_FILE, np.uint8, "r")
            complete = header["format"] == FORMAT and header["bytes"] == len(self._bytes)
        except Exception as error:  # damage to archives and arrays shows in a dozen kinds of error
            raise DataError(f"cannot read the pack {path}: {first_line(error)}. Pack the data again") from error
        if not complete:
            raise DataError(f"the pack {path} is incomplete or of a later version: pack the data again")

    def find(self, name: str) -> int:
        """Place in the index of the video with this path in the data.

        Raises:
            DataError: there is none, or it could not be read when the pack was made.
        """
        key = key_of(name)
        place = int(np.searchsorted(self.index.keys, np.uint64(key)))
        if place == len(self.index.keys) or int(self.index.keys[place]) != key:
            raise DataError(f"there is no video {self.path / name}")
        if name in self.errors:
            raise DataError(f"{self.path / name} could not be packed: {self.errors[name]}")
        return place

    def frame(self, place: int, number: int, least: Size | None, room: Frame | None) -> Frame:
        """One frame, uint8[H, W, 3], decoded into `room` where it has its size."""
        if self._ends is None:
            height, width = self.index.sizes[place].tolist()
            start = int(self.index.starts[place]) + number * height * width * 3
            return self._bytes[start : start + height * width * 3].reshape(height, width, 3)
        frame = int(self.index.firsts[place]) + number
        start = int(self._ends[frame - 1]) if frame else 0
        return decode_image(self._bytes[start : int(self._ends[frame])].tobytes(), least, room)


class PackedVideo:
    """One video of a pack.

    Args:
        pack: that holds it.
        name: path of the video in the data that was packed.
        least: size that frames may be shrunk to as they are decoded.
    """

    def __init__(self, pack: Pack, name: str, least: Size | None = None) -> None:
        self.path = pack.path / name
        self.least = least
        self._pack = pack
        self._place = pack.find(name)

    def __len__(self) -> int:
        return int(self._pack.index.frames[self._place])

    @property
    def width(self) -> int:
        """Of its frames, in pixels."""
        return int(self._pack.index.sizes[self._place, 1])

    @property
    def height(self) -> int:
        """Of its frames, in pixels."""
        return int(self._pack.index.sizes[self._place, 0])

    @property
    def rate(self) -> float:
        """Frames a second; 0 where the video stated none."""
        return float(self._pack.index.rates[self._place])

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`."""
        if numbers.max() >= len(self):
            raise DataError(f"{self.path} has {len(self)} frames, no frame {numbers.max()}")
        try:
            return clip_of(numbers.tolist(), self._frame)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot decode {self.path}: {error}. Pack the data again") from error

    def _frame(self, number: int, room: Frame | None) -> Frame:
        return self._pack.frame(self._place, number, self.least, room)


def find_packed(path: Path, least: Size | None = None) -> PackedVideo | None:
    """The video at `path`, where there is no file and one of the folders above is a pack.

    Raises:
        DataError: the pack has no such video, or cannot be read.
    """
    for folder in () if path.exists() else path.parents:
        header = folder / PACK_HEADER
        if header.is_file():
            with _opening:
                pack = _open_pack(folder, header.stat().st_mtime_ns)
            return PackedVideo(pack, path.relative_to(folder).as_posix(), least)
    return None


def key_of(name: str) -> int:
    """64 bits that stand for a path."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


_opening = threading.Lock()
"""Threads open a pack one by one: once between them, and the parser of Python, which numpy reads headers with, fails
at times where two use it at once (CPython 3.11)."""


@lru_cache(maxsize=_PACKS_OPEN)
def _open_pack(folder: Path, modified: int) -> Pack:
    return Pack(folder)
