"""Manifests without files, for what needs labels and groups alone."""

from collections.abc import Sequence
from pathlib import Path

from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.splits import Splits


def plain(*counts: int) -> Manifest:
    """A manifest of classes with so many videos, without groups."""
    entries = [Entry(f"c{c}/v{v}", f"c{c}") for c, count in enumerate(counts) for v in range(count)]
    return Manifest.from_entries(Path("data"), entries)


def grouped(*sizes: Sequence[int]) -> Manifest:
    """A manifest of classes, each of groups with so many videos; groups of one class are not those of another."""
    entries = [
        Entry(f"c{c}/g{g}v{v}", f"c{c}", f"c{c}g{g}")
        for c, groups in enumerate(sizes)
        for g, size in enumerate(groups)
        for v in range(size)
    ]
    return Manifest.from_entries(Path("data"), entries)


def as_lists(splits: Splits) -> dict[str, list[int]]:
    return {name: indices.tolist() for name, indices in splits.items()}
