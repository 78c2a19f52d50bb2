"""The list of a data set's videos, as packed arrays that worker processes share."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.errors import DataError

IntArray = NDArray[np.int64]
PACK_HEADER = "pack.json"
"""A folder with this file is a pack, which holds its videos in one large file: see `actrec_zoo.data.pack`."""


SPLIT_NAMES = ("train", "val", "test")
SPLIT_WORDS = {name: name for name in ("", *SPLIT_NAMES)} | {"validation": "val", "validate": "val", "valid": "val"}
"""How data sets call their splits, and what they are here."""


class Span(NamedTuple):
    """A part of a video, from `start` to before `stop`: frame numbers from 0, or seconds from the first frame."""

    start: float
    stop: float = math.inf
    seconds: bool = False

    def __str__(self) -> str:
        stop = "" if math.isinf(self.stop) else f"{self.stop:.12g}"
        return f"t={self.start:.12g},{stop}" if self.seconds else f"frames={self.start:.12g}-{stop}"


class Entry(NamedTuple):
    """One video, or a part of one, as a layout reader finds it.

    Attributes:
        path: of the video file or the folder of frames.
        label: name of its class.
        group: name of its source group, or an empty string.
        split: `train`, `val` or `test` where the data set states it, or an empty string.
        span: the part of the video that is meant; None for all of it.
    """

    path: str
    label: str
    group: str = ""
    split: str = ""
    span: Span | None = None

    @property
    def name(self) -> str:
        """What tells it from the others: its path, and its span behind a `#`."""
        return self.path if self.span is None else f"{self.path}#{self.span}"


class PackedStrings(Sequence[str]):
    """An immutable list of strings in two arrays, which forked workers do not copy.

    Args:
        texts: the strings.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        position = index % len(self)
        start = self._ends[position - 1] if position else 0
        return self._bytes[start : self._ends[position]].tobytes().decode("utf-8", "surrogateescape")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Videos, their classes and source groups; nothing is decoded to make one.

    Attributes:
        root: folder that the paths are relative to.
        classes: class names; a label is an index into them.
        paths: of a video file or a folder of frames, with forward slashes.
        labels: int64[N].
        groups: int64[N], an index into `group_names`; -1 where no group is known.
        group_names: names of the source groups.
        stated_splits: int8[N], the split that the data set states, an index into `SPLIT_NAMES`; -1 where none.
        spans: float64[N, 2], start and stop of a part of a video; NaN for a whole one.
        spans_in_seconds: bool[N], whether the span is in seconds, not in frames.
        skipped: how many things were passed over, by kind.
        frames: int64[N], exact number of frames; -1 before the probe, 0 where the video cannot be read.
        offsets: int64[N], number in the video of the first of these frames; 0 for a whole video.
        rates: float64[N], frames a second; 0 where that is not known or was not asked for.
        errors: why a video cannot be read, by index.
    """

    root: Path
    classes: tuple[str, ...]
    paths: PackedStrings
    labels: IntArray
    groups: IntArray
    group_names: PackedStrings
    stated_splits: NDArray[np.int8]
    spans: NDArray[np.float64]
    spans_in_seconds: NDArray[np.bool_]
    skipped: Mapping[str, int] = field(default_factory=dict)
    frames: IntArray
    offsets: IntArray
    rates: NDArray[np.float64]
    errors: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def from_entries(cls, root: Path, entries: Iterable[Entry], skipped: Mapping[str, int] | None = None) -> Manifest:
        """Pack entries; classes are sorted by name.

        Raises:
            DataError: there is no entry, or one has a split of another name.
        """
        found = list(entries)
        if not found:
            raise DataError(f"{root} holds no videos. Expected {EXPECTED_LAYOUT}")
        classes = tuple(sorted({entry.label for entry in found}))
        group_names = sorted({entry.group for entry in found if entry.group})
        class_index = {name: i for i, name in enumerate(classes)}
        group_index = {name: i for i, name in enumerate(group_names)} | {"": -1}
        odd = next((entry for entry in found if entry.split not in ("", *SPLIT_NAMES)), None)
        if odd:
            raise DataError(f"{root}: the split of {odd.name} is {odd.split!r}, not one of {', '.join(SPLIT_NAMES)}")
        split_index = {name: i for i, name in enumerate(SPLIT_NAMES)} | {"": -1}
        return cls(
            root=root,
            classes=classes,
            paths=PackedStrings(entry.path for entry in found),
            labels=np.array([class_index[entry.label] for entry in found], dtype=np.int64),
            groups=np.array([group_index[entry.group] for entry in found], dtype=np.int64),
            group_names=PackedStrings(group_names),
            stated_splits=np.array([split_index[entry.split] for entry in found], dtype=np.int8),
            spans=np.array([entry.span[:2] if entry.span else (np.nan, np.nan) for entry in found], dtype=np.float64),
            spans_in_seconds=np.array([entry.span is not None and entry.span.seconds for entry in found]),
            skipped=dict(skipped or {}),
            frames=np.full(len(found), -1, dtype=np.int64),
            offsets=np.zeros(len(found), dtype=np.int64),
            rates=np.zeros(len(found), dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """Where video `index` is on this machine."""
        return self.root / self.paths[index]

    def entry(self, index: int) -> Entry:
        """What is known of video `index`, by name."""
        group, split = int(self.groups[index]), int(self.stated_splits[index])
        return Entry(
            self.paths[index],
            self.classes[int(self.labels[index])],
            self.group_names[group] if group >= 0 else "",
            SPLIT_NAMES[split] if split >= 0 else "",
            self.span(index),
        )

    @property
    def names(self) -> Sequence[str]:
        """What tells each entry from the others: its path, and the span of a part behind a `#`."""
        if np.isnan(self.spans[:, 0]).all():
            return self.paths
        return [self.entry(index).name for index in range(len(self))]

    def span(self, index: int) -> Span | None:
        """The part of the video that entry `index` is; None for all of it."""
        start = float(self.spans[index, 0])
        if math.isnan(start):
            return None
        return Span(start, float(self.spans[index, 1]), bool(self.spans_in_seconds[index]))

    def with_groups(self, names: Mapping[int, str]) -> Manifest:
        """The same videos with the groups of some of them set."""
        entries = (self.entry(i)._replace(group=names[i]) if names.get(i) else self.entry(i) for i in range(len(self)))
        packed = Manifest.from_entries(self.root, entries, self.skipped)
        return dataclasses.replace(self, groups=packed.groups, group_names=packed.group_names)

    def with_classes(self, classes: Sequence[str]) -> Manifest:
        """The same videos with labels that index into `classes`.

        Raises:
            DataError: the data has a class that is not among them.
        """
        unknown = [name for name in self.classes if name not in classes]
        if unknown:
            raise DataError(
                f"{self.root} has classes that the model does not know: {', '.join(unknown[:8])}. "
                f"The model knows {', '.join(classes[:8])}{', ...' if len(classes) > 8 else ''}. "
                "Keep some classes of the data with --classes FILE"
            )
        order = np.array([list(classes).index(name) for name in self.classes], dtype=np.int64)
        return dataclasses.replace(self, classes=tuple(classes), labels=order[self.labels])

    def content_hash(self) -> str:
        """Changes when a video is added, removed, moved or written again (path, size and time of each)."""
        digest = hashlib.sha256(str(self.root.resolve()).encode("utf-8", "surrogateescape"))
        digest.update(_state(self.root / PACK_HEADER))
        for i in range(len(self)):
            digest.update(self.paths[i].encode("utf-8", "surrogateescape"))
            digest.update(_state(self.path(i)))
        return digest.hexdigest()


def _state(path: Path) -> bytes:
    """Size and time of a file or folder."""
    try:
        status = path.stat()
    except OSError:
        return b"\0missing\n"
    return f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()


EXPECTED_LAYOUT = (
    "CLASS/VIDEO_FOLDER/FRAMES.jpg, or CLASS/VIDEO_FILE.mp4, or a file manifest.csv with the columns path,label[,group]"
)
