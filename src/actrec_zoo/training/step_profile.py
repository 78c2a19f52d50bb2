"""Where the time of a step goes, measured over a few steps, and a trace of a few more."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from actrec_zoo import distributed
from actrec_zoo.data.dataset import Batch
from actrec_zoo.files import write_atomically
from actrec_zoo.precision import Precision
from actrec_zoo.training.peaks import Peak, peak_of, wait_for

PARTS = ("data wait", "host to device", "augmentation", "forward", "backward", "optimiser")
OTHER = "other"

_SKIPPED, _TIMED, _TRACED = 2, 5, 5
_TOP = 8
_MARK = "step: "
_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True)
class Summary:
    """Where the time went, a step.

    Attributes:
        device: in words.
        precision: that the network computed in.
        inputs: `clips`, or `features` of a frozen backbone, which are no part of the step then.
        processes: of the run; all figures but `clips_per_second` are those of the first.
        steps: that were timed.
        clips: of this process, a step.
        seconds: a step.
        parts: seconds a step by part; together they are `seconds`.
        clips_per_second: over all processes.
        flops: a step of this process: forward, and backward through what trains; None where that cannot be counted.
        peak: operations a second that the device could do, and where that is from; None without `flops`.
        mfu: share of it that the step reaches; None without it.
        memory: bytes at the peak.
        memory_of: what took them.
        top: name and seconds a step of the operations that took most, in the traced steps.
        traced: number of those; the trace itself makes them slower.
    """

    device: str
    precision: Precision
    inputs: str
    processes: int
    steps: int
    clips: float
    seconds: float
    parts: dict[str, float]
    clips_per_second: float
    flops: float | None
    peak: Peak | None
    mfu: float | None
    memory: int
    memory_of: str
    top: tuple[tuple[str, float], ...]
    traced: int

    def to_dict(self) -> dict[str, Any]:
        """As profile/summary.json holds it."""
        return {"format": 1, **asdict(self)}

    def text(self) -> str:
        """A screen of it."""
        lines = [
            f"profile of {self.steps} steps on {self.device} in {self.precision}, {self.clips:g} {self._of} a step"
            + (f", first of {self.processes} processes" if self.processes > 1 else ""),
            *(f"  {name:<15}{1000 * spent:10.2f} ms  {self._share(spent):6.1%}" for name, spent in self.parts.items()),
            f"  {'step':<15}{1000 * self.seconds:10.2f} ms  {self.clips_per_second:.1f} clips/s",
            f"  {self._utilisation()}",
            f"  peak memory     {self.memory / 2**20:.0f} MiB ({self.memory_of})",
        ]
        if self.top:
            lines.append(f"  most time, by operation ({self.traced} traced steps)")
            lines += [f"    {1000 * spent:8.2f} ms  {name[:80]}" for name, spent in self.top]
        return "\n".join(lines) + "\n"

    @property
    def _of(self) -> str:
        return "clips" if self.inputs == "clips" else "clips (stored features: the backbone is no part of the step)"

    def _share(self, spent: float) -> float:
        return spent / self.seconds if self.seconds else 0.0

    def _utilisation(self) -> str:
        if self.flops is None or self.peak is None or self.mfu is None:
            return "MFU             unknown: the operations of this network cannot be counted"
        rate, most = self.flops / self.seconds / 1e12, self.peak.flops / 1e12
        return f"MFU             {self.mfu:.1%} ({rate:.3g} of {most:.3g} TFLOP/s; {self.peak.source})"


class StepProfile:
    """Times the parts of some steps, then traces some more; after that it costs nothing.

    While it measures, the device is waited for after each part.

    Args:
        device: of the run.
        precision: that the network computes in.
        steps: that the run will take; few of them are divided among warming up, timing and tracing.
        inputs: `clips` or `features`.
        flops: counts the operations of a clip; None where it cannot.

    Attributes:
        summary: once there is one.
    """

    def __init__(
        self, device: torch.device, precision: Precision, steps: int, inputs: str, flops: Callable[[], int | None]
    ) -> None:
        self.summary: Summary | None = None
        self._device = device
        self._precision: Precision = precision
        self._inputs = inputs
        self._flops = flops
        self._skipped = min(_SKIPPED, steps // 3)
        self._timed = self._skipped + min(_TIMED, max(1, (steps - self._skipped) // 2))
        self._end = min(self._timed + _TRACED, steps)
        self._done = 0
        self._spent: dict[str, float] = defaultdict(float)
        self._sums: dict[str, float] = defaultdict(float)
        self._begun = 0.0
        self._clips = 0.0
        self._tracer: profile | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Measure what is within as a part of the step."""
        return _NOTHING if self.summary else self._measure(name)

    def over(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of an epoch; the time until each is there is a part of the step."""
        source = iter(batches)
        self._next_step()
        while True:
            with self.part("data wait"):
                batch = next(source, None)
            if batch is None:
                return
            yield batch

    def end_step(self, clips: float) -> None:
        """Close a step of so many clips of this process."""
        if self.summary:
            return
        wait_for(self._device)
        total = time.perf_counter() - self._begun
        if self._skipped <= self._done < self._timed:
            other = total - sum(self._spent.values())
            for name, spent in (*self._spent.items(), (OTHER, other), ("step", total)):
                self._sums[name] += spent
            self._clips += clips
        self._done += 1
        if self._done == self._timed and self._end > self._timed:
            self._tracer = profile(activities=_activities(self._device))
            self._tracer.start()
        if self._done >= self._end:
            self.finish()
        self._next_step()

    def finish(self) -> None:
        """Sum up what was measured."""
        if self.summary or not self._clips:
            return
        if self._tracer is not None:
            self._tracer.stop()
        steps = min(self._done, self._timed) - self._skipped
        seconds, clips = self._sums["step"] / steps, self._clips / steps
        flops_of_clip = self._flops()
        flops = None if flops_of_clip is None else flops_of_clip * clips
        peak = None if flops is None else peak_of(self._device, self._precision)
        traced = self._done - self._timed
        memory, memory_of = _peak_memory(self._device)
        self.summary = Summary(
            device=_in_words(self._device),
            precision=self._precision,
            inputs=self._inputs,
            processes=distributed.size(),
            steps=steps,
            clips=clips,
            seconds=seconds,
            parts={name: self._sums[name] / steps for name in (*PARTS, OTHER)},
            clips_per_second=clips * distributed.size() / seconds,
            flops=flops,
            peak=peak,
            mfu=None if flops is None or peak is None else flops / seconds / peak.flops,
            memory=memory,
            memory_of=memory_of,
            top=_top(self._tracer, traced, self._device) if self._tracer is not None else (),
            traced=traced,
        )

    def write_trace(self, path: Path) -> None:
        """Write the trace as a gzipped Chrome trace, if there is one.

        Raises:
            RunError: it cannot be written.
        """
        tracer = self._tracer
        if tracer is not None and self.summary is not None:
            write_atomically(path, lambda file: _export(tracer, file))
            self._tracer = None

    @contextmanager
    def _measure(self, name: str) -> Iterator[None]:
        wait_for(self._device)
        begun = time.perf_counter()
        with record_function(_MARK + name):
            yield
            wait_for(self._device)
        self._spent[name] += time.perf_counter() - begun

    def _next_step(self) -> None:
        self._spent.clear()
        self._begun = time.perf_counter()


def _activities(device: torch.device) -> list[ProfilerActivity]:
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]


def _export(tracer: profile, file: Path) -> None:
    """torch compresses a trace by the end of its name."""
    packed = file.with_name(f"{file.name}.json.gz")
    tracer.export_chrome_trace(str(packed))
    packed.replace(file)


def _top(tracer: profile, steps: int, device: torch.device) -> tuple[tuple[str, float], ...]:
    """Operations by the time that they themselves took."""
    kind = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    spent = [(str(event.key), getattr(event, kind) / 1e6 / steps) for event in tracer.key_averages()]
    own = [(name, seconds) for name, seconds in spent if seconds > 0 and not name.startswith((_MARK, "ProfilerStep"))]
    return tuple(sorted(own, key=lambda item: -item[1])[:_TOP])


def _peak_memory(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device)), "tensors on the GPU"
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory()), "of the GPU, now"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of the process, worker processes aside"


def _in_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type
