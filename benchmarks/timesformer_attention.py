"""TimeSformer with fused attention beside transformers' own eager attention: time and peak memory, in the same run.

    python benchmarks/timesformer_attention.py [--quick] [--json FILE]

The peer is transformers' TimesformerForVideoClassification with the same random values; their passes alternate, and the
figure is the ratio of the medians. Peak memory is what a pass takes beyond the network, each network in a process of
its own (resident memory, Linux) or from CUDA's allocator. With a GPU: float32, bfloat16 and torch.compile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import TimesformerConfig, TimesformerForVideoClassification

from actrec_zoo.testing import randomise
from actrec_zoo_plugins.timesformer.model import TimeSformer

KINDS = ("eager", "fused")


class Setting(NamedTuple):
    """What is measured."""

    device: str
    dtype: str
    compiled: bool
    training: bool
    frames: int
    size: int
    layers: int

    @property
    def label(self) -> str:
        """The setting in words."""
        how = f"{self.device} {self.dtype}{' compiled' if self.compiled else ''}"
        return f"{how} {'forward and backward' if self.training else 'forward'} {self.frames}x{self.size}"


def make_pass(kind: str, setting: Setting) -> Callable[[], Tensor]:
    """A function that takes one clip through the network and waits for the result."""
    torch.manual_seed(0)
    config = TimesformerConfig(
        num_frames=setting.frames, image_size=setting.size, num_hidden_layers=setting.layers, num_labels=400
    )
    network = TimesformerForVideoClassification(config)
    randomise(network)
    dtype = getattr(torch, setting.dtype)
    model: nn.Module = TimeSformer(network) if kind == "fused" else network
    model = model.to(setting.device, dtype).train(setting.training)
    run: Callable[..., Any] = torch.compile(model) if setting.compiled else model
    clips = torch.randn(1, 3, setting.frames, setting.size, setting.size, device=setting.device, dtype=dtype)

    def forward() -> Tensor:
        output: Tensor = run(clips) if kind == "fused" else run(clips.transpose(1, 2)).logits
        return output

    def one_pass() -> Tensor:
        with torch.set_grad_enabled(setting.training):
            output = forward()
            if setting.training:
                model.zero_grad()
                output.float().logsumexp(1).sum().backward()
        if setting.device == "cuda":
            torch.cuda.synchronize()
        return output.detach().float().cpu()

    return one_pass


def compare(setting: Setting, repeats: int) -> dict[str, Any]:
    """Seconds of both in turn, their ratio and the largest difference of their logits."""
    passes = {kind: make_pass(kind, setting) for kind in KINDS}
    outputs = {kind: one_pass() for kind, one_pass in passes.items()}  # the first pass warms up, and compiles
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        for kind, one_pass in passes.items():
            start = time.perf_counter()
            one_pass()
            seconds[kind].append(time.perf_counter() - start)
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    return {
        "setting": setting._asdict(),
        "repeats": repeats,
        "seconds": {kind: round(value, 4) for kind, value in medians.items()},
        "time_ratio": round(medians["fused"] / medians["eager"], 3),
        "largest_difference": float((outputs["eager"] - outputs["fused"]).abs().max()),
        "largest_logit": float(outputs["eager"].abs().max()),
    }


def peak_memory(kind: str, setting: Setting) -> float:
    """MiB that one pass takes beyond what was there before it."""
    one_pass = make_pass(kind, setting)
    if setting.device == "cuda":
        one_pass()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        one_pass()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    one_pass()
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    """KiB of a field of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def memory_of_both(setting: Setting) -> dict[str, float]:
    """Peak memory of each network, in a process of its own."""
    figures = {}
    for kind in KINDS:
        command = [sys.executable, __file__, "--memory", kind, json.dumps(setting)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures[kind] = round(float(done.stdout), 1)
    return figures


def settings(quick: bool) -> list[Setting]:
    """What is compared on this machine."""
    if torch.cuda.is_available():
        kinds = [("float32", False), ("bfloat16", False), ("bfloat16", True)]
        return [
            Setting("cuda", dtype, compiled, training, 8, 224, 12)
            for dtype, compiled in (kinds[:2] if quick else kinds)
            for training in (False, True)
        ]
    layers = 2 if quick else 12
    forward, training = (Setting("cpu", "float32", False, train, 8, 224, layers) for train in (False, True))
    return [forward, training] if quick else [forward, training, forward._replace(frames=16)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two layers, or on a GPU less repeats; under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--memory", nargs=2, metavar=("KIND", "SETTING"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(peak_memory(arguments.memory[0], Setting(*json.loads(arguments.memory[1]))))
        return
    results = []
    for setting in settings(arguments.quick):
        result = compare(setting, repeats=3 if arguments.quick else 5)
        result["peak_mib"] = memory_of_both(setting)
        result["memory_ratio"] = round(result["peak_mib"]["fused"] / result["peak_mib"]["eager"], 3)
        results.append(result)
        times, peaks = result["seconds"], result["peak_mib"]
        print(
            f"{setting.label}: {times['eager']:.3f} s -> {times['fused']:.3f} s (ratio {result['time_ratio']:.3f}), "
            f"{peaks['eager']:.0f} MiB -> {peaks['fused']:.0f} MiB (ratio {result['memory_ratio']:.3f}), "
            f"largest difference {result['largest_difference']:.1e}",
            flush=True,
        )
    if arguments.json:
        report = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
