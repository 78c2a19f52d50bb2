"""A process that reads clips of a long list with two workers, and says what memory they have to themselves meanwhile.

Of its own, since workers copy what the process that made them goes on writing: a test session holds too much else.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import re
import sys
from pathlib import Path

import numpy as np

from actrec_zoo.data.dataset import ClipDataset, EpochBatches, make_loader
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.spec import InputSpec

LISTED = 200_000
"""Videos, of which the workers read some."""
BATCHES_BETWEEN = 50
BATCH_SIZE = 8
READINGS = 10


def private_memory(pid: int | None) -> int:
    """Bytes that a process shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) * 1024 for kilobytes in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def long_list(folder: Path) -> ClipDataset:
    """Clips of the videos of a folder, listed over and over."""
    few = read_manifest(folder)
    many = Manifest.from_entries(folder, (few.entry(i % len(few)) for i in range(LISTED)))
    spec = InputSpec(frames=4, size=16)
    return ClipDataset(
        dataclasses.replace(many, frames=np.resize(probe(few).frames, LISTED)),
        np.arange(LISTED),
        ClipSampler("blocks", spec.frames),
        ClipTransform(spec),
    )


def readings(clips: ClipDataset) -> list[list[int]]:
    """Bytes of each worker, after every so many batches."""
    batches = EpochBatches(len(clips), BATCH_SIZE, shuffle=True)
    read = iter(make_loader(clips, batches, workers=2))
    found = []
    for _ in range(READINGS):
        for _ in range(BATCHES_BETWEEN):
            next(read)
        found.append([private_memory(worker.pid) for worker in multiprocessing.active_children()])
    return found


if __name__ == "__main__":
    json.dump(readings(long_list(Path(sys.argv[1]))), sys.stdout)
