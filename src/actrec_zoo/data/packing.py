"""Writes a pack: every video decoded and resized once."""

from __future__ import annotations

import csv
import os
import shutil
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from actrec_zoo.data.dataset import begin_worker
from actrec_zoo.data.decode import Source, open_source
from actrec_zoo.data.layouts import MANIFEST_NAME
from actrec_zoo.data.manifest import PACK_HEADER, IntArray, Manifest
from actrec_zoo.data.pack import ENDS_FILE, FORMAT, FRAMES_FILE, INDEX_FILE, key_of
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.transforms import Resize
from actrec_zoo.data.workers import worker_deaths_named
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.files import write_json

Encoding = Literal["raw", "jpeg"]

_FRAMES_AT_ONCE = 128
_JPEG_QUALITY = 95


class _Part(NamedTuple):
    """Some consecutive frames of a video, encoded.

    Attributes:
        video: index into the manifest.
        data: uint8[...], the frames one after the other.
        lengths: bytes of each frame.
        size: height and width.
        error: why the frames cannot be read, or an empty string.
    """

    video: int
    data: NDArray[np.uint8]
    lengths: list[int]
    size: tuple[int, int]
    error: str = ""


class _Parts(TorchDataset[_Part]):
    """Every video in runs of `_FRAMES_AT_ONCE` frames."""

    def __init__(self, manifest: Manifest, resize: Resize, encoding: Encoding) -> None:
        self.manifest = manifest
        self.resize = resize
        self.encoding = encoding
        runs = -(-manifest.frames // _FRAMES_AT_ONCE)
        self._videos = np.repeat(np.arange(len(manifest)), runs)
        self._runs = np.arange(runs.sum()) - np.repeat(np.cumsum(runs) - runs, runs)
        self._open: tuple[int, Source] | None = None

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> _Part:
        video, first = int(self._videos[index]), int(self._runs[index]) * _FRAMES_AT_ONCE
        numbers = np.arange(first, min(first + _FRAMES_AT_ONCE, int(self.manifest.frames[video])))
        numbers += self.manifest.offsets[video]
        try:
            if self._open is None or self._open[0] != video:
                self._open = (video, open_source(self.manifest.path(video), self.resize.least))
            frames = self.resize(self._open[1].read(numbers)).permute(0, 2, 3, 1).contiguous().numpy()
        except DataError as error:
            self._open = None
            return _Part(video, np.empty(0, np.uint8), [], (0, 0), str(error))
        size = (frames.shape[1], frames.shape[2])
        if self.encoding == "raw":
            return _Part(video, frames.reshape(-1), [frames[0].size] * len(frames), size)
        files = [simplejpeg.encode_jpeg(frame, _JPEG_QUALITY, "RGB", "420") for frame in frames]
        return _Part(video, np.frombuffer(b"".join(files), np.uint8), [len(file) for file in files], size)


@dataclass
class _Writer:
    """Appends parts to the file of frames, and takes back a video that cannot be read to its end."""

    file: BinaryIO
    frames: IntArray
    sizes: IntArray
    errors: dict[int, str]
    starts: IntArray
    firsts: IntArray
    ends: array[int] = field(default_factory=lambda: array("q"))
    _video: int = -1

    def add(self, part: _Part) -> None:
        if part.video != self._video:
            self._video = part.video
            self.starts[part.video], self.firsts[part.video] = self.file.tell(), len(self.ends)
            self.sizes[part.video] = part.size
        if part.video in self.errors:
            return
        if part.error or part.size != tuple(self.sizes[part.video].tolist()):
            self._take_back(part.video, part.error or "its frames change their size")
            return
        end = self.file.tell() + np.cumsum(part.lengths)
        self.file.write(part.data.data)
        self.ends.extend(end.tolist())

    def _take_back(self, video: int, error: str) -> None:
        self.file.seek(self.starts[video])
        self.file.truncate()
        del self.ends[self.firsts[video] :]
        self.errors[video], self.frames[video], self.sizes[video] = error, 0, 0


@worker_deaths_named()
def write_pack(
    manifest: Manifest,
    out: Path,
    resize: Resize,
    encoding: Encoding = "jpeg",
    *,
    workers: int = 0,
    track: Track[object] = no_progress,
) -> dict[int, str]:
    """Decode, resize and store every video of a probed manifest.

    A pack is written under another name beside `out` and renamed when it is complete.

    Args:
        manifest: with frame counts, and with the frame rates that the pack is to state.
        out: folder that does not exist yet.
        resize: what is done to each frame.
        encoding: `raw` keeps the pixels, `jpeg` (quality 95) needs about a tenth of the space.
        workers: decoding processes.
        track: shows the progress.

    Returns:
        Why videos cannot be read, by index: they are in the pack without frames.

    Raises:
        RunError: `out` exists or cannot be written.
    """
    require_new(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        writer = _write_frames(temporary, manifest, _Parts(manifest, resize, encoding), workers, track)
        _write_index(temporary, manifest, writer, resize, encoding)
        temporary.rename(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}. Free some space.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return writer.errors


def require_new(out: Path) -> None:
    """Find out before any work that nothing is in the way.

    Raises:
        RunError: `out` exists.
    """
    if out.exists():
        raise RunError(f"{out} exists already: choose another folder")


def _write_frames(folder: Path, manifest: Manifest, parts: _Parts, workers: int, track: Track[object]) -> _Writer:
    nothing = np.zeros(len(manifest), np.int64)
    sizes = np.zeros((len(manifest), 2), np.int64)
    loader = DataLoader(parts, batch_size=None, num_workers=workers, worker_init_fn=begin_worker, collate_fn=_as_it_is)
    with (folder / FRAMES_FILE).open("wb") as file:
        writer = _Writer(file, manifest.frames.astype(np.int64), sizes, dict(manifest.errors), nothing, nothing.copy())
        for part in cast("Iterator[_Part]", track(loader, len(parts), "Packing")):
            writer.add(part)
        file.flush()
        os.fsync(file.fileno())
    return writer


def _write_index(folder: Path, manifest: Manifest, writer: _Writer, resize: Resize, encoding: Encoding) -> None:
    keys = np.array([key_of(_below(name)) for name in manifest.names], np.uint64)
    order = np.argsort(keys)
    columns = {name: getattr(writer, name)[order] for name in ("frames", "sizes", "starts", "firsts")}
    np.savez(folder / INDEX_FILE, keys=keys[order], rates=manifest.rates[order], **columns)
    if encoding == "jpeg":
        np.save(folder / ENDS_FILE, np.array(writer.ends, np.int64))
    with (folder / MANIFEST_NAME).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "label", "group", "split"))
        entries = (manifest.entry(index) for index in range(len(manifest)))
        rows.writerows((_below(entry.name), entry.label, entry.group, entry.split) for entry in entries)
    header = {
        "format": FORMAT,
        "encoding": encoding,
        "resize": resize.sides,
        "interpolation": resize.interpolation,
        "source": str(manifest.root.resolve()),
        "bytes": (folder / FRAMES_FILE).stat().st_size,
        "errors": {_below(manifest.entry(video).name): error for video, error in writer.errors.items()},
    }
    write_json(folder / PACK_HEADER, header)


def _below(path: str) -> str:
    """A path that stays below the folder of the pack."""
    return "/".join(part for part in PurePosixPath(path).parts if part not in ("/", ".."))


def _as_it_is(part: Any) -> Any:
    return part
