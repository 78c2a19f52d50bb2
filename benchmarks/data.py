"""Clips of 8 frames a second on one core: this zoo's reading beside other ways, in the same run.

    python benchmarks/data.py [--quick] [--json FILE]

JPEG frame folders, video files and packs of the same 320x240 frames, made in a temporary folder: from real clips where
ACTREC_ZOO_TEST_DATA names a folder with `data/ut-interaction`, else generated. The ways take turns in one process with
one thread; a second is one of CPU time, and a figure is the median over the turns. `bare` is the same decoder and the
same resize in a plain loop. Peers that are not installed are skipped.
"""

import argparse
import contextlib
import gc
import io
import itertools
import json
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import data_memory
import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.packing import write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform, Resize
from actrec_zoo.spec import InputSpec

Way = Callable[[], Iterable[object]]
"""Reads clips, one after the other."""

T, HEIGHT, WIDTH, RATE = 8, 240, 320, 25
VIDEO_OPTIONS = {
    "avi": ("mpeg4", {"g": "12", "bf": "0", "b": "1500k"}),
    "mp4": ("libx264", {"g": "50", "bf": "2", "crf": "23", "preset": "fast"}),
}


def source_frames(videos: int, length: int) -> Iterator[np.ndarray]:
    """Frames uint8[length, 240, 320, 3] of so many videos."""
    folder = Path(os.environ.get("ACTREC_ZOO_TEST_DATA", "none")) / "data" / "ut-interaction"
    files = sorted(folder.rglob("*.avi"))
    for number in range(videos):
        yield _real(files[number * len(files) // videos], length) if files else _generated(number, length)


def _real(file: Path, length: int) -> np.ndarray:
    with av.open(str(file)) as container:
        frames = itertools.islice(itertools.cycle(list(container.decode(video=0))), length)
        return np.stack([f.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT) for f in frames])


def _generated(seed: int, length: int) -> np.ndarray:
    noise = torch.rand(1, 3, HEIGHT // 8, (WIDTH + 2 * length) // 8, generator=torch.Generator().manual_seed(seed))
    ground = functional.resize(noise, [HEIGHT, WIDTH + 2 * length])[0].mul(255).byte().permute(1, 2, 0).numpy()
    return np.stack([ground[:, 2 * n : 2 * n + WIDTH] for n in range(length)])


def write_data(root: Path, videos: int, length: int) -> None:
    """The same videos as frame folders below `jpg`, and as files below `avi` and `mp4`."""
    for number, frames in enumerate(source_frames(videos, length)):
        label = f"c{number % 2}"
        folder = root / "jpg" / label / f"v{number}"
        folder.mkdir(parents=True)
        for n, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{n:04}.jpg", quality=90)
        for suffix, (codec, options) in VIDEO_OPTIONS.items():
            (root / suffix / label).mkdir(parents=True, exist_ok=True)
            with av.open(str(root / suffix / label / f"v{number}.{suffix}"), "w") as container:
                stream = container.add_stream(codec, rate=RATE, options=options)
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                for frame in frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())


# This zoo


def ours(data: Path, size: int, sampling: str, *, shuffle: bool = False) -> Way:
    """`ClipDataset.clip` over all clips."""
    spec = InputSpec(frames=T, size=size)
    manifest = probe(read_manifest(data), cache=data.parent / "cache")
    dataset = ClipDataset(manifest, np.arange(len(manifest)), ClipSampler(sampling, T), ClipTransform(spec))  # type: ignore[arg-type]
    order = list(range(len(dataset)))
    if shuffle:
        random.Random(0).shuffle(order)
    return lambda: (dataset.clip(index, 0).frames for index in order)


# Frame folders


def blocks_of(data: Path) -> list[list[Path]]:
    """Runs of 8 frames of every folder."""
    folders = sorted(folder for folder in data.glob("*/*") if folder.is_dir())
    files = [sorted(folder.glob("*.jpg")) for folder in folders]
    return [names[i : i + T] for names in files for i in range(0, len(names) - T + 1, T)]


def reports_way(blocks: Sequence[Sequence[Path]], size: int) -> Way:
    """As the study's code: frame by frame, PIL, resize, float, NumPy."""

    def clip(block: Sequence[Path]) -> Tensor:
        frames = [np.array(Image.open(f).convert("RGB").resize((size, size)), np.float32) / 255 for f in block]
        return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)

    return lambda: (clip(block) for block in blocks)


def image_folder(blocks: Sequence[Sequence[Path]], size: int) -> Way:
    """As torchvision's ImageFolder with its usual transforms."""
    transform = v2.Compose([v2.Resize((size, size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def load(file: Path) -> Tensor:
        with file.open("rb") as stream:
            return transform(Image.open(stream).convert("RGB"))

    return lambda: (torch.stack([load(file) for file in block]) for block in blocks)


def bare_jpeg(blocks: Sequence[Sequence[Path]]) -> Way:
    """libjpeg-turbo alone, from memory, at full size."""
    data = [[file.read_bytes() for file in block] for block in blocks]
    return lambda: ([simplejpeg.decode_jpeg(frame, "RGB") for frame in block] for block in data)


def bare_jpeg_resize(blocks: Sequence[Sequence[Path]], size: int) -> Way:
    """libjpeg-turbo, from memory, at half the size where that is enough, and torchvision's resize."""
    data = [[file.read_bytes() for file in block] for block in blocks]
    least = {"min_height": HEIGHT // 2, "min_width": WIDTH // 2} if size <= HEIGHT // 2 else {}

    def clip(block: Sequence[bytes]) -> Tensor:
        frames = np.stack([simplejpeg.decode_jpeg(frame, "RGB", **least) for frame in block])
        return functional.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), [size, size], antialias=True)

    return lambda: (clip(block) for block in data)


# Video files


def starts_of(length: int) -> list[list[int]]:
    """Numbers of the frames of dense clips."""
    return [list(range(i, i + T)) for i in range(0, length - T + 1, T)]


def spread(length: int) -> list[int]:
    """Numbers of the frames of a sparse clip."""
    return [int((i + 0.5) * length / T) for i in range(T)]


def bare_pyav(files: Sequence[Path], size: int, wanted: Sequence[Sequence[int]]) -> Way:
    """PyAV from the start to the last frame wanted, only those converted and resized."""

    def clips(file: Path) -> Iterator[Tensor]:
        numbers = set(itertools.chain.from_iterable(wanted))
        with av.open(str(file)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            decoded = zip(range(max(numbers) + 1), container.decode(video=0), strict=False)
            found = {n: frame.to_ndarray(format="rgb24", threads=1) for n, frame in decoded if n in numbers}
        for clip in wanted:
            frames = torch.from_numpy(np.stack([found[n] for n in clip])).permute(0, 3, 1, 2)
            yield functional.resize(frames, [size, size], antialias=True)

    return lambda: itertools.chain.from_iterable(clips(file) for file in files)


def plain_pyav(files: Sequence[Path], size: int, wanted: Sequence[tuple[Path, Sequence[int]]]) -> Way:
    """PyAV anew from the start for every clip, in the order given."""
    return lambda: itertools.chain.from_iterable(bare_pyav([file], size, [numbers])() for file, numbers in wanted)


def decord_way(size: int, wanted: Sequence[tuple[Path, Sequence[int]]]) -> Way | None:
    """decord, which resizes as it decodes; a video stays open from clip to clip."""
    try:
        import decord
    except ImportError:
        return None

    def clips() -> Iterator[object]:
        name, reader = None, None
        for file, numbers in wanted:
            if file != name:
                name, reader = file, decord.VideoReader(str(file), width=size, height=size, num_threads=1)
            yield torch.from_numpy(reader.get_batch(list(numbers)).asnumpy())

    return clips


def pytorchvideo_way(files: Sequence[Path], size: int, length: int, *, dense: bool) -> Way | None:
    """pytorchvideo's LabeledVideoDataset, its clips subsampled to 8 frames and resized."""
    try:
        from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
    except ImportError:
        return None
    sampler = make_clip_sampler("uniform", (T if dense else length) / RATE)

    def transform(item: dict[str, Any]) -> Tensor:
        video = item["video"]
        chosen = video[:, torch.linspace(0, video.shape[1] - 1, T).long()]
        return functional.resize(chosen.permute(1, 0, 2, 3), [size, size], antialias=True)

    def clips() -> Iterator[object]:
        paths = [(str(file), {"label": 0}) for file in files]
        dataset = LabeledVideoDataset(
            paths, sampler, torch.utils.data.SequentialSampler, transform=transform, decode_audio=False
        )
        return iter(dataset)

    return clips


# Measuring


def compare(ways: dict[str, Way | None], turns: int, most: int) -> dict[str, float]:
    """Clips a second of each way, the median over the turns."""
    rates: dict[str, list[float]] = {name: [] for name, way in ways.items() if way is not None}
    for turn, (name, way) in itertools.product(range(turns + 1), ways.items()):
        if way is None:
            continue
        gc.collect()
        start = time.process_time()
        count = sum(1 for _ in itertools.islice(way(), most))
        if turn:  # the first turn warms caches
            rates[name].append(count / (time.process_time() - start))
    return {name: round(statistics.median(values), 2) for name, values in rates.items()}


def jpeg_cases(root: Path) -> Iterator[tuple[str, dict[str, Way | None]]]:
    """Frame folders, and packs of them."""
    blocks = blocks_of(root / "jpg")
    manifest = probe(read_manifest(root / "jpg"), cache=root / "cache")
    for size in (224, 112):
        for encoding in ("raw", "jpeg"):
            write_pack(manifest, root / f"{encoding}{size}", Resize([size, size]), encoding)  # type: ignore[arg-type]
        yield (
            f"JPEG folders to {size}",
            {
                "ours": ours(root / "jpg", size, "blocks"),
                "ours, raw pack": ours(root / f"raw{size}", size, "blocks"),
                "ours, jpeg pack": ours(root / f"jpeg{size}", size, "blocks"),
                "report's way": reports_way(blocks, size),
                "ImageFolder's way": image_folder(blocks, size),
                "bare decode and resize": bare_jpeg_resize(blocks, size),
                "bare decode at full size": bare_jpeg(blocks),
            },
        )


def video_cases(root: Path, length: int) -> Iterator[tuple[str, dict[str, Way | None]]]:
    """Video files: clips one after the other, in random order, and spread over the video."""
    for suffix in VIDEO_OPTIONS:
        files = sorted((root / suffix).rglob(f"*.{suffix}"))
        dense = [(file, numbers) for file in files for numbers in starts_of(length)]
        mixed = random.Random(0).sample(dense, len(dense))
        sparse = [(file, spread(length)) for file in files]
        yield (
            f"{suffix}, blocks in order",
            {
                "ours": ours(root / suffix, 224, "blocks"),
                "pytorchvideo": pytorchvideo_way(files, 224, length, dense=True),
                "decord": decord_way(224, dense),
                "bare PyAV and resize": bare_pyav(files, 224, starts_of(length)),
            },
        )
        yield (
            f"{suffix}, blocks shuffled",
            {
                "ours": ours(root / suffix, 224, "blocks", shuffle=True),
                "decord": decord_way(224, mixed),
                "PyAV from the start": plain_pyav(files, 224, mixed),
            },
        )
        yield (
            f"{suffix}, 8 frames spread",
            {
                "ours": ours(root / suffix, 224, "uniform"),
                "pytorchvideo": pytorchvideo_way(files, 224, length, dense=False),
                "decord": decord_way(224, sparse),
                "bare PyAV and resize": bare_pyav(files, 224, [spread(length)]),
            },
        )


def show(name: str, rates: dict[str, float]) -> None:
    """Print one comparison."""
    print(f"\n{name}")
    for way, rate in rates.items():
        print(f"  {way:26s} {rate:9.1f} clips/s   ours is {rates['ours'] / rate:6.2f} times that")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data and fewer turns: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    videos, length, turns, most = (2, 100, 3, 12) if arguments.quick else (8, 200, 7, 100)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        root = Path(folder)
        write_data(root, videos, length)
        for name, ways in itertools.chain(jpeg_cases(root), video_cases(root, length)):
            results[name] = compare(ways, turns, most)
            show(name, results[name])
    memory = data_memory.measure(quick=arguments.quick)
    data_memory.show(memory)
    if arguments.json:
        report = {"quick": arguments.quick, "clips_per_second": results, "memory": memory}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
