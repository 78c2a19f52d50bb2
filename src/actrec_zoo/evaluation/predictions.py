"""What a model says of each video: the one source of every figure."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation.metrics import rank_of_truth
from actrec_zoo.files import write_atomically

PREDICTIONS_FILE = "predictions.csv"
COLUMNS = ("video", "group", "label", "predicted", "p_predicted", "p_label", "rank", "clips", "error")
"""Of predictions.csv."""


@dataclass(frozen=True)
class Videos:
    """The videos that are evaluated.

    Attributes:
        labels: class names.
        names: of the videos, N.
        groups: name of the source of each; empty where none is known.
        truth: class of each, int64[N].
    """

    labels: tuple[str, ...]
    names: PackedStrings
    groups: PackedStrings
    truth: IntArray

    @classmethod
    def of(cls, manifest: Manifest, videos: IntArray) -> Videos:
        """Some videos of a manifest."""
        return cls(
            manifest.classes,
            PackedStrings(entry.name for entry in manifest.entries(videos)),
            PackedStrings(entry.group for entry in manifest.entries(videos)),
            manifest.labels[videos].astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def clusters(self) -> IntArray:
        """The source of each video as a number, int64[N]: a video of no known group is a source of its own.

        Sources are numbered by name, so that what is drawn of them does not depend on the order of the videos.
        """
        sources = [f"group {g}" if g else f"video {v}" for g, v in zip(self.groups, self.names, strict=True)]
        numbers = {source: number for number, source in enumerate(sorted(set(sources)))}
        return np.array([numbers[source] for source in sources], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of each video.

    Attributes:
        videos: the videos, N.
        probabilities: mean of the softmax of a video's clips, float64[N, K]; zeros where it could not be read.
        clips: that were read, int64[N]; 0 for a video that could not be.
        clip_sums: float64[N, 3], over the clips of each video: top-1 hits, top-5 hits, cross-entropy; zeros where it
            could not be read.
        errors: why a video could not be read, by its place.
    """

    videos: Videos
    probabilities: NDArray[np.float64]
    clips: IntArray
    clip_sums: NDArray[np.float64]
    errors: Mapping[int, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, K."""
        return self.videos.labels

    @property
    def truth(self) -> IntArray:
        """Class of each video, int64[N]."""
        return self.videos.truth

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Whether a video could be read, bool[N]."""
        return self.clips > 0

    @property
    def counted_clips(self) -> IntArray:
        """What the clips of each video count as, int64[N]: a video that could not be read is one wrong clip."""
        return np.maximum(self.clips, 1)

    @cached_property
    def predicted(self) -> IntArray:
        """Class with the highest probability, int64[N]; K for a video that could not be read."""
        return np.where(self.used, self.probabilities.argmax(axis=1), len(self.labels)).astype(np.int64)

    @cached_property
    def ranks(self) -> IntArray:
        """Place of the true class among the probabilities, from 1, int64[N]; K + 1 for a video that was not read."""
        ranks = rank_of_truth(self.probabilities, self.truth)
        return np.where(self.used, ranks, len(self.labels) + 1).astype(np.int64)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One row a video, with the columns `COLUMNS`."""
        names = (*self.labels, "")
        for i, (name, group) in enumerate(zip(self.videos.names, self.videos.groups, strict=True)):
            truth, predicted = int(self.truth[i]), int(self.predicted[i])
            known = bool(self.used[i])
            yield (
                name,
                group,
                names[truth],
                names[predicted],
                f"{self.probabilities[i, predicted]:.6f}" if known else "",
                f"{self.probabilities[i, truth]:.6f}" if known else "",
                int(self.ranks[i]) if known else "",
                int(self.clips[i]),
                self.errors.get(i, ""),
            )

    def write_csv(self, path: Path) -> None:
        """Write a row for each video.

        Raises:
            RunError: the file cannot be written.
        """
        write_atomically(path, self._write_rows)

    def _write_rows(self, file: Path) -> None:
        with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writerow(COLUMNS)
            for row in self.rows():
                ends_lines = any("\r" in str(cell) for cell in row)  # which the writer does not see
                (quoting if ends_lines else writer).writerow(row)
