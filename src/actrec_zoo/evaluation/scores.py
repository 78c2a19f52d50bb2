"""The scores of every clip in a file: kept on disk while a model runs, and read back to compute every figure anew."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.data.dataset import Batch, Failure
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.evaluator import Metric, VideoEvaluator
from actrec_zoo.evaluation.predictions import Predictions, Videos
from actrec_zoo.files import write_atomically

SUFFIX = ".npz"
_AT_ONCE = 1 << 12
_COLUMNS = ("video", "view", "logits", "label", "name", "group", "error", "labels", "about")


class ScoreSpool:
    """The logits of this process's clips, in a temporary file: memory does not grow with the data.

    Args:
        rows: number of each video of the manifest among those that are evaluated, int64[videos of the manifest].
        classes: that the model knows, K.
    """

    def __init__(self, rows: IntArray, classes: int) -> None:
        self._rows = rows
        self._dtype = np.dtype([("video", "<i8"), ("view", "<i8"), ("logits", "<f4", (classes,))])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the spool)

    def __call__(self, batch: Batch, logits: Tensor) -> None:
        """Keep the scores of a batch."""
        records = np.empty(len(batch), dtype=self._dtype)
        records["video"] = self._rows[batch.videos.numpy()]
        records["view"] = batch.views.numpy()
        records["logits"] = logits.detach().float().cpu().numpy()
        self._file.write(records.tobytes())

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
        with tempfile.TemporaryFile() as together:
            for records in self._of_all_processes():
                together.write(records.tobytes())
            self._file.close()
            distributed.from_first(lambda: _write(path, self._mapped(together), videos, errors, about))

    def _of_all_processes(self) -> Iterator[NDArray[Any]]:
        size = self._file.tell()
        self._file.seek(0)
        longest = max(distributed.collect(size))
        step = _AT_ONCE * self._dtype.itemsize
        for _ in range(0, longest, step):
            for part in distributed.collect(self._file.read(step)):
                yield np.frombuffer(part, dtype=self._dtype)

    def _mapped(self, file: IO[bytes]) -> NDArray[Any]:
        file.flush()
        if not file.tell():
            return np.empty(0, dtype=self._dtype)
        return np.memmap(file, dtype=self._dtype, mode="r")


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
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                columns = {name: file[name] for name in _COLUMNS if name not in ("video", "view", "logits")}
            videos = Videos(
                tuple(_texts(columns["labels"])),
                _texts(columns["name"]),
                _texts(columns["group"]),
                columns["label"].astype(np.int64),
            )
            found = {row: error for row, error in enumerate(_texts(columns["error"])) if error}
            about = json.loads(bytes(columns["about"].item()))
        except OSError as error:
            raise RunError(f"cannot read --from-scores {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} is not what `actrec-zoo eval --scores` writes: {error}") from error
        return cls(path, videos, found, about)

    def evaluator(self, metrics: Mapping[str, Metric] | None = None) -> VideoEvaluator:
        """An evaluator that was given all of the scores.

        Raises:
            RunError: the scores cannot be read.
        """
        rows = np.arange(len(self.videos))
        evaluator = VideoEvaluator(self.videos.labels, rows, self.videos.truth, metrics)
        for row, error in self.errors.items():
            evaluator.fail(Failure(row, self.videos.names[row], error))
        try:
            for video, view, logits in self._batches():
                scores = torch.from_numpy(logits.copy())
                labels = torch.from_numpy(self.videos.truth[video])
                evaluator.update(torch.from_numpy(video), torch.from_numpy(view), scores, labels)
        except (OSError, ValueError, IndexError, KeyError, zipfile.BadZipFile) as error:
            raise RunError(f"{self.path} is not what `actrec-zoo eval --scores` writes: {error}") from error
        return evaluator

    def predictions(self, evaluator: VideoEvaluator) -> Predictions:
        """What the scores say of each video."""
        return evaluator.predictions(self.videos)

    def _batches(self) -> Iterator[tuple[IntArray, IntArray, NDArray[np.float32]]]:
        with self.path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
            video, view = file["video"], file["view"]
        with zipfile.ZipFile(self.path) as archive, archive.open("logits.npy") as stream:
            if np.lib.format.read_magic(stream) != (2, 0):
                raise ValueError("its scores were written by something else")
            (length, classes), _, dtype = np.lib.format.read_array_header_2_0(stream)
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
        "error": _as_bytes([errors.get(row, "") for row in range(len(videos))]),
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


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: DTypeLike) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_2_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})


def _as_bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """As UTF-8 of one width, so that numpy alone can read them; bytes of names that are no UTF-8 stay as they are."""
    return np.array([text.encode("utf-8", "surrogateescape") for text in texts], dtype=np.bytes_)


def _texts(values: NDArray[np.bytes_]) -> PackedStrings:
    return PackedStrings(value.decode("utf-8", "surrogateescape") for value in values.tolist())
