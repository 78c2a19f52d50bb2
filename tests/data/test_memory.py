"""What large data sets cost in memory: bytes a video, counted as they are allocated, and growth of workers."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.dataset import EpochBatches
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry, Manifest, Span
from actrec_zoo.data.splits import read_splits, write_splits
from tests.data.worker_memory import READINGS
from tests.distributions import run_python

VIDEOS = 20_000
MOST = 200
"""Bytes a video at any time: 200 MB for a million. Its names as Python strings, in one tuple, would take more."""
KEPT = 60
FIXED = 1_000_000
"""What does not grow with the number of videos."""

has_smaps = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="asks Linux for memory")


def entries(span: Span | None = None) -> Iterator[Entry]:
    for i in range(VIDEOS):
        yield Entry(f"class{i % 400:03}/video{i:07}.mp4", f"class{i % 400:03}", f"source{i // 10:06}", "", span)


@contextmanager
def allocated() -> Iterator[SimpleNamespace]:
    """Bytes that the block allocates at most, and those that it leaves."""
    figures = SimpleNamespace()
    tracemalloc.start()
    try:
        yield figures
        figures.kept, figures.most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def test_entries_are_packed_as_they_come() -> None:
    with allocated() as memory:
        manifest = Manifest.from_entries(Path("data"), entries())
    assert memory.most < MOST * VIDEOS + FIXED
    assert memory.kept < KEPT * len(manifest) + FIXED


def test_so_are_parts_of_videos() -> None:
    with allocated() as memory:
        manifest = Manifest.from_entries(Path("data"), entries(Span(3, 9.5, seconds=True)))
    assert memory.most < MOST * VIDEOS + FIXED
    assert memory.kept < (KEPT + 17) * len(manifest) + FIXED


@pytest.mark.parametrize("listed", [True, False], ids=["table", "folders"])
def test_a_data_set_is_read_without_an_object_a_video(tmp_path: Path, *, listed: bool) -> None:
    rows = ["path,label,group"]
    for entry in entries():
        (tmp_path / entry.label).mkdir(exist_ok=True)
        (tmp_path / entry.path).touch()
        rows.append(f"{entry.path},{entry.label},{entry.group}")
    if listed:
        (tmp_path / "manifest.csv").write_text("\n".join(rows))
    del rows
    with allocated() as memory:
        manifest = read_manifest(tmp_path)
    assert len(manifest) == VIDEOS
    assert memory.most < MOST * VIDEOS + FIXED
    assert memory.kept < KEPT * VIDEOS + FIXED


def test_splits_are_made_written_and_read_in_little_more(tmp_path: Path) -> None:
    manifest = Manifest.from_entries(Path("data"), entries())
    with allocated() as memory:
        write_splits(tmp_path, manifest, make_splits(manifest))
    assert memory.most < MOST * VIDEOS + FIXED
    with allocated() as memory:
        read_splits(tmp_path, manifest)
    assert memory.most < MOST * VIDEOS + FIXED


def test_the_order_of_an_epoch_takes_four_bytes_a_clip() -> None:
    batches = EpochBatches(100 * VIDEOS, 8, shuffle=True)
    with allocated() as memory:
        next(iter(batches))
    assert memory.most < 5 * batches.length


@has_smaps
def test_workers_share_the_manifest_and_do_not_grow(squares: Path) -> None:
    read = run_python("-m", "tests.data.worker_memory", str(squares))
    assert read.code == 0, read.err
    memory = np.array(json.loads(read.out))
    assert memory.shape == (READINGS, 2)
    growth = np.median(np.diff(memory, axis=0), axis=0)  # a step, such as what decoding needs, is none
    assert max(growth) < 250_000, memory  # a page of 4 KiB a clip would be 800,000
