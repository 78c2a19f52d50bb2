"""Loops over the same network, clips, batch and precision: ours, transformers.Trainer, torchvision's reference; a GPU.

Part of training.py. Every loop trains all of the network with AdamW at a constant rate; each uses its own
implementation of it. `Trainer` has its defaults but for what would change the job: no clipping, a constant rate. The
plain loop is torchvision's references/video_classification/train.py in our words: top-1 and top-5 and the loss are
asked for in every step, which waits for the device. Rounds alternate, figures are medians over them, of the steps after
the first few; validation is left out. Frames are normalised on the device by the same code in all of them.
"""

import argparse
import gc
import itertools
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from actrec_zoo.api import initial_model
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.cost import count_flops
from actrec_zoo.data.dataset import Clip, ClipDataset, EpochBatches, make_loader
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.devices import default_workers
from actrec_zoo.fitting import meta_network
from actrec_zoo.precision import Precision, autocast
from actrec_zoo.registry import get_registry
from actrec_zoo.spec import InputSpec, ModelSpec
from actrec_zoo.training.objective import Classification
from actrec_zoo.training.peaks import stated_peak
from actrec_zoo.training.state import Callback, TrainingState
from actrec_zoo.training.trainer import SupervisedTrainer
from data import cpu_seconds, worker_ids

FIRST_STEPS = 3
WAYS = {"fp32": ("fp32", False), "bf16": ("bf16", False), "bf16 compiled": ("bf16", True)}


class InMemory(ClipDataset):
    """Clips that are decoded once."""

    def __init__(self, clips: ClipDataset) -> None:
        super().__init__(clips.manifest, clips.videos, clips.sampler, clips.transform)
        self._decoded = {video: clips.clip(index, 0) for video, index in _first_of_each(clips).items()}

    def clip(self, index: int, epoch: int) -> Clip:
        """See `ClipDataset.clip`."""
        decoded: Clip = self._decoded[int(self.videos[index])]
        return decoded._replace(key=(epoch, index))


def _first_of_each(clips: ClipDataset) -> dict[int, int]:
    return {int(video): index for index, video in reversed(list(enumerate(clips.videos)))}


class ByNumber(torch.utils.data.Dataset[dict[str, Any]]):
    """The clips of a dataset as the peers' loaders take them."""

    def __init__(self, clips: ClipDataset) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip = self._clips.clip(index, 0)
        return {"clips": clip.frames, "labels": clip.label}


class Speed(NamedTuple):
    """Seconds a step: of the clock, and of the CPU over this process and its workers."""

    clock: float
    cpu: float


class Stopwatch:
    """Measures the steps of a loop after the first few.

    Args:
        device: that is waited for at the first and the last step that count.
        steps: of the loop.
    """

    def __init__(self, device: torch.device, steps: int) -> None:
        self._device = device
        self._counted = (min(FIRST_STEPS, steps - 1), steps)
        self._done = 0
        self._marks: list[tuple[float, float]] = []

    def step(self) -> None:
        """A step was done."""
        self._done += 1
        if self._done in self._counted:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            ended = os.times()  # workers among them
            cpu = cpu_seconds(worker_ids()) + ended.children_user + ended.children_system
            self._marks.append((time.perf_counter(), cpu))

    def speed(self) -> Speed:
        """Of a loop that has ended."""
        steps = self._counted[1] - self._counted[0]
        (clock, cpu), (clock_end, cpu_end) = self._marks
        return Speed((clock_end - clock) / steps, (cpu_end - cpu) / steps)


@dataclass
class Task:
    """What the loops do.

    Attributes:
        model: makes the network, with the same weights every time.
        clips: of one epoch.
        batch_size: clips a step.
        device: that it runs on.
        workers: decoding processes.
        precision: that it computes in.
        compiled: whether torch.compile is asked for.
    """

    model: Callable[[], VideoClassifier]
    clips: ClipDataset
    batch_size: int
    device: torch.device
    workers: int = 0
    precision: Precision = "fp32"
    compiled: bool = False
    config: TrainConfig = field(init=False)

    def __post_init__(self) -> None:
        self.config = TrainConfig(
            model="-",
            data="-",
            epochs=1,
            batch_size=self.batch_size,
            lr=1e-4,
            workers=self.workers,
            precision=self.precision,
            compile=self.compiled,
        )

    @property
    def steps(self) -> int:
        """Of the loop."""
        return -(-len(self.clips) // self.batch_size)


def ours(task: Task) -> Speed:
    """The zoo's trainer over an epoch, validation left out."""
    watch = Stopwatch(task.device, task.steps)

    class Watching(Callback):
        def on_step(self, state: TrainingState) -> None:
            watch.step()

    few = ClipDataset(task.clips.manifest, task.clips.videos[:1], task.clips.sampler, task.clips.transform)
    model = task.model().to(task.device)
    SupervisedTrainer().fit(model, task.clips, few, task.config, Classification(task.config), [Watching()])
    return watch.speed()


class _WithLoss(nn.Module):
    """What `Trainer` takes: a network that computes its loss."""

    def __init__(self, model: VideoClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(self.model.preprocess(clips))
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def transformers_trainer(task: Task) -> Speed:
    """transformers.Trainer over an epoch."""
    watch = Stopwatch(task.device, task.steps)

    class Watching(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            watch.step()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=task.batch_size,
            learning_rate=task.config.lr,
            weight_decay=task.config.weight_decay,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            bf16=task.precision == "bf16",
            torch_compile=task.compiled,
            dataloader_num_workers=task.workers,
            use_cpu=task.device.type == "cpu",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        network = _WithLoss(task.model())
        trainer = Trainer(model=network, args=arguments, train_dataset=ByNumber(task.clips), callbacks=[Watching()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return watch.speed()


def reference_loop(task: Task) -> Speed:
    """torchvision's reference loop for videos, plainly."""
    watch = Stopwatch(task.device, task.steps)
    model = task.model().to(task.device).train()
    if task.compiled:
        model.net.compile()
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.config.lr, weight_decay=task.config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    loader = torch.utils.data.DataLoader(
        ByNumber(task.clips),
        batch_size=task.batch_size,
        shuffle=True,
        num_workers=task.workers,
        pin_memory=task.device.type == "cuda",
    )
    meters: dict[str, deque[float]] = {name: deque(maxlen=20) for name in ("loss", "acc1", "acc5", "lr", "clips/s")}
    for item in loader:
        begun = time.perf_counter()
        clips, labels = item["clips"].to(task.device), item["labels"].to(task.device)
        with autocast(task.device, task.precision):
            output = model(model.preprocess(clips))
            loss = functional.cross_entropy(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            _, best = output.topk(min(5, output.shape[1]), 1)
            hits = best.t() == labels[None]
            found = {"acc1": hits[:1].any(0).float().mean(), "acc5": hits.any(0).float().mean()}
        meters["loss"].append(loss.item())
        meters["lr"].append(optimizer.param_groups[0]["lr"])
        for name, value in found.items():
            meters[name].append(value.item())
        meters["clips/s"].append(len(labels) / (time.perf_counter() - begun))
        schedule.step()
        watch.step()
    return watch.speed()


def bare_loop(task: Task) -> Speed:
    """Forward, backward and step on one batch, and nothing else."""
    watch = Stopwatch(task.device, task.steps)
    model = task.model().to(task.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.config.lr, fused=True)
    items = [task.clips.clip(index, 0) for index in range(task.batch_size)]
    clips, labels = torch.stack([item.frames for item in items]), torch.tensor([item.label for item in items])
    for _ in range(task.steps):
        functional.cross_entropy(model(model.preprocess(clips)), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        watch.step()
    return watch.speed()


Loop = Callable[[Task], Speed]
LOOPS: Mapping[str, Loop] = {
    "ours": ours,
    "transformers.Trainer": transformers_trainer,
    "torchvision's reference": reference_loop,
}


def compare(loops: Mapping[str, Loop], task: Task, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds a step of the loops in turn, medians over the rounds, and how ours stands to each."""
    speeds: dict[str, list[Speed]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            torch.manual_seed(0)
            gc.collect()
            speeds[name].append(loop(task))
            if task.compiled:
                torch._dynamo.reset()
    medians = {name: Speed(*map(statistics.median, zip(*found, strict=True))) for name, found in speeds.items()}
    return {
        name: {
            "seconds": speed.clock,
            "cpu_seconds": speed.cpu,
            "steps_a_second": 1 / speed.clock,
            "clips_a_second": task.batch_size / speed.clock,
            "ours_is_times_faster": round(speed.clock / medians["ours"].clock, 3),
            "ours_takes_times_less_cpu": round(speed.cpu / max(medians["ours"].cpu, 1e-9), 3),
        }
        for name, speed in medians.items()
    }


# What the loops run on


def clips_of(data: Path, spec: InputSpec, number: int) -> ClipDataset:
    """So many clips, one a video; videos come again when there are fewer."""
    manifest = probe(read_manifest(data))
    videos = np.resize(np.arange(len(manifest)), number)
    return ClipDataset(manifest, videos, ClipSampler("uniform", spec.frames), ClipTransform(spec))


def network_of(name: str, settings: Mapping[str, Any], classes: int = 6) -> tuple[Callable[[], VideoClassifier], Any]:
    """What makes a network of which all parts train, and the settings that it has."""
    registered = get_registry().find(name)
    config = TrainConfig(model=name, data="-", weights="none", trainable=("*",), **settings)
    labels = [str(number) for number in range(classes)]
    return (lambda: initial_model(registered, config, labels)), config


class _OneParameter(nn.Module):
    """A network that does next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, clips: Tensor) -> Tensor:
        return clips[:, :, 0, 0].flatten(1) * self.weight  # six values, as there are classes


def empty_model(spec: InputSpec) -> VideoClassifier:
    """A classifier of one parameter."""
    described = ModelSpec(
        name="empty", summary="", architecture="", builder="none:none", input=spec, parameters=1, head="weight"
    )
    labels = [str(number) for number in range(6)]
    return VideoClassifier(_OneParameter(), spec=described, id="empty", labels=labels, input=spec, options={})


def empty_step(data: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Seconds of a step that has nothing to compute."""
    spec = InputSpec(frames=1, size=2)
    steps = 200 if quick else 1000
    task = Task(lambda: empty_model(spec), InMemory(clips_of(data, spec, 2 * steps)), 2, device)
    found = compare({**LOOPS, "bare loop, one batch": bare_loop}, task, 3 if quick else 7)
    return {"empty step": {"batch": 2, "steps": steps, "loops": found}}


def loops(data: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Steps a second of full fine-tuning."""
    cases = (
        [("squeezenet_attn", {"size": 32}, 2, 8)]
        if quick
        else [("r3d_attn_adaptive", {"size": 48}, 8, 8), ("squeezenet_attn", {"size": 112}, 4, 8)]
    )
    found: dict[str, Any] = {}
    for name, settings, batch, steps in cases:
        model, config = network_of(name, settings)
        clips = clips_of(data, config.input_of(get_registry().find(name).spec), batch * steps)
        for how, dataset, workers in (("in memory", InMemory(clips), 0), ("decoded", clips, default_workers())):
            task = Task(model, dataset, batch, device, workers)
            found[f"{name}, {how}"] = {
                "settings": settings,
                "batch": batch,
                "steps": steps,
                "workers": workers,
                "load_average": round(os.getloadavg()[0], 2),
                "loops": compare(LOOPS, task, 2 if quick else 3),
            }
    return found


# 3. A GPU


def on_gpu(data: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Clips a second and share of the peak, in each precision; at tiny sizes on a CPU, to see that it runs."""
    tiny = device.type == "cpu"
    small = {"timesformer": {"options": {"layers": 1}}, "videomae": {"options": {"layers": 1}}}
    batches = {"r3d_attn_adaptive": 32, "timesformer": 8, "videomae": 8, "r2d_attn": 16}
    found: dict[str, Any] = {}
    for (name, batch), (how, (precision, compiled)) in itertools.product(batches.items(), WAYS.items()):
        if tiny and compiled:
            continue  # needs a compiler, and minutes
        settings: dict[str, Any] = {"size": 32, **small.get(name, {})} if tiny else {}
        model, config = network_of(name, settings)
        spec = config.input_of(get_registry().find(name).spec)
        batch, steps, rounds = (2, 5, 1) if tiny else (batch, 20 if quick else 60, 1 if quick else 3)
        clips = clips_of(data, spec, batch * steps)
        task = Task(model, InMemory(clips), batch, device, precision=precision, compiled=compiled)
        measured = compare(LOOPS, task, rounds)
        operations = 3 * count_flops(meta_network(get_registry().find(name), 6, spec, config.options), spec)
        peak = None if tiny else stated_peak(torch.cuda.get_device_name(device), precision)
        for loop in measured.values():
            loop["mfu"] = None if peak is None else operations * loop["clips_a_second"] / peak.flops
        found[f"{name}, {how}"] = {
            "batch": batch,
            "steps": steps,
            "operations_a_clip": operations,
            "pipeline_clips_a_second": pipeline(clips, batch),
            "loops": measured,
        }
    return found


def pipeline(clips: ClipDataset, batch: int) -> float:
    """Clips a second of the clock that the workers decode, over an epoch after the one that starts them."""
    batches = EpochBatches(len(clips), batch, shuffle=True)
    loader = make_loader(clips, batches, workers=default_workers())
    for epoch in range(2):
        batches.start(epoch)
        begun = time.perf_counter()
        count = sum(len(one) for one in loader)
    return count / (time.perf_counter() - begun)


def parts(
    data: Path, device: torch.device, arguments: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """The parts of the benchmark that are about loops."""
    yield "loops", lambda: loops(data, device, arguments.quick)
    yield "overhead", lambda: empty_step(data, device, arguments.quick)
    if device.type == "cuda":
        yield "gpu", lambda: on_gpu(data, device, arguments.quick)
    elif arguments.device == "cpu":
        yield "gpu_code_on_cpu_at_tiny_sizes", lambda: on_gpu(data, device, arguments.quick)
    else:
        yield "gpu", lambda: {"not_measured": "there is no GPU here"}


def show(name: str, found: Mapping[str, Any]) -> None:
    """Print a part."""
    if "not_measured" in found:
        print(f"\n{name}: not measured, {found['not_measured']}")
        return
    print(f"\n{name:42s} steps a second   clips a second   us a step   us of CPU   ours is   by CPU   MFU")
    for case, row in found.items():
        print(f"  {case}, batch {row['batch']}")
        for way, figures in row["loops"].items():
            mfu = figures.get("mfu")
            print(
                f"    {way:38s} {figures['steps_a_second']:14.2f} {figures['clips_a_second']:16.2f} "
                f"{figures['seconds'] * 1e6:11.0f} {figures['cpu_seconds'] * 1e6:11.0f} "
                f"{figures['ours_is_times_faster']:7.2f} x {figures['ours_takes_times_less_cpu']:6.2f} x"
                f"   {'-' if mfu is None else f'{mfu:.1%}'}"
            )
        if "pipeline_clips_a_second" in row:
            print(f"    the data pipeline gives {row['pipeline_clips_a_second']:.1f} clips a second")
