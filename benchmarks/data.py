"""Clips of 8 frames a second on one core: this zoo's reading beside other ways, in the same run.

    python benchmarks/data.py [--quick] [--json FILE]

JPEG frame folders, video files and packs of the same 320x240 frames, made in a temporary folder: from real clips where
ACTREC_ZOO_TEST_DATA names a folder with `data/ut-interaction`, else generated. The ways take turns in one process with
one thread; a second is one of CPU time, and a figure is the median over the turns. `bare` is the same decoder and the
same resize in a plain loop, the limit. Peers that are not installed are skipped.

Below them, what a training loop receives: whole epochs through worker processes, as many as `train` starts (one a core
but one), moved to the device by a loop that does nothing else. CPU time is that of all processes there; clips a second
of the clock stand beside it.

Peak memory is that of the process, all ways' data in it, and of each worker, pages that it shares with the process
included. All files are read before the first turn that counts: the page cache is warm.
"""

import argparse
import contextlib
import gc
import io
import itertools
import json
import multiprocessing
import os
import platform
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import data_memory
import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from actrec_zoo.data.dataset import ClipDataset, EpochBatches, make_loader
from actrec_zoo.data.decode import DECODER_VARIABLE
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.packing import write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.torchcodec_video import video_decoder_class
from actrec_zoo.data.transforms import ClipTransform, Resize
from actrec_zoo.devices import default_workers, resolve_device
from actrec_zoo.errors import ConfigError
from actrec_zoo.spec import InputSpec

Way = Callable[[], Iterable[object]]
"""Reads clips, one after the other."""


class Case(NamedTuple):
    """Ways to read the same clips: in this process, and through worker processes."""

    name: str
    ways: dict[str, Way | None]
    loaders: dict[str, Way]


class Figures(NamedTuple):
    """Of one way: clips a second of CPU time and of the clock; MiB at its peak, of this process and of each worker."""

    rate: float
    by_clock: float
    mib: int
    worker_mib: tuple[int, ...]


BATCH = 16
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


def dataset_of(data: Path, size: int, sampling: str) -> ClipDataset:
    """The clips of a folder or a pack."""
    spec = InputSpec(frames=T, size=size)
    manifest = probe(read_manifest(data), cache=data.parent / "cache")
    return ClipDataset(manifest, np.arange(len(manifest)), ClipSampler(sampling, T), ClipTransform(spec))  # type: ignore[arg-type]


def ours(data: Path, size: int, sampling: str, *, shuffle: bool = False) -> Way:
    """`ClipDataset.clip` over all clips."""
    dataset = dataset_of(data, size, sampling)
    order = list(range(len(dataset)))
    if shuffle:
        random.Random(0).shuffle(order)
    return lambda: (dataset.clip(index, 0).frames for index in order)


def by_torchcodec(way: Way) -> Way | None:
    """A way of this zoo with the extra torchcodec."""
    try:
        video_decoder_class()
    except ConfigError:
        return None

    def clips() -> Iterator[object]:
        os.environ[DECODER_VARIABLE] = "torchcodec"
        try:
            yield from way()
        finally:
            del os.environ[DECODER_VARIABLE]

    return clips


def received(data: Path, size: int, sampling: str, *, shuffle: bool = False, workers: int | None = None) -> Way:
    """What the training loop receives of an epoch."""
    dataset = dataset_of(data, size, sampling)
    device = resolve_device("auto")
    batches = EpochBatches(len(dataset), BATCH, shuffle=shuffle)
    workers = default_workers() if workers is None else workers
    loader = make_loader(dataset, batches, workers=workers, pin=device.type == "cuda")
    return lambda: itertools.chain.from_iterable(batch.to(device).inputs for batch in loader)


# Frame folders


def blocks_of(data: Path) -> list[list[Path]]:
    """Runs of 8 frames of every folder."""
    folders = sorted(folder for folder in data.glob("*/*") if folder.is_dir())
    files = [sorted(folder.glob("*.jpg")) for folder in folders]
    return [names[i : i + T] for names in files for i in range(0, len(names) - T + 1, T)]


class ReportsClips(torch.utils.data.Dataset[Tensor]):
    """As the study's code: a Python list of block folders; frame by frame, PIL, resize, float, NumPy."""

    def __init__(self, blocks: Sequence[Sequence[Path]], size: int) -> None:
        self.blocks = blocks
        self.size = size

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Tensor:
        images = [Image.open(file).convert("RGB").resize((self.size, self.size)) for file in self.blocks[index]]
        frames = [np.array(image, np.float32) / 255 for image in images]
        return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)


def reports_way(blocks: Sequence[Sequence[Path]], size: int) -> Way:
    """Its clips in this process."""
    clips = ReportsClips(blocks, size)
    return lambda: (clips[index] for index in range(len(clips)))


def reports_loader(blocks: Sequence[Sequence[Path]], size: int) -> Way:
    """Its clips as it loads them, with one worker."""
    loader = torch.utils.data.DataLoader(
        ReportsClips(blocks, size), batch_size=BATCH, num_workers=1, persistent_workers=True
    )
    device = resolve_device("auto")
    return lambda: itertools.chain.from_iterable(batch.to(device) for batch in loader)


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
    """libjpeg-turbo, from memory, at half the size where that is enough, into one array; and torchvision's resize."""
    data = [[file.read_bytes() for file in block] for block in blocks]
    height, width = (HEIGHT // 2, WIDTH // 2) if size <= HEIGHT // 2 else (HEIGHT, WIDTH)

    def clip(block: Sequence[bytes]) -> Tensor:
        frames = np.empty((len(block), height, width, 3), np.uint8)
        for frame, place in zip(block, frames, strict=True):
            simplejpeg.decode_jpeg(frame, "RGB", min_height=height, min_width=width, buffer=place)
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


def compare(ways: dict[str, Way | None], turns: int, most: int | None) -> dict[str, Figures]:
    """The ways in turn: the median of the rates over the turns, and the most memory."""
    there = {name: way for name, way in ways.items() if way is not None}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in there}
    peaks: dict[str, float] = dict.fromkeys(there, 0.0)
    workers: dict[str, set[int]] = {}
    for turn, (name, way) in itertools.product(range(turns + 1), there.items()):
        gc.collect()
        others = worker_ids()
        forget_peak()
        start, clock = cpu_seconds(workers.get(name, ())), time.perf_counter()
        count = sum(1 for _ in itertools.islice(way(), most))
        if turn:  # the first turn warms caches, and starts workers
            rates[name].append((count / (cpu_seconds(workers[name]) - start), count / (time.perf_counter() - clock)))
            peaks[name] = max(peaks[name], peak_mib())
        else:
            workers[name] = worker_ids() - others
    return {
        name: Figures(
            *(round(statistics.median(values), 2) for values in zip(*rates[name], strict=True)),
            round(peaks[name]),
            tuple(round(peak_mib(worker)) for worker in sorted(workers[name])),
        )
        for name in there
    }


def cpu_seconds(workers: Iterable[int]) -> float:
    """CPU time of this process and of some others, so far."""
    times = (Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[11:13] for worker in workers)
    return time.process_time() + sum(int(user) + int(system) for user, system in times) / os.sysconf("SC_CLK_TCK")


def worker_ids() -> set[int]:
    """Processes of the loaders that run."""
    return {process.pid for process in multiprocessing.active_children() if process.pid is not None}


def forget_peak() -> None:
    """Let this process's peak of memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib(process: int | str = "self") -> float:
    """The most memory that a process had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def jpeg_cases(root: Path) -> Iterator[Case]:
    """Frame folders, and packs of them."""
    blocks = blocks_of(root / "jpg")
    manifest = probe(read_manifest(root / "jpg"), cache=root / "cache")
    for size in (224, 112):
        for encoding in ("raw", "jpeg"):
            write_pack(manifest, root / f"{encoding}{size}", Resize([size, size]), encoding)  # type: ignore[arg-type]
        yield Case(
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
            {
                "ours": received(root / "jpg", size, "blocks"),
                "ours, raw pack": received(root / f"raw{size}", size, "blocks"),
                "ours, raw pack, no worker": received(root / f"raw{size}", size, "blocks", workers=0),
                "report's way, one worker": reports_loader(blocks, size),
            },
        )


def video_cases(root: Path, length: int) -> Iterator[Case]:
    """Video files: clips one after the other, in random order, and spread over the video."""
    for suffix in VIDEO_OPTIONS:
        data, files = root / suffix, sorted((root / suffix).rglob(f"*.{suffix}"))
        dense = [(file, numbers) for file in files for numbers in starts_of(length)]
        mixed = random.Random(0).sample(dense, len(dense))
        sparse = [(file, spread(length)) for file in files]
        yield Case(
            f"{suffix}, blocks in order",
            {
                "ours": ours(data, 224, "blocks"),
                "ours, torchcodec": by_torchcodec(ours(data, 224, "blocks")),
                "pytorchvideo": pytorchvideo_way(files, 224, length, dense=True),
                "decord": decord_way(224, dense),
                "bare PyAV and resize": bare_pyav(files, 224, starts_of(length)),
            },
            {"ours": received(data, 224, "blocks")},
        )
        yield Case(
            f"{suffix}, blocks shuffled",
            {
                "ours": ours(data, 224, "blocks", shuffle=True),
                "ours, torchcodec": by_torchcodec(ours(data, 224, "blocks", shuffle=True)),
                "decord": decord_way(224, mixed),
                "PyAV from the start": plain_pyav(files, 224, mixed),
            },
            {"ours": received(data, 224, "blocks", shuffle=True)},
        )
        yield Case(
            f"{suffix}, 8 frames spread",
            {
                "ours": ours(data, 224, "uniform"),
                "ours, torchcodec": by_torchcodec(ours(data, 224, "uniform")),
                "pytorchvideo": pytorchvideo_way(files, 224, length, dense=False),
                "decord": decord_way(224, sparse),
                "bare PyAV and resize": bare_pyav(files, 224, [spread(length)]),
            },
            {"ours": received(data, 224, "uniform")},
        )


def show(title: str, figures: dict[str, Figures]) -> None:
    """Print one comparison."""
    print(f"\n{title:48s} clips a second: of CPU   of the clock    ours is   peak MiB")
    for way, (rate, by_clock, mib, worker_mib) in figures.items():
        workers = "".join(f" + {worker}" for worker in worker_mib)
        print(f"  {way:46s} {rate:22.1f} {by_clock:14.1f} {figures['ours'].rate / rate:8.2f} x   {mib}{workers}")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "workers": default_workers(),
        "device": resolve_device("auto").type,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "simplejpeg": simplejpeg.__version__,
        "frames": "real" if "ACTREC_ZOO_TEST_DATA" in os.environ else "generated",
        "page_cache": "warm",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data and fewer turns: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    videos, length, turns, most = (2, 100, 3, 12) if arguments.quick else (8, 200, 7, 100)
    results: dict[str, dict[str, dict[str, Figures]]] = {}
    load = [round(os.getloadavg()[0], 2)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        root = Path(folder)
        write_data(root, videos, length)
        for name, ways, loaders in itertools.chain(jpeg_cases(root), video_cases(root, length)):
            alone = compare(ways, turns, most)
            show(f"{name}: in one process", alone)
            through = compare(dict(loaders), turns, None)
            show(f"{name}: received by the training loop", through)
            results[name] = {"in_process": alone, "received": through}
            load.append(round(os.getloadavg()[0], 2))
    memory = data_memory.measure(quick=arguments.quick)
    data_memory.show(memory)
    if arguments.json:
        report = {
            "quick": arguments.quick,
            "machine": machine() | {"load_average": load},
            "clips": {
                name: {part: {way: one._asdict() for way, one in ways.items()} for part, ways in parts.items()}
                for name, parts in results.items()
            },
            "memory": memory,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
