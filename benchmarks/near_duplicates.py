"""Near-duplicates that `actrec-zoo data check` finds: hits and false alarms on real clips with planted copies.

    python benchmarks/near_duplicates.py DATA [--quick] [--json FILE]

DATA is a folder of real videos, none a copy of another. They become training and validation videos in turn, so that
clips of one scene are in both. Copies of some, changed as data sets change them, become the test videos. A hit is a
copy that is found as one of its source; a false alarm is any other pair. `data check` is timed as the command that a
user calls.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import combinations
from pathlib import Path

import av
import numpy as np

from actrec_zoo.data.checking.check import ALIKE
from actrec_zoo.data.checking.decoding import look_at
from actrec_zoo.data.checking.likeness import motion_likeness
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry, IntArray, Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.splits import write_splits

Change = Callable[[list[av.VideoFrame]], list[av.VideoFrame]]


def trimmed(start: float, end: float) -> Change:
    """Only the part from `start` to `end`, as fractions of the video."""
    return lambda frames: frames[round(start * len(frames)) : round(end * len(frames))]


def resized(width: int, height: int) -> Change:
    """All frames at another size, whatever the proportions."""
    return lambda frames: [frame.reformat(width=width, height=height) for frame in frames]


CHANGES: dict[str, tuple[Change, str, dict[str, str]]] = {
    "re-encoded": (trimmed(0, 1), "libx264", {"crf": "35"}),
    "re-encoded, VP9": (trimmed(0, 1), "libvpx-vp9", {"crf": "45", "b": "0", "cpu-used": "8", "deadline": "realtime"}),
    "resized": (resized(160, 120), "libx264", {"crf": "23"}),
    "first fifth cut": (trimmed(0.2, 1), "libx264", {"crf": "23"}),
    "middle half": (trimmed(0.25, 0.75), "libx264", {"crf": "23"}),
    "all three": (lambda frames: resized(160, 120)(trimmed(0.2, 1)(frames)), "libx264", {"crf": "35"}),
}


def plant(source: Path, target: Path, change: Change, codec: str, options: dict[str, str]) -> None:
    """Write a changed copy of a video."""
    with av.open(str(source)) as old:
        frames = change(list(old.decode(video=0)))
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(target), "w") as new:
        stream = new.add_stream(codec, rate=Fraction(30), options=options)
        stream.width, stream.height = (side // 2 * 2 for side in (frames[0].width, frames[0].height))
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            picture.pts = None
            new.mux(stream.encode(picture))
        new.mux(stream.encode())


def build(data: Path, folder: Path, every: int) -> dict[str, tuple[str, str]]:
    """Fill `folder/data` and `folder/splits`; returns source and change of each planted copy, by path."""
    originals = read_manifest(data)
    planted: dict[str, tuple[str, str]] = {}
    split: dict[str, str] = {}
    for number, path in enumerate(originals.paths):
        link = folder / "data" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(originals.path(number).resolve())
        split[path] = "val" if number % 2 else "train"  # clips of one scene are on both sides, and no copies
        if number % every:
            continue
        for count, (change, (function, codec, options)) in enumerate(CHANGES.items()):
            name = f"{path.rpartition('.')[0]}~{count}{'.webm' if 'vp' in codec else '.mp4'}"
            plant(link, folder / "data" / name, function, codec, options)
            planted[name], split[name] = (path, change), "test"
    manifest = Manifest.from_entries(folder / "data", [Entry(path, path.split("/")[0]) for path in split])
    parts = [split[path] for path in manifest.paths]
    write_splits(folder / "splits", manifest, {n: where(parts, n) for n in ("train", "val", "test")})
    return planted


def where(parts: list[str], name: str) -> IntArray:
    """Indices of the videos of a split."""
    return np.array([i for i, part in enumerate(parts) if part == name], dtype=np.int64)


def likeness(data: Path, planted: dict[str, tuple[str, str]]) -> tuple[dict[str, list[float]], float]:
    """Likeness of the copies of each change to their sources, in order, and the highest of two different originals."""
    manifest = probe(read_manifest(data))
    look = partial(look_at, manifest, all_frames=False, picture=True)
    pictures = {manifest.paths[i]: small for i, (_, small) in enumerate(map(look, range(len(manifest))))}
    copies: dict[str, list[float]] = {change: [] for change in CHANGES}
    for copy, (source, change) in planted.items():
        copies[change].append(motion_likeness(pictures[source], pictures[copy]).correlation)
    originals = [small for path, small in pictures.items() if path not in planted]
    highest = max(motion_likeness(a, b).correlation for a, b in combinations(originals, 2))
    return {change: sorted(values) for change, values in copies.items()}, highest


def run_check(folder: Path, *flags: str) -> tuple[float, list[dict[str, str]]]:
    """Seconds of `actrec-zoo data check` and its findings."""
    out = folder / "findings.csv"
    command = [sys.executable, "-m", "actrec_zoo", "data", "check", str(folder / "data"), "--out", str(out), *flags]
    environment = os.environ | {"ACTREC_ZOO_CACHE": str(folder / f"cache{len(flags)}")}
    begin = time.perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.perf_counter() - begin
    if done.returncode > 1:
        sys.exit(f"{command} ended with {done.returncode}")
    with out.open(newline="", encoding="utf-8") as file:
        return seconds, list(csv.DictReader(file))


def main() -> None:
    """Plant, check and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of videos, none a copy of another")
    parser.add_argument("--quick", action="store_true", help="copies of every 20th video instead of every third")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planted = build(arguments.data, folder, 20 if arguments.quick else 3)
        plain, _ = run_check(folder)
        whole, findings = run_check(folder, "--splits", str(folder / "splits"))
        videos = len(read_manifest(folder / "data"))
        copies, highest = likeness(folder / "data", planted)
    pairs = {(row["path"], row["other"]) for row in findings if row["kind"] == "near-duplicate"}
    right = {(copy, source) for copy, (source, _) in planted.items()}
    hits = Counter(planted[copy][1] for copy, source in pairs & right)
    total = Counter(change for _, change in planted.values())
    for change in CHANGES:
        found, least = f"{hits[change]:3d} of {total[change]:3d}", copies[change][0]
        print(f"{change:16s} {found} copies found, likeness from {least:.2f}")
    wrong = sorted(pairs - right)
    print(f"false alarms     {len(wrong):3d} of {videos - len(planted)} originals and {len(planted)} copies")
    for pair in wrong:
        print("   ", *pair)
    print(f"the most alike originals have a likeness of {highest:.2f}; {ALIKE} and more counts as a near-duplicate")
    print(
        f"data check of {videos} videos: {plain:.1f} s without splits, {whole:.1f} s with; neither knows frame counts"
    )
    if arguments.json:
        figures = {"hits": dict(hits), "copies": dict(total), "false_alarms": wrong, "videos": videos}
        figures |= {"likeness_of_copies": copies, "highest_likeness_of_originals": highest}
        seconds = {"check": round(plain, 2), "check_splits": round(whole, 2)}
        arguments.json.write_text(json.dumps(figures | {"seconds": seconds}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
