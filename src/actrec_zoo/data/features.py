"""Features of a frozen backbone, computed once and read back from disk clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from actrec_zoo.data.dataset import Batch, Clip, ClipDataset, EpochBatches, Failure, Key, make_loader
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.errors import DataError, RunError


class FeatureDataset(TorchDataset["Clip | Failure"]):
    """The clips of a `ClipDataset` as features float32[...], memory-mapped.

    Args:
        clips: where the features come from.
        file: raw float32 features, one row a clip.
        shape: of one clip's features.
        rows: row of each clip in the file, int64[len(clips)]; -1 where it failed.
        errors: why clips failed, by video.
    """

    def __init__(
        self, clips: ClipDataset, file: Path, shape: Sequence[int], rows: IntArray, errors: Mapping[int, str]
    ) -> None:
        self.manifest: Manifest = clips.manifest
        self.classes = clips.classes
        self.videos: IntArray = clips.videos
        self.failures = clips.failures
        self._clips = clips
        self._rows = rows
        self._errors = errors
        stored = (int((rows >= 0).sum()), *shape)
        self._features = np.memmap(file, np.float32, "r", shape=stored) if stored[0] else np.empty(stored)

    def __len__(self) -> int:
        return len(self._clips)

    def clip(self, index: int, epoch: int) -> Clip:
        """Features of clip `index`, the same in every epoch.

        Raises:
            DataError: the video could not be read when the features were made.
        """
        video, view = self._clips.locate(index)
        if self._rows[index] < 0:
            raise DataError(self._errors[video])
        features = torch.from_numpy(np.array(self._features[self._rows[index]]))
        return Clip(features, int(self.manifest.labels[video]), video, view, (epoch, index))

    def augment(self, batch: Batch) -> Batch:
        """The batch as it is: features are those of the clips."""
        return batch

    def __getitem__(self, key: Key) -> Clip | Failure:
        epoch, index = key
        try:
            return self.clip(index, epoch)
        except DataError as error:
            video, _ = self._clips.locate(index)
            return Failure(video, self.manifest.name(video), str(error))


def extract_features(
    clips: ClipDataset,
    compute: Callable[[Tensor], Tensor],
    file: Path,
    *,
    batch_size: int,
    device: torch.device,
    workers: int = 0,
    track: Track[Batch] = no_progress,
) -> FeatureDataset:
    """Run `compute` over every clip, once, and keep the result in `file`.

    Args:
        clips: deterministic clips.
        compute: uint8[B, T, 3, S, S] on `device` to features.
        file: written row by row, so that memory does not grow with the data.
        batch_size: clips at once.
        device: where `compute` runs.
        workers: decoding processes.
        track: shows the progress over batches.

    Raises:
        RunError: the file cannot be written.
    """
    batches = EpochBatches(len(clips), batch_size)
    shape: tuple[int, ...] = ()
    rows = np.full(len(clips), -1, dtype=np.int64)
    written = 0
    errors: dict[int, str] = {}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            for number, batch in enumerate(
                track(make_loader(clips, batches, workers=workers), len(batches), "Backbone features")
            ):
                errors |= {failure.video: failure.error for failure in batch.failures}
                if not len(batch):
                    continue
                features = compute(batch.to(device).inputs).float().cpu().numpy()
                stream.write(features.tobytes())
                shape = features.shape[1:]
                asked = range(number * batch_size, min((number + 1) * batch_size, len(clips)))
                rows[_present(clips, batch, asked)] = np.arange(written, written + len(features))
                written += len(features)
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror or error}. Free some space.") from error
    return FeatureDataset(clips, file, shape, rows, errors)


def _present(clips: ClipDataset, batch: Batch, asked: range) -> list[int]:
    """Which of the clips asked for are in the batch, in its order."""
    there = set(zip(batch.videos.tolist(), batch.views.tolist(), strict=True))
    return [index for index in asked if clips.locate(index) in there]
