"""Features of a frozen backbone in the place of its clips."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from actrec_zoo.data.augmentation import Augmentation
from actrec_zoo.data.dataset import Batch, Clip, ClipDataset, Failure, Key, blank_batch
from actrec_zoo.data.feature_store import CHUNK, Chunk, FeatureStore
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.errors import DataError

_USE_NOTED = 60.0
"""Seconds from one note that features are in use to the next: many fit into the time that a store is kept by one."""


class StoredFeatures:
    """The features of one pass over clips.

    Args:
        store: where they are from.
        chunks: all of its chunks.

    Attributes:
        folder: of the store.
        labels: int64[clips], the class of each; -1 where it could not be read.
        shape: of the features of a clip; () where none could be read.
    """

    def __init__(self, store: FeatureStore, chunks: list[Chunk]) -> None:
        self.folder = store.folder
        self._store = store
        self._chunks = chunks
        present = [chunk.labels.numpy() >= 0 for chunk in chunks]
        self.labels = np.concatenate([chunk.labels.numpy() for chunk in chunks])
        self.shape = next((tuple(chunk.features.shape[1:]) for chunk in chunks if len(chunk.features)), ())
        self._rows = np.concatenate([np.where(there, np.cumsum(there) - 1, -1) for there in present])

    def __len__(self) -> int:
        return len(self._rows)

    def used(self) -> None:
        """Note that the store is in use now."""
        self._store.used()

    def error(self, index: int) -> str:
        """Why clip `index` could not be read."""
        return self._chunks[index // CHUNK].errors[index % CHUNK]

    def __getitem__(self, index: int) -> Tensor:
        """Features of clip `index`, float32[...]."""
        return self._chunks[index // CHUNK].features[self._rows[index]].float()


class FeatureDataset(TorchDataset["Clip | Failure"]):
    """The clips of a `ClipDataset` as features float32[...].

    Args:
        clips: where the features come from.
        views: features of all clips, once for clips that are the same in every epoch, else as they are in the first
            epochs; epoch e is given those of `e % len(views)`, and a repeat of a clip in one epoch those of the next.
    """

    def __init__(self, clips: ClipDataset, views: Sequence[StoredFeatures]) -> None:
        self.manifest: Manifest = clips.manifest
        self.classes = clips.classes
        self.videos: IntArray = clips.videos
        self.failures = clips.failures
        self._clips = clips
        self._views = tuple(views)
        self._noted = time.monotonic()

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def labels(self) -> IntArray:
        """Class of each clip before it was augmented, int64[clips]."""
        return self._clips.labels

    @property
    def augmentation(self) -> Augmentation:
        """What was done to the clips before the backbone saw them."""
        return self._clips.augmentation

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the features of a clip."""
        return self._views[0].shape

    def locate(self, index: int) -> tuple[int, int]:
        """Video index of the manifest and number of the view of clip `index`."""
        return self._clips.locate(index)

    def clip(self, index: int, epoch: int) -> Clip:
        """Features of clip `index`, with the class that its augmentation left it.

        Raises:
            DataError: the video could not be read when the features were made.
        """
        video, view = self._clips.locate(index)
        repeat, number = divmod(index, len(self))
        features = self._views[(epoch + repeat) % len(self._views)]
        if features.labels[number] < 0:
            raise DataError(features.error(number))
        return Clip(features[number], int(features.labels[number]), video, view, (epoch, index))

    def blank(self, device: torch.device) -> Batch:
        """A batch of one clip with zero features, for a process that has no other."""
        return blank_batch(torch.zeros(1, *self._views[0].shape, device=device))

    def augment(self, batch: Batch) -> Batch:
        """The batch as it is: the clips were augmented before the backbone ran."""
        return batch

    def __getitem__(self, key: Key) -> Clip | Failure:
        epoch, index = key
        self._note_use()
        try:
            return self.clip(index, epoch)
        except DataError as error:
            video, _ = self._clips.locate(index)
            return Failure(video, self.manifest.name(video), str(error))

    def _note_use(self) -> None:
        """Now and then, of all views, so that no other run removes what this one reads."""
        if time.monotonic() - self._noted >= _USE_NOTED:
            self._noted = time.monotonic()
            for view in self._views:
                view.used()
