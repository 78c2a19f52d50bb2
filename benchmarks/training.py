"""Training: a frozen backbone, the loop itself, and a GPU, each beside its peers in the same run.

    python benchmarks/training.py [--quick] [--only NAME] [--json FILE] [--device auto|cpu|cuda]

1. A fine-tune of 30 epochs with a frozen backbone: ours, `actrec_zoo.train` from an empty cache of features and again
   from the one it leaves, beside the same job as the 2023 study does it: every epoch through the whole network and
   through its loader, validation too. The first weights, clips, batches and their order, optimizer and rates are the
   same, and no dropout is drawn, so that the losses can be compared epoch by epoch. The frozen batch norms stay in
   evaluation mode in both, which the study's code forgot. All seconds count, from building the model to the last
   validation; ours also writes its run folder in them, with a checkpoint every epoch, which the peer does not.
2. Steps a second of full fine-tuning beside transformers.Trainer and torchvision's reference loop, and what a step
   costs around an empty network: see training_loops.py.
3. Clips a second and the share of a GPU's peak that does arithmetic. Without a GPU this part is not measured;
   `--device cpu` runs it with tiny networks, to see that it runs.

Clips are a model's 8 or 16 frames spread over a video, JPEG files in a folder a video: of UT-Interaction's set 1 where
ACTREC_ZOO_TEST_DATA names a folder with `data/ut-interaction` (the test figures are of set 2), else generated. For the
fine-tunes they have the size that the model's input resizes to, so that both ways see the same pixels, whatever reads
them. The file is written after every part: of a run that is stopped it keeps what was measured.
"""

import argparse
import copy
import csv
import gc
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
import training_loops
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2.functional import resize as resize_frames

import actrec_zoo
from actrec_zoo.api import initial_model, resolve_settings
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import EpochBatches, Key
from actrec_zoo.devices import resolve_device
from actrec_zoo.registry import get_registry
from actrec_zoo.spec import InputSpec
from actrec_zoo.training.parameters import set_training_mode
from data import machine

LOOP_FRAMES, LOOP_SIZE = 16, (240, 320)
JPEG_QUALITY = 90
REPORTS_WORKERS = 1
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Job:
    """A fine-tune: a model, how many clips of each part, and settings that differ from the model's own."""

    model: str
    clips: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)


class Seconds(NamedTuple):
    """Of the clock, and of the CPU over this process and its workers."""

    clock: float
    cpu: float


class Trained(NamedTuple):
    """A fine-tune that was done: a row (train loss, validation loss, validation top-1) an epoch, and test top-1."""

    seconds: Seconds
    epochs: list[tuple[float, float, float]]
    test_top1: float


# Clips


def write_clips(root: Path, numbers: Mapping[str, int], length: int, size: tuple[int, int]) -> None:
    """JPEG folders `class/video` of so many frames below `clips`, and split files below `splits`."""
    (root / "splits").mkdir(parents=True)
    for part in PARTS:
        with (root / "splits" / f"{part}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "label", "group"))
            for name, label, group, frames in _clips_of(part, numbers[part], length, size):
                folder = root / "clips" / label / name
                folder.mkdir(parents=True)
                for n, frame in enumerate(frames):
                    Image.fromarray(frame).save(folder / f"{n:04}.jpg", quality=JPEG_QUALITY)
                rows.writerow((f"{label}/{name}", label, group))


def _clips_of(part: str, number: int, length: int, size: tuple[int, int]) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Name, class, group and frames uint8[T, h, w, 3] of the clips of a part, the classes in turn."""
    data = Path(os.environ.get("ACTREC_ZOO_TEST_DATA", "none")) / "data"
    listed = data / "splits" / "ut-set1-set2" / f"{part}.csv"
    if not listed.is_file():
        for n in range(number):
            yield (
                f"{part}{n:03}",
                f"c{n % 6}",
                f"{part}{n // 6}",
                _generated(n % 6, PARTS.index(part) * 1000 + n, length, size),
            )
        return
    with listed.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["group"], row["label"], row["path"]))
    for row in rows[:number]:  # a sequence has each class once
        path = data / "ut-interaction" / row["path"]
        yield path.stem, row["label"], row["group"], _spread(path, length, size)


def _spread(file: Path, length: int, size: tuple[int, int]) -> np.ndarray:
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
    chosen = [frames[int((n + 0.5) * len(frames) / length)] for n in range(length)]
    return np.stack([frame.to_ndarray(format="rgb24", width=size[1], height=size[0]) for frame in chosen])


def _generated(label: int, seed: int, length: int, size: tuple[int, int]) -> np.ndarray:
    """Noise that moves to the right, faster from class to class."""
    step, (height, width) = 4 * (label + 1), size
    wide = width + length * step
    noise = torch.rand(1, 3, height // 8, wide // 8, generator=torch.Generator().manual_seed(seed))
    ground = resize_frames(noise, [height, wide])[0].mul(255).byte().permute(1, 2, 0).numpy()
    return np.stack([ground[:, n * step : n * step + width] for n in range(length)])


# 1. A frozen backbone


def settings_of(job: Job, root: Path, device: str, epochs: int) -> dict[str, Any]:
    """What `train` is given, beside the model."""
    own = get_registry().find(job.model).spec.options
    return {
        "data": root / "clips",
        "splits": str(root / "splits"),
        "weights": "none",
        "epochs": epochs,
        "sampling": "blocks",
        "stride": 1,
        "device": device,
        "precision": "fp32",
        **({"options.dropout": 0.0} if "dropout" in own else {}),
        **job.settings,
    }


def ours(job: Job, settings: Mapping[str, Any], out: Path) -> Trained:
    """`actrec_zoo.train`."""
    finished, seconds = timed(lambda: actrec_zoo.train(job.model, out=out, cache_features="on", **settings))
    rows = [(epoch.train_loss, epoch.val_loss, epoch.val_top1) for epoch in finished.result.history]
    return Trained(seconds, rows, test_top1(finished.model, settings))


def reports(job: Job, settings: Mapping[str, Any], out: Path) -> Trained:
    """The same job as the study does it."""
    config = resolve_settings(job.model, out=out, **settings).config
    (model, rows), seconds = timed(lambda: reports_training(config))
    return Trained(seconds, rows, test_top1(model, settings))


class ReportsClips(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Folders of frames as the study's code reads them: frame by frame, PIL, resize, float, NumPy.

    The resize, the crop and the scale are those of the model's input, so that the network sees the same.
    """

    def __init__(self, folders: Sequence[Path], labels: Sequence[int], spec: InputSpec) -> None:
        self.blocks = [sorted(folder.iterdir()) for folder in folders]
        self.labels = labels
        self.mean, self.std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        height, width = resized(spec)
        left, top = round((width - spec.size) / 2), round((height - spec.size) / 2)  # as torchvision rounds
        self.resized, self.box = (width, height), (left, top, left + spec.size, top + spec.size)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        _, index = key
        opened = [Image.open(file).convert("RGB") for file in self.blocks[index]]
        images = [image.resize(self.resized, Image.Resampling.BILINEAR).crop(self.box) for image in opened]
        frames = [(np.array(image, np.float32) / 255 - self.mean) / self.std for image in images]
        return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2), self.labels[index]


def resized(spec: InputSpec) -> tuple[int, int]:
    """Height and width that a frame of 3 by 4 is resized to."""
    match spec.resize:
        case (height, width):
            return height, width
        case int(shorter):
            return shorter, shorter * 4 // 3
        case _:
            return spec.size, spec.size


def reports_training(config: TrainConfig) -> tuple[VideoClassifier, list[tuple[float, float, float]]]:
    """The study's loop: the model of its best epoch, and a row an epoch."""
    registered, device = get_registry().find(config.model), resolve_device(config.device)
    labels = sorted(folder.name for folder in Path(config.data).iterdir())
    model = initial_model(registered, config, labels).to(device)
    parts = [reports_loader(config, part, labels, model.input) for part in ("train", "val")]
    trained = [p for p in model.parameters() if p.requires_grad]
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = kinds[config.optimizer](trained, lr=config.lr, weight_decay=config.weight_decay)
    rows: list[tuple[float, float, float]] = []
    best: tuple[tuple[float, float], Any] = ((-1.0, 0.0), None)
    for epoch in range(config.epochs):
        parts[0].batch_sampler.start(epoch)
        set_training_mode(model)
        train_loss, _ = _pass(model.net, parts[0], device, optimizer)
        model.eval()
        with torch.no_grad():
            val_loss, top1 = _pass(model.net, parts[1], device, None)
        rows.append((train_loss, val_loss, top1))
        if (top1, -val_loss) > best[0]:
            best = ((top1, -val_loss), copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[1])
    return model, rows


def reports_loader(config: TrainConfig, part: str, labels: Sequence[str], spec: InputSpec) -> Any:
    """Its loader over a part, with one worker; the batches are those that `train` draws."""
    root = Path(config.data)
    with (Path(str(config.splits)) / f"{part}.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
    clips = ReportsClips([root / row["path"] for row in rows], [labels.index(row["label"]) for row in rows], spec)
    batches = EpochBatches(len(clips), config.batch_size, shuffle=part == "train", seed=config.seed)
    return torch.utils.data.DataLoader(
        clips, batch_sampler=batches, num_workers=REPORTS_WORKERS, persistent_workers=True
    )


def _pass(net: nn.Module, loader: Any, device: torch.device, optimizer: Any) -> tuple[float, float]:
    """Mean loss and top-1 of an epoch; weights change where there is an optimizer."""
    total, hits, count = 0.0, 0.0, 0
    for clips, labels in loader:
        clips, labels = clips.to(device), labels.to(device)
        logits = net(clips)
        loss = functional.cross_entropy(logits, labels)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(labels)
        hits += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    return total / count, hits / count


def test_top1(model: VideoClassifier, settings: Mapping[str, Any]) -> float:
    """Share of the test clips that a model names, by the zoo's own evaluation for both."""
    found = actrec_zoo.evaluate(
        model, settings["data"], split="test", splits=settings["splits"], workers=0, device=settings["device"]
    )
    return float(found["video"]["top1"])


def timed(action: Callable[[], Any]) -> tuple[Any, Seconds]:
    """What an action returns, and the seconds it took, worker processes included."""
    gc.collect()
    begun, clock = _cpu(), time.perf_counter()
    result = action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    gc.collect()  # ends the workers, so that their seconds are told
    return result, Seconds(round(time.perf_counter() - clock, 2), round(_cpu() - begun, 2))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def fine_tune(job: Job, device: str, epochs: int) -> dict[str, Any]:
    """Ours, ours with features that are there, and the study's way."""
    load = [round(os.getloadavg()[0], 2)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["ACTREC_ZOO_CACHE"] = str(root / "cache")
        os.environ["ACTREC_ZOO_HOME"] = str(root / "home")
        settings = settings_of(job, root, device, epochs)
        config = resolve_settings(job.model, out=root / "none", **settings).config
        spec = config.input_of(get_registry().find(job.model).spec)
        write_clips(root, job.clips, spec.frames, resized(spec))
        trained = {
            "ours, empty cache": ours(job, settings, root / "cold"),
            "ours, features there": ours(job, settings, root / "warm"),
            "the report's way": reports(job, settings, root / "none"),
        }
    load.append(round(os.getloadavg()[0], 2))
    peer, mine = trained["the report's way"], trained["ours, empty cache"]
    return {
        "model": job.model,
        "clips": dict(job.clips),
        "epochs": epochs,
        "settings": {name: value for name, value in job.settings.items() if name != "backbone_weights"},
        "backbone": "ImageNet" if "backbone_weights" in job.settings else "random",
        "load_average": load,
        "ways": {
            name: {
                "seconds": one.seconds.clock,
                "cpu_seconds": one.seconds.cpu,
                "times_faster": round(peer.seconds.clock / one.seconds.clock, 2),
                "times_less_cpu": round(peer.seconds.cpu / one.seconds.cpu, 2),
                "val_top1": max(row[2] for row in one.epochs),
                "test_top1": one.test_top1,
                "first_loss": one.epochs[0][0],
                "last_loss": one.epochs[-1][0],
            }
            for name, one in trained.items()
        },
        "largest_difference_of_losses": max(
            abs(a - b) for x, y in zip(mine.epochs, peer.epochs, strict=True) for a, b in zip(x[:2], y[:2], strict=True)
        ),
    }


def jobs(quick: bool) -> list[Job]:
    """What is fine-tuned; the small network with ImageNet weights where they are at hand."""
    weights = Path(os.environ.get("ACTREC_ZOO_TEST_DATA", "none"), "weights")
    file = weights / "squeezenet1_1_imagenet_features.safetensors"
    squeezenet = {"backbone_weights": str(file)} if file.is_file() else {}
    if quick:
        few = {"train": 12, "val": 6, "test": 6}
        return [Job("squeezenet_attn", few, {**squeezenet, "size": 64, "batch_size": 4})]
    return [
        Job("squeezenet_attn", {"train": 48, "val": 12, "test": 60}, squeezenet),
        Job("r3d_attn_adaptive", {"train": 24, "val": 8, "test": 12}, {"lr": 1e-4}),
        Job("timesformer", {"train": 4, "val": 2, "test": 2}, {"batch_size": 2}),
    ]


def show_fine_tune(found: Mapping[str, Any]) -> None:
    """Print one job."""
    clips = ", ".join(f"{number} {part}" for part, number in found["clips"].items())
    print(f"\n{found['model']}, {found['epochs']} epochs, clips: {clips}; backbone: {found['backbone']}")
    print(f"  {'':24s} seconds   of CPU   report's is   by CPU   val top-1  test top-1  training loss, first to last")
    for name, way in found["ways"].items():
        print(
            f"  {name:24s} {way['seconds']:7.1f} {way['cpu_seconds']:8.1f} {way['times_faster']:11.1f} x "
            f"{way['times_less_cpu']:6.1f} x {way['val_top1']:11.3f} {way['test_top1']:11.3f}"
            f"  {way['first_loss']:.4f} to {way['last_loss']:.4f}"
        )
    print(f"  losses of ours and the report's way differ by {found['largest_difference_of_losses']:.1e} at most")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small inputs, few clips and epochs: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--only", action="append", metavar="NAME", help="a model of part 1, loops, overhead or gpu")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda; with cpu, part 3 runs at tiny sizes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    device = resolve_device(arguments.device)
    report: dict[str, Any] = {"quick": arguments.quick, "machine": machine() | {"device": device.type}}

    def keep() -> None:
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    report["fine_tune"] = []
    for job in jobs(arguments.quick):
        if arguments.only and job.model not in arguments.only:
            continue
        report["fine_tune"].append(fine_tune(job, device.type, 10 if arguments.quick else 30))
        show_fine_tune(report["fine_tune"][-1])
        keep()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["ACTREC_ZOO_CACHE"] = str(root / "cache")
        write_clips(root, {"train": 16, "val": 6, "test": 6}, LOOP_FRAMES, LOOP_SIZE)
        for name, part in training_loops.parts(root / "clips", device, arguments):
            if arguments.only and name not in arguments.only:
                continue
            report[name] = part()
            training_loops.show(name, report[name])
            keep()


if __name__ == "__main__":
    main()
