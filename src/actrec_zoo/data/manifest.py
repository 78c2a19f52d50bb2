"""The list of a data set's videos, as packed arrays that worker processes share."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.data.strings import IntArray, PackedStrings, StringPacker, first_places, in_runs
from actrec_zoo.errors import DataError

__all__ = ["PACK_HEADER", "SPLIT_NAMES", "SPLIT_WORDS", "Entry", "IntArray", "Manifest", "PackedStrings", "Span"]

SmallIntArray = NDArray[np.int32]
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


_SPAN_OF_NAME = re.compile(r"#(frames|t)=[\d.e+,-]+$")


def path_of(name: str) -> str:
    """The path of the video that `Entry.name` names, or names a part of."""
    return _SPAN_OF_NAME.sub("", name)


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


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Videos, their classes and source groups; nothing is decoded to make one.

    A column that holds one value all through is a view of that value, and cannot be written to.

    Attributes:
        root: folder that the paths are relative to.
        classes: class names; a label is an index into them.
        paths: of a video file or a folder of frames, with forward slashes.
        labels: int32[N].
        groups: int32[N], an index into `group_names`; -1 where no group is known.
        group_names: names of the source groups, in the order in which they first come.
        stated_splits: int8[N], the split that the data set states, an index into `SPLIT_NAMES`; -1 where none.
        spans: float64[N, 2], start and stop of a part of a video; NaN for a whole one.
        spans_in_seconds: bool[N], whether the span is in seconds, not in frames.
        skipped: how many things were passed over, by kind.
        frames: int32[N], exact number of frames; -1 before the probe, 0 where the video cannot be read.
        offsets: int32[N], number in the video of the first of these frames; 0 for a whole video.
        rates: float64[N], frames a second; 0 where that is not known or was not asked for.
        errors: why a video cannot be read, by index.
    """

    root: Path
    classes: tuple[str, ...]
    paths: PackedStrings
    labels: SmallIntArray
    groups: SmallIntArray
    group_names: PackedStrings
    stated_splits: NDArray[np.int8]
    spans: NDArray[np.float64]
    spans_in_seconds: NDArray[np.bool_]
    skipped: Mapping[str, int] = field(default_factory=dict)
    frames: SmallIntArray
    offsets: SmallIntArray
    rates: NDArray[np.float64]
    errors: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def from_entries(cls, root: Path, entries: Iterable[Entry], skipped: Mapping[str, int] | None = None) -> Manifest:
        """Pack entries as they come; classes are sorted by name.

        Args:
            root: folder that the paths are relative to.
            entries: the videos.
            skipped: how many things were passed over, by kind; looked at when the entries have come to their end.

        Raises:
            DataError: there is no entry, or one has a split of another name.
        """
        columns = _Columns()
        for some in in_runs(entries):
            odd = next((entry for entry in some if entry.split not in _SPLIT_INDEX), None)
            if odd:
                names = ", ".join(SPLIT_NAMES)
                raise DataError(f"{root}: the split of {odd.name} is {odd.split!r}, not one of {names}")
            columns.extend(some)
        if not columns.labels:
            raise DataError(f"{root} holds no videos. Expected {EXPECTED_LAYOUT}")
        return columns.manifest(root, dict(skipped or {}))

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
            _SPLITS[split],
            self.span(index),
        )

    def entries(self, videos: IntArray | None = None) -> Iterator[Entry]:
        """What is known of some videos, or of all, one after the other: faster than `entry` for each."""
        chosen = np.arange(len(self)) if videos is None else videos
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            labels = (self.classes[label] for label in self.labels[some].tolist())
            splits = (_SPLITS[split] for split in self.stated_splits[some].tolist())
            spans = map(self.span, some.tolist()) if self.has_spans else itertools.repeat(None)
            yield from map(Entry, self.paths.take(some), labels, self._groups_of(some), splits, spans)

    def _groups_of(self, videos: IntArray) -> list[str]:
        """Names of their groups, or empty strings."""
        groups = self.groups[videos]
        names = iter(self.group_names.take(groups[groups >= 0]))
        return [next(names) if grouped else "" for grouped in (groups >= 0).tolist()]

    def name(self, index: int) -> str:
        """What tells entry `index` from the others: its path, and its span behind a `#`."""
        return self.entry(index).name

    @property
    def names(self) -> PackedStrings:
        """What tells each entry from the others: its path, and the span of a part behind a `#`."""
        if not self.has_spans:
            return self.paths
        return PackedStrings(entry.name for entry in self.entries())

    @property
    def has_spans(self) -> bool:
        """Whether an entry is a part of a video."""
        return not np.isnan(self.spans[:, 0]).all()

    def span(self, index: int) -> Span | None:
        """The part of the video that entry `index` is; None for all of it."""
        start = float(self.spans[index, 0])
        if math.isnan(start):
            return None
        return Span(start, float(self.spans[index, 1]), bool(self.spans_in_seconds[index]))

    def with_groups(self, videos: IntArray, names: PackedStrings) -> Manifest:
        """The same videos with the groups of some of them set; an empty name leaves a video in the group it is in."""
        named = np.flatnonzero(names.lengths())
        both = PackedStrings(itertools.chain(self.group_names, names.take(named)))
        numbers = self.groups.copy()
        numbers[videos[named]] = np.arange(len(self.group_names), len(both))
        groups, group_names = _number_afresh(both, numbers)
        return dataclasses.replace(self, groups=groups, group_names=group_names)

    def select(self, videos: IntArray) -> Manifest:
        """Some of the videos, in that order; classes and groups that none of them has are gone."""
        there, labels = np.unique(self.labels[videos], return_inverse=True)
        groups, group_names = _number_afresh(self.group_names, self.groups[videos])
        columns: dict[str, Any] = {name: _select(getattr(self, name), videos) for name in _MOSTLY_CONSTANT}
        return dataclasses.replace(
            self,
            classes=tuple(self.classes[label] for label in there.tolist()),
            paths=self.paths.take(videos),
            labels=labels.astype(np.int32),
            groups=groups,
            group_names=group_names,
            stated_splits=self.stated_splits[videos],
            errors={new: self.errors[old] for new, old in enumerate(videos.tolist()) if old in self.errors},
            **columns,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Columns of one value are pickled as that value: a worker that is not forked gets little more than paths."""
        state = self.__dict__.copy()
        return state | {name: state[name][:1] for name in _MOSTLY_CONSTANT if _is_constant(state[name])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        length = len(state["paths"])
        columns = {name: state[name] for name in _MOSTLY_CONSTANT if len(state[name]) < length}
        spread = {name: np.broadcast_to(value, (length, *value.shape[1:])) for name, value in columns.items()}
        self.__dict__.update(state | spread)

    def with_classes(self, classes: Sequence[str], renamed: Mapping[str, str] | None = None) -> Manifest:
        """The same videos with labels that index into `classes`.

        Args:
            classes: names.
            renamed: what a class of the data is called among them, where it has another name.

        Raises:
            DataError: the data has a class that is not among them.
        """
        names = [(renamed or {}).get(name, name) for name in self.classes]
        index = {name: number for number, name in enumerate(classes)}
        unknown = [name for name in names if name not in index]
        if unknown:
            raise DataError(f"{self.root} has classes that the model does not know: {', '.join(unknown[:8])}")
        order = np.array([index[name] for name in names], dtype=np.int32)
        return dataclasses.replace(self, classes=tuple(classes), labels=order[self.labels])

    def content_hash(self) -> str:
        """Changes when a video is added, removed, moved or written again (path, size and time of each)."""
        digest = hashlib.sha256(str(self.root.resolve()).encode("utf-8", "surrogateescape"))
        digest.update(_state(self.root / PACK_HEADER))
        for path in self.paths:
            digest.update(path.encode("utf-8", "surrogateescape"))
            digest.update(_state(self.root / path))
        return digest.hexdigest()


class _Columns:
    """A manifest in the making: what entries say, packed as they come."""

    def __init__(self) -> None:
        self.labels = array("i")
        self._classes: dict[str, int] = {}
        self._paths = StringPacker()
        self._groups = StringPacker()
        self._splits = array("b")
        self._parts = array("q")
        self._bounds = array("d")
        self._seconds = array("b")

    def extend(self, entries: Sequence[Entry]) -> None:
        paths, labels, groups, splits, spans = zip(*entries, strict=True)
        for place, span in enumerate(spans, start=len(self.labels)):
            if span is not None:
                self._parts.append(place)
                self._bounds.extend(span[:2])
                self._seconds.append(span.seconds)
        for label in set(labels):
            self._classes.setdefault(label, len(self._classes))
        self.labels.extend(map(self._classes.__getitem__, labels))
        self._paths.extend(paths)
        self._groups.extend(groups)
        self._splits.extend(map(_SPLIT_INDEX.__getitem__, splits))

    def manifest(self, root: Path, skipped: Mapping[str, int]) -> Manifest:
        length, classes = len(self.labels), sorted(self._classes)
        rank = np.empty(len(classes), dtype=np.int32)
        rank[[self._classes[name] for name in classes]] = np.arange(len(classes))
        groups, group_names = self._numbered_groups()
        return Manifest(
            root=root,
            classes=tuple(classes),
            paths=self._paths.packed(),
            labels=rank[np.frombuffer(self.labels, np.int32)],
            groups=groups,
            group_names=group_names,
            stated_splits=np.frombuffer(self._splits, np.int8),
            spans=self._spread(np.nan, np.frombuffer(self._bounds).reshape(-1, 2)),
            spans_in_seconds=self._spread(False, np.frombuffer(self._seconds, np.bool_)),
            skipped=skipped,
            frames=_constant(np.int32(-1), length),
            offsets=_constant(np.int32(0), length),
            rates=_constant(np.float64(0), length),
        )

    def _numbered_groups(self) -> tuple[SmallIntArray, PackedStrings]:
        names = self._groups.packed()
        return _number_afresh(names, np.where(names.lengths() > 0, np.arange(len(names)), -1))

    def _spread(self, otherwise: float, values: NDArray[Any]) -> NDArray[Any]:
        """A column with values where entries are parts of videos."""
        shape = (len(self.labels), *values.shape[1:])
        if not len(values):
            return np.broadcast_to(np.array(otherwise, values.dtype), shape)
        column = np.full(shape, otherwise, values.dtype)
        column[np.frombuffer(self._parts, np.int64)] = values
        return column


def _number_afresh(
    names: PackedStrings, numbers: NDArray[np.signedinteger[Any]]
) -> tuple[SmallIntArray, PackedStrings]:
    """Numbers int32[N] in the order of first use, and the names in use, each once; -1 stays.

    Args:
        names: equal ones become one.
        numbers: int[N], indices into them, or -1.
    """
    named = numbers >= 0
    chosen = first_places(names)[numbers[named]]
    used, first_use, numbers_of_used = np.unique(chosen, return_index=True, return_inverse=True)
    order = np.argsort(first_use)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order))
    afresh = np.full(len(numbers), -1, dtype=np.int32)
    afresh[named] = rank[numbers_of_used]
    return afresh, names.take(used[order])


def _constant(value: np.generic, length: int) -> NDArray[Any]:
    """A column of one value, which takes no memory; it cannot be written to."""
    return np.broadcast_to(value, length)


def _is_constant(column: NDArray[Any]) -> bool:
    return column.strides[0] == 0


def _select(column: NDArray[Any], videos: IntArray) -> NDArray[Any]:
    return column[: len(videos)] if _is_constant(column) else column[videos]


def _state(path: Path) -> bytes:
    """Size and time of a file or folder."""
    try:
        status = path.stat()
    except OSError:
        return b"\0missing\n"
    return f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()


_AT_ONCE = 1 << 10
_SPLITS = (*SPLIT_NAMES, "")
"""By the number of a split; -1 is the last."""
_SPLIT_INDEX = {name: i for i, name in enumerate(SPLIT_NAMES)} | {"": -1}
_MOSTLY_CONSTANT = ("spans", "spans_in_seconds", "frames", "offsets", "rates")
"""Columns that hold one value all through for most data sets, or until the probe."""

EXPECTED_LAYOUT = (
    "CLASS/VIDEO_FOLDER/FRAMES.jpg, or CLASS/VIDEO_FILE.mp4, or a file manifest.csv with the columns path,label[,group]"
)
