"""Many strings in two arrays: forked workers share them, and a million cost no more than their bytes and 8 each."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

Item = TypeVar("Item")

_AT_ONCE = 1 << 10
"""Strings that are looked at together: few enough for what is made of them to stay small."""


def in_runs(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of some thousands: what is packed at once costs less."""
    left = iter(items)
    while run := list(itertools.islice(left, _AT_ONCE)):
        yield run


class PackedStrings(Sequence[str]):
    """An immutable list of strings in two arrays.

    Args:
        texts: the strings; they are packed as they come.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        packer = StringPacker()
        for some in in_runs(texts):
            packer.extend(some)
        self._bytes, self._ends = packer.arrays()

    @classmethod
    def of_arrays(cls, joined: NDArray[np.uint8], ends: IntArray) -> PackedStrings:
        """Strings by their bytes one after the other, UTF-8, and where each ends."""
        packed = cls.__new__(cls)
        packed._bytes, packed._ends = joined, ends
        return packed

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(self.take(np.arange(*index.indices(len(self)))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        position = index % len(self)
        start = self._ends[position - 1] if position else 0
        return self._bytes[start : self._ends[position]].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (part.decode("utf-8", "surrogateescape") for part in self._parts())

    def take(self, indices: NDArray[np.signedinteger[Any]]) -> PackedStrings:
        """The strings at some places, in that order."""
        lengths = self.lengths(indices)
        ends = np.cumsum(lengths, dtype=np.int64)
        joined = np.empty(ends[-1] if len(ends) else 0, dtype=np.uint8)
        for first in range(0, len(indices), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            starts, stops = self._ends[indices[some]] - lengths[some], ends[some] - (ends[first] - lengths[first])
            shifts = np.repeat(starts - (stops - lengths[some]), lengths[some])
            place = int(ends[first] - lengths[first])
            joined[place : place + len(shifts)] = self._bytes[shifts + np.arange(len(shifts))]
        return PackedStrings.of_arrays(joined, ends)

    def lengths(self, indices: NDArray[np.signedinteger[Any]] | None = None) -> IntArray:
        """Bytes of the strings at some places, or of all, int64[number of them]."""
        if indices is None:
            return np.diff(self._ends, prepend=0)
        lengths: IntArray = self._ends[indices] - np.where(indices > 0, self._ends[indices - 1], 0)
        return lengths

    def keys(self, key: Callable[[bytes], int] = hash) -> IntArray:
        """64 bits for each string, the same for equal ones; within this process alone where they are hashes."""
        return np.fromiter(map(key, self._parts()), np.int64, len(self))

    def _parts(self) -> Iterator[bytes]:
        """The bytes of each string."""
        start = 0
        for first in range(0, len(self), _AT_ONCE):
            ends = self._ends[first : first + _AT_ONCE].tolist()
            before, joined = start, self._bytes[start : ends[-1]].tobytes()
            for end in ends:
                yield joined[start - before : end - before]
                start = end


class StringPacker:
    """Makes `PackedStrings` of strings that come a run at a time."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q")

    def extend(self, texts: Sequence[str]) -> None:
        """Add some strings."""
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        ends = itertools.accumulate(map(len, encoded), initial=len(self._bytes))
        self._ends.extend(itertools.islice(ends, 1, None))
        self._bytes += b"".join(encoded)

    def arrays(self) -> tuple[NDArray[np.uint8], IntArray]:
        """The bytes of all strings, and where each ends; nothing can be added any more."""
        return np.frombuffer(self._bytes, np.uint8), np.frombuffer(self._ends, np.int64)

    def packed(self) -> PackedStrings:
        """The strings."""
        return PackedStrings.of_arrays(*self.arrays())


class StringIndex:
    """Finds the place of a string in a list: by 64-bit keys in order, then by comparing the strings themselves.

    Args:
        strings: where to look.
        key: of the bytes of a string.
    """

    def __init__(self, strings: PackedStrings, key: Callable[[bytes], int] = hash) -> None:
        self._strings = strings
        self._key = key
        keys = strings.keys(key)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, wanted: PackedStrings) -> IntArray:
        """Place of the first string that equals each of `wanted`, int64[len(wanted)]; -1 where none does."""
        sought = wanted.keys(self._key)
        places = np.searchsorted(self._keys, sought)
        found = np.full(len(wanted), -1, dtype=np.int64)
        left = np.arange(len(wanted))
        while len(left):
            left = left[places[left] < len(self._keys)]
            left = left[self._keys[places[left]] == sought[left]]
            candidates = self._order[places[left]]
            same = _equal(self._strings, candidates, wanted, left)
            found[left[same]] = candidates[same]
            left = left[~same]
            places[left] += 1
        return found


def first_places(strings: PackedStrings, key: Callable[[bytes], int] = hash) -> IntArray:
    """For each string the place of the first that equals it, int64[N]: its own, unless it is a repeat."""
    _, first, inverse = np.unique(strings.keys(key), return_index=True, return_inverse=True)
    places: IntArray = first[inverse]
    if _equal(strings, places, strings, np.arange(len(strings))).all():
        return places
    return StringIndex(strings, key).find(strings)  # different strings have one key


def _equal(first: PackedStrings, ours: IntArray, second: PackedStrings, theirs: IntArray) -> NDArray[np.bool_]:
    """Whether the strings at some places of one list are those at some places of another, bool[len(ours)]."""
    same: NDArray[np.bool_] = first.lengths(ours) == second.lengths(theirs)
    alike = np.flatnonzero(same & (ours != theirs)) if first is second else np.flatnonzero(same)
    for start in range(0, len(alike), _AT_ONCE):
        some = alike[start : start + _AT_ONCE]
        one, other = first.take(ours[some]), second.take(theirs[some])
        differing = np.concatenate([[0], np.cumsum(one._bytes != other._bytes)])
        same[some] = np.diff(differing[np.concatenate([[0], one._ends])]) == 0
    return same
