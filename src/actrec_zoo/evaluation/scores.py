"""The scores of every clip in a file: kept on disk while a model runs, and read back to compute every figure anew."""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from pydantic import NonNegativeInt
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.data.dataset import Batch, Failure
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.evaluation.evaluator import Metric, VideoEvaluator
from actrec_zoo.evaluation.predictions import Videos
from actrec_zoo.files import require_folder, write_atomically
from actrec_zoo.hub.report import Strict, checked

SUFFIX = ".npz"
_AT_ONCE = 1 << 12
_MOST_VIEWS = 1 << 20
_DAMAGE = (ValueError, KeyError, IndexError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a file that is no .npz of ours, or was cut or changed, makes numpy and zipfile raise."""


class _Protocol(Strict):
    data: str
    split: str
    seen: NonNegativeInt | None
    headline: Literal["clip", "video"]
    clip: str
    video: str
    top5: str


class _About(Strict):
    """What eval.json says beside the figures, as far as others read it."""

    model: str
    protocol: _Protocol
    versions: dict[str, str]


def require_score_file(path: Path) -> None:
    """Check early that scores can be written to a file.

    Raises:
        ConfigError: it is not named as an .npz, or is a folder.
        RunError: its folder may not be written.
    """
    if path.suffix != SUFFIX:
        raise ConfigError(f"--scores {path}: scores are written as {SUFFIX}: give {path.with_suffix(SUFFIX)}")
    if path.is_dir():
        raise ConfigError(f"--scores {path} is a folder: give a file")
    require_folder(path.parent)


class ScoreSpool:
    """The logits of this process's clips, in a temporary file: memory does not grow with the data.

    Args:
        rows: number of each video of the manifest among those that are evaluated, int64[videos of the manifest].
        classes: that the model knows, K.

    Raises:
        RunError: there is no place for temporary files.
    """

    def __init__(self, rows: IntArray, classes: int) -> None:
        self._rows = rows
        self._dtype = np.dtype([("video", "<i8"), ("view", "<i8"), ("logits", "<f4", (classes,))])
        with _no_room_named():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the spool)

    def __call__(self, batch: Batch, logits: Tensor) -> None:
        """Keep the scores of a batch.

        Raises:
            RunError: the disk of temporary files is full.
        """
        records = np.empty(len(batch), dtype=self._dtype)
        records["video"] = self._rows[batch.videos.numpy()]
        records["view"] = batch.views.numpy()
        records["logits"] = logits.detach().float().cpu().numpy()
        self._keep(records.tobytes())

    def write(self, path: Path, videos: Videos, errors: Mapping[int, str], about: Mapping[str, Any]) -> None:
        """Write the scores of all processes, by video and view; every process has to call this, the first one writes.

        Args:
            path: of the file.
            videos: those that were evaluated.
            errors: why a video could not be read, by its place.
            about: what else is to be known of the scores: JSON.

        Raises:
            RunError: the file cannot be written.
        """
        self._bring_to_first()
        distributed.from_first(lambda: _write(path, self._mapped(), videos, errors, about))
        self._file.close()

    def _bring_to_first(self) -> None:
        """Add the scores of the other processes to those of the first."""
        first, step = distributed.is_first(), _AT_ONCE * self._dtype.itemsize
        longest = max(distributed.collect(0 if first else self._file.tell()))
        if not first:
            self._file.seek(0)
        for _ in range(0, longest, step):
            parts = distributed.collect(b"" if first else self._file.read(step))
            distributed.from_first(partial(self._keep, b"".join(parts)))

    def _keep(self, records: bytes) -> None:
        with _no_room_named():
            self._file.write(records)

    def _mapped(self) -> NDArray[Any]:
        with _no_room_named():
            self._file.flush()
        if not self._file.tell():
            return np.empty(0, dtype=self._dtype)
        return np.memmap(self._file, dtype=self._dtype, mode="r")


@dataclass(frozen=True)
class ScoreFile:
    """Scores that were written by `ScoreSpool.write`.

    Attributes:
        path: of the file.
        videos: those that were evaluated.
        errors: why a video could not be read, by its place.
        about: what else was written.
    """

    path: Path
    videos: Videos
    errors: Mapping[int, str]
    about: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> ScoreFile:
        """Read all but the scores themselves.

        Raises:
            RunError: the file is missing, or is not what `actrec-zoo eval --scores` writes.
        """
        with _damage_named(path):
            with path.open("rb") as stream:
                if not zipfile.is_zipfile(stream):
                    raise ValueError(f"it is no {SUFFIX}")
            with np.load(path, allow_pickle=False) as file:
                videos = _videos(file)
                errors = dict(json.loads(bytes(file["errors"].item())))
                about = json.loads(bytes(file["about"].item()))
            checked(_About, about, f"{path} is not what `actrec-zoo eval --scores` writes")
            return cls(path, videos, {int(row): str(error) for row, error in errors.items()}, about)

    def evaluator(self, metrics: Mapping[str, Metric] | None = None) -> VideoEvaluator:
        """An evaluator that was given all of the scores.

        Raises:
            RunError: the scores cannot be read.
        """
        rows = np.arange(len(self.videos))
        evaluator = VideoEvaluator(self.videos.labels, rows, self.videos.truth, metrics)
        with _damage_named(self.path):
            for row, error in self.errors.items():
                evaluator.fail(Failure(row, self.videos.names[row], error))
            for video, view, logits in self._batches():
                scores = torch.from_numpy(logits.copy())
                labels = torch.from_numpy(self.videos.truth[video])
                evaluator.update(torch.from_numpy(video), torch.from_numpy(view), scores, labels)
        evaluator.fail_where_not_finite(self.videos.names)
        return evaluator

    def _batches(self) -> Iterator[tuple[IntArray, IntArray, NDArray[np.float32]]]:
        with np.load(self.path, allow_pickle=False) as file:
            video, view = file["video"].astype(np.int64), file["view"].astype(np.int64)
        if len(view) != len(video) or ((view < 0) | (view >= _MOST_VIEWS) | (video < 0)).any():
            raise ValueError("its clips are not numbered")
        with zipfile.ZipFile(self.path) as archive, archive.open("logits.npy") as stream:
            if np.lib.format.read_magic(stream) != (2, 0):
                raise ValueError("its scores were written by something else")
            (length, classes), _, dtype = np.lib.format.read_array_header_2_0(stream)
            if dtype != np.float32:
                raise ValueError(f"its scores are {dtype}, not float32")
            if length != len(video) or classes != len(self.videos.labels):
                raise ValueError(f"{length} rows of {classes} scores for {len(video)} clips")
            for start in range(0, length, _AT_ONCE):
                rows = min(_AT_ONCE, length - start)
                scores = np.frombuffer(stream.read(rows * classes * dtype.itemsize), dtype).reshape(rows, classes)
                yield video[start : start + rows], view[start : start + rows], scores


def _write(
    path: Path, records: NDArray[Any], videos: Videos, errors: Mapping[int, str], about: Mapping[str, Any]
) -> None:
    order = np.lexsort((records["view"], records["video"]))
    small = {
        "video": records["video"][order],
        "view": records["view"][order],
        "label": videos.truth,
        "name": _as_bytes(videos.names),
        "group": _as_bytes(videos.groups),
        "errors": np.array(json.dumps(dict(errors)).encode()),
        "labels": _as_bytes(videos.labels),
        "about": np.array(json.dumps(dict(about)).encode()),
    }

    def write(file: Path) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, values in small.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, values, allow_pickle=False)
            with archive.open("logits.npy", "w", force_zip64=True) as stream:
                _write_header(stream, (len(order), len(videos.labels)), np.float32)
                for start in range(0, len(order), _AT_ONCE):
                    stream.write(records["logits"][order[start : start + _AT_ONCE]].tobytes())

    write_atomically(path, write)


def _videos(file: Mapping[str, NDArray[Any]]) -> Videos:
    labels, names, groups = (_texts(file[column]) for column in ("labels", "name", "group"))
    truth = file["label"].astype(np.int64)
    if not len(names) == len(groups) == len(truth):
        raise ValueError(f"{len(names)} names, {len(groups)} groups and {len(truth)} classes of videos")
    if ((truth < 0) | (truth >= len(labels))).any():
        raise ValueError(f"it has videos of other classes than its {len(labels)}")
    return Videos(tuple(labels), names, groups, truth)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Within, a file that is not one of scores is an error that says so."""
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot read --from-scores {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise RunError(f"{path} is not what `actrec-zoo eval --scores` writes: {error}") from error


@contextmanager
def _no_room_named() -> Iterator[None]:
    """Within, what is wrong with the folder of temporary files is an error that names it."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot keep the scores in {tempfile.gettempdir()} until all are there ({error.strerror or error}): free "
            "some space, or name another folder by the environment variable TMPDIR"
        ) from error


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: DTypeLike) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_2_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})


def _as_bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """As UTF-8 of one width, so that numpy alone can read them; bytes of names that are no UTF-8 stay as they are."""
    return np.array([text.encode("utf-8", "surrogateescape") for text in texts], dtype=np.bytes_)


def _texts(values: NDArray[np.bytes_]) -> PackedStrings:
    return PackedStrings(value.decode("utf-8", "surrogateescape") for value in values.tolist())
