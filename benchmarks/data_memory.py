"""Memory of a data set of a million videos and ten million clips: its index, and what workers add to it.

    python benchmarks/data_memory.py [--quick] [--json FILE]

Every figure comes from a process of its own, forked for it. Seconds are of CPU time; MiB are resident memory above that
at the start, kept and at most. The files that are listed are empty ones, made in a temporary folder. Workers read few
small real videos again and again, as if they were the million; MiB of theirs are private, shared with no process, when
each has read some batches and has what it needs to decode, and at the end. `tuples` is the naive way: a Python list
with a tuple a video, or a clip.
"""

import argparse
import dataclasses
import gc
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from actrec_zoo.data.dataset import ClipDataset, EpochBatches, make_loader
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.layouts.tables import read_csv
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.spec import InputSpec

Figures = dict[str, float]
Result = TypeVar("Result")

CLASSES, CLIPS, T, BATCH, WORKERS, REAL = 400, 10, 8, 8, 2, 20
SETTLED = 200
"""Batches after which a worker has what it needs to decode."""
MIB = 2**20


def entries(videos: int) -> Iterable[Entry]:
    """So many videos in 400 classes, ten of each source."""
    for i in range(videos):
        label = f"class{i * CLASSES // videos:03}"
        yield Entry(f"{label}/video{i:07}.mp4", label, f"source{i // 10:06}")


def write_listed(root: Path, videos: int) -> None:
    """An empty file for each video, and a manifest.csv beside the classes that lists them."""
    with (root / "manifest.csv").open("w", encoding="utf-8") as table:
        table.write("path,label,group\n")
        for path, label, group, *_ in entries(videos):
            (root / label).mkdir(exist_ok=True)
            os.close(os.open(root / path, os.O_CREAT | os.O_WRONLY))
            table.write(f"{path},{label},{group}\n")


def write_videos(root: Path) -> None:
    """Few folders of small frames."""
    for i in range(REAL):
        folder = root / f"class{i % 2}" / f"video{i}"
        folder.mkdir(parents=True)
        for n in range(CLIPS * T):
            Image.fromarray(np.full((32, 32, 3), (n, i, 0), np.uint8)).save(folder / f"{n:03}.jpg")


# The index


def measure_index(videos: int) -> dict[str, Figures]:
    """What a manifest of so many videos takes, made in different ways."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_listed(root, videos)
        table = root / "manifest.csv"
        ways: dict[str, Callable[[], object]] = {
            "entries": lambda: Manifest.from_entries(Path("data"), entries(videos)),
            "table": lambda: read_manifest(root, layout="table"),
            "table, files not looked for": lambda: Manifest.from_entries(root, (entry for _, entry in read_csv(table))),
            "class folders": lambda: read_manifest(root, layout="folders"),
            "entries as tuples": lambda: list(entries(videos)),
        }
        return {name: in_a_process(lambda way=way: _cost(way)) for name, way in ways.items()}  # type: ignore[misc]


def _cost(make: Callable[[], object]) -> Figures:
    gc.collect()
    gc.freeze()
    _forget_peak()
    before, start = _status("VmRSS"), time.process_time()
    made = make()
    seconds, peak = time.process_time() - start, _status("VmHWM") - before
    gc.collect()
    kept = _status("VmRSS") - before
    del made
    return {"seconds": round(seconds, 2), "mib": round(kept), "peak_mib": round(peak)}


# Workers


class TupleDataset(ClipDataset):
    """The naive way: a tuple a clip, in a list that workers inherit."""

    def __init__(self, manifest: Manifest, videos: np.ndarray, sampler: ClipSampler, transform: ClipTransform) -> None:
        super().__init__(manifest, videos, sampler, transform)
        paths = list(manifest.paths)
        self._clips = [(paths[video], video, view) for video in videos.tolist() for view in range(CLIPS)]

    def locate(self, index: int) -> tuple[int, int]:
        """See `ClipDataset.locate`."""
        _, video, view = self._clips[index]
        return video, view


def measure_workers(videos: int, batches: int) -> dict[str, dict[str, Figures]]:
    """Memory of the parent and of each of two workers over some batches of an epoch of ten clips a video."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_videos(root)
        kinds = {"clips": ClipDataset, "clips as tuples": TupleDataset}
        return {
            name: in_a_process(lambda kind=kind: _read_some(kind, root, videos, batches))  # type: ignore[misc]
            for name, kind in kinds.items()
        }


def _read_some(kind: type[ClipDataset], root: Path, videos: int, batches: int) -> dict[str, Figures]:
    before = _status("VmRSS")
    few = read_manifest(root)
    listed = Manifest.from_entries(root, (few.entry(i % len(few)) for i in range(videos)))
    manifest = dataclasses.replace(listed, frames=np.full(videos, CLIPS * T, np.int32))
    spec = InputSpec(frames=T, size=32)
    clips = kind(manifest, np.arange(videos), ClipSampler("blocks", T), ClipTransform(spec))
    order = EpochBatches(len(clips), BATCH, shuffle=True)
    order.start(0, len(order) - batches)
    read = iter(make_loader(clips, order, workers=WORKERS))
    for _ in range(SETTLED):
        next(read)
    pids = [child.pid for child in multiprocessing.active_children()]
    first = [_status("VmRSS") - before, *map(_private, pids)]
    for _ in range(batches - SETTLED - 2 * WORKERS):  # a worker without work would end
        next(read)
    last = [_status("VmRSS") - before, *map(_private, pids)]
    names = ("parent", *(f"worker {number}" for number in range(1, WORKERS + 1)))
    return {
        name: {"clips": len(clips), "first_mib": round(a, 1), "last_mib": round(b, 1)}
        for name, a, b in zip(names, first, last, strict=True)
    }


# Measuring


def in_a_process(work: Callable[[], Result]) -> Result:
    """What `work` returns, as JSON has it, in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        figures: Result = json.loads(answer.read())
    os.waitpid(child, 0)
    return figures


def _status(field: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at most."""
    return int(re.findall(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[0]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _private(pid: int | None) -> float:
    """MiB that a process shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) for kilobytes in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def measure(*, quick: bool) -> dict[str, object]:
    """All figures."""
    videos = 50_000 if quick else 1_000_000
    index, workers = measure_index(videos), measure_workers(videos, 500 if quick else 5000)
    return {"videos": videos, "index": index, "workers": workers}


def show(report: dict[str, object]) -> None:
    """Print the figures."""
    print(f"\nindex of {report['videos']:,} videos")
    for way, cost in report["index"].items():  # type: ignore[attr-defined]
        print(f"  {way:28s} {cost['seconds']:7.2f} s {cost['mib']:6.0f} MiB kept {cost['peak_mib']:6.0f} MiB at most")
    for way, processes in report["workers"].items():  # type: ignore[attr-defined]
        print(f"\n{processes['parent']['clips']:,} {way}: MiB after the first batches, and at the end")
        for process, mib in processes.items():
            print(f"  {process:28s} {mib['first_mib']:7.1f} {mib['last_mib']:7.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer videos and batches: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = measure(quick=given.quick)
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report | {"quick": given.quick}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
