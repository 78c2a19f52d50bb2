"""Runs that are killed at random moments, resumed, and compared byte by byte with one that was not.

    python benchmarks/resume.py [--kills 100] [--quick] [--seed N] [--json FILE]

Real `actrec-zoo train` processes on a small generated data set get SIGKILL at random moments of every phase: while they
start, read the data, run a frozen backbone, train, validate, write, finish. The same command with `--resume`, with
another number of workers each time, goes on until the run is done. After every kill each file of the run has to be
whole, and at the end no temporary file may be left. A plugin tells this program how far a process is. All processes are
forked from one that has imported what they need, which would take longer than anything else.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from actrec_zoo import cli
from actrec_zoo.config import MACHINE_KEYS
from actrec_zoo.data.demo import write_motion_shapes

SERVER = multiprocessing.get_context("forkserver")
Process = multiprocessing.context.ForkServerProcess

SCENES = 5
PRELOADED = ["actrec_zoo.api", "actrec_zoo.cli.train", "actrec_zoo.cli.reporter", "matplotlib.figure"]
PATIENCE = 300.0
OF_WEIGHTS = ("model.safetensors", "best.safetensors", "frozen.safetensors")
"""Seconds until a process that does not end counts as one that hangs."""

SMALL = [
    *("--epochs", "3", "--batch-size", "4", "--size", "32", "--frames", "4", "--device", "cpu", "--set", "stride=1"),
    *("--set", "options.width=4", "--set", "options.dropout=0.2", "--set", "checkpoint_steps=1"),
]
AUGMENTED = [
    *("--set", 'augment=["random_crop", "horizontal_flip", "rotation"]'),
    *("--set", "flip_labels={move_left='move_right', circle_clockwise='circle_anticlockwise'}"),
]
SETTINGS = {
    "sgd, momentum, augmented, ema": {"optimizer": "sgd", "lr": 0.05, "ema": 0.9},
    "adamw": {"optimizer": "adamw", "patience": 2},
    "cached features": {"trainable": ["@head"], "feature_views": 2, "ema": 0.9},
    "adam, accumulate": {"optimizer": "adam", "accumulate": 2, "clip_grad": 1.0, "keep_checkpoints": 2},
}
CONFIGURATIONS = {
    name: [
        *(AUGMENTED if name != "adamw" else ()),
        *(word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")),
    ]
    for name, settings in SETTINGS.items()
}

STARTING, READING, PREPARING, TRAINING, VALIDATING, FINISHING = PHASES = (
    "starting",
    "reading data, making the folder",
    "preparing, frozen features",
    "training",
    "validating, saving the epoch",
    "finishing",
)
WEIGHTS = (2, 2, 2, 6, 4, 2)

WATCHER = """
import os

from actrec_zoo.plugin import CallbackSpec, hookimpl


def tell(text):
    with open(os.environ["RESUME_BENCHMARK_EVENTS"], "a") as file:
        file.write(text + "\\n")


@hookimpl
def actrec_zoo_datasets():
    tell("reading data, making the folder")
    return ()


@hookimpl
def actrec_zoo_callbacks(config):
    tell("preparing, frozen features")
    yield CallbackSpec(name="watcher", summary="Tells how far a run is", builder="resume_watcher_callback:make")
"""
CALLBACK = """
from actrec_zoo.plugin import Callback
from resume_watcher import tell


def make(config):
    return Watcher()


class Watcher(Callback):
    def on_start(self, state):
        tell("finishing" if state.done else "training")

    def on_step(self, state):
        tell("training" if state.step < state.steps else "validating, saving the epoch")

    def on_epoch_end(self, state):
        tell("finishing" if state.done else "training")
"""


@dataclass
class Tally:
    """What was done and what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


class Run:
    """One run, started as often as it takes.

    Args:
        folder: for the run, its cache and its events.
        data: to train on.
        flags: of the configuration.
        site: folder of the watching plugin.
    """

    def __init__(self, folder: Path, data: Path, flags: Sequence[str], site: Path) -> None:
        folder.mkdir()
        self.out = folder / "run"
        self._cache = folder / "cache"
        self._events = folder / "events"
        self._errors = folder / "errors"
        self._command = ["train", "tiny_conv3d", "--data", str(data), "--out", str(self.out), *SMALL, *flags]
        self._site = site
        self._environment = {
            "ACTREC_ZOO_HOME": str(folder / "home"),
            "ACTREC_ZOO_CACHE": str(self._cache),
            "RESUME_BENCHMARK_EVENTS": str(self._events),
        }

    def start(self, workers: int) -> Process:
        """The command, always with --resume."""
        self._events.write_text("")
        command = [*self._command, "--workers", str(workers), "--resume"]
        process = SERVER.Process(target=call, args=(command, self._environment, self._site, self._errors))
        process.start()
        return process

    @property
    def error(self) -> str:
        """The last line of the last process."""
        return (self._errors.read_text().strip().splitlines() or ["no message"])[-1]

    def phases(self) -> list[str]:
        """What the process has been at, up to now."""
        return [STARTING, *self._events.read_text().splitlines()]

    def files(self) -> Iterator[Path]:
        """Everything in the folder of the run and in the cache."""
        for root in (self.out, self._cache):
            yield from (path for path in sorted(root.rglob("*")) if path.is_file())

    def leftovers(self) -> list[Path]:
        """Temporary files in the folder of the run."""
        return [path for path in self.out.rglob(".*") if path.name != ".lock"]


def call(command: Sequence[str], environment: Mapping[str, str], site: Path, errors: Path) -> None:
    """`actrec-zoo` with a command, in this process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    multiprocessing.set_start_method("fork", force=True)  # as a process of its own would have it
    os.environ.update(environment)
    sys.path.insert(0, str(site))
    sys.argv = ["actrec-zoo", *command]
    cli.main()


def timed(process: Process, run: Run) -> dict[str, list[float]]:
    """Let a process come to its end; seconds of each time that it was in a phase."""
    seen, began, seconds = 0, time.monotonic(), {phase: [] for phase in PHASES}
    while (ended := process.exitcode) is None or seen < len(run.phases()):
        if len(phases := run.phases()) > seen or ended is not None:
            now = time.monotonic()
            if seen:
                seconds[phases[seen - 1]].append(now - began)
            seen, began = seen + 1, now
        time.sleep(0.001)
    seconds[run.phases()[-1]].append(time.monotonic() - began)
    return seconds


def kill_in(phase: str, times: int, delay: float, process: Process, run: Run) -> str | None:
    """Kill a process so many seconds after it comes into a phase for the given time.

    Returns:
        The phase that it was in when it was killed; None when it had ended.
    """
    deadline = time.monotonic() + PATIENCE
    while process.exitcode is None and run.phases().count(phase) < times:
        if time.monotonic() > deadline:
            raise TimeoutError("a process hangs")
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.join()
    return run.phases()[-1] if process.exitcode == -signal.SIGKILL else None


def require_readable(path: Path) -> None:
    """Read a file of a run through; raises where it is not whole."""
    match path.suffix:
        case ".safetensors":
            load_file(path)
        case ".json":
            json.loads(path.read_text())
        case ".csv":
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
            if len({len(row) for row in rows}) != 1:
                raise ValueError("rows of several lengths")
        case ".png":
            with Image.open(path) as picture:
                picture.load()


def unreadable(run: Run) -> list[str]:
    """Files that are there under their own name and are not whole."""
    problems = []
    for path in run.files():
        try:
            if not path.name.startswith("."):
                require_readable(path)
        except Exception as error:
            problems.append(f"{path.name} is not whole: {error}")
    return problems


def content(run: Path) -> dict[str, Any]:
    """All that a finished run may not differ in, by file."""
    found: dict[str, Any] = {str(path.relative_to(run)): b"" for path in run.rglob("*") if path.is_file()}
    for name in found:
        if Path(name).name in OF_WEIGHTS or name.startswith("splits/"):
            found[name] = (run / name).read_bytes()
    for file in (run / "checkpoints").glob("*.safetensors"):
        if file.name not in OF_WEIGHTS:
            found[str(file.relative_to(run))] = checkpoint(file)
    with (run / "history.csv").open(newline="") as file:
        found["history.csv"] = [without_seconds(row) for row in csv.DictReader(file)]
    config = json.loads((run / "run.json").read_text())["config"]
    found["run.json"] = {key: value for key, value in config.items() if key not in MACHINE_KEYS}
    found["config.json"] = json.loads((run / "config.json").read_text())
    return found


def checkpoint(path: Path) -> tuple[dict[str, bytes], Any]:
    """Tensors as bytes, and the rest without the wall clock."""
    with safe_open(path, framework="pt") as file:
        plain = json.loads(file.metadata()["state"])
    tensors = {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}
    return tensors, without_seconds(plain)


def without_seconds(value: Any) -> Any:
    """Plain data without anything called `seconds`."""
    if isinstance(value, dict):
        return {key: without_seconds(inner) for key, inner in value.items() if key != "seconds"}
    return [without_seconds(inner) for inner in value] if isinstance(value, list) else value


class Trial:
    """Kills runs of one configuration.

    Args:
        name: of the configuration.
        folder: for its runs.
        data: to train on.
        site: folder of the watching plugin.
        tally: to write to.
    """

    def __init__(self, name: str, folder: Path, data: Path, site: Path, tally: Tally) -> None:
        folder.mkdir()
        self._name, self._folder, self._data, self._site, self._tally = name, folder, data, site, tally
        self._number = 0
        whole = self._new_run()
        self._seconds = timed(whole.start(workers=0), whole)
        self._expected = content(whole.out)

    def _new_run(self) -> Run:
        self._number += 1
        return Run(self._folder / str(self._number), self._data, CONFIGURATIONS[self._name], self._site)

    def run(self, kills: int, draw: random.Random) -> None:
        """Kill a run so many times, or until it is done, let it come to its end, and compare."""
        run, tally = self._new_run(), self._tally
        for _ in range(kills):
            before = run.leftovers()
            killed = self._kill(run, draw)
            if killed is None:
                break
            tally.kills[killed] += 1
            new = [path.name for path in run.leftovers() if path not in before and path.suffix == ".tmp"]
            tally.writes.update(name.removeprefix(".").rsplit(".", 2)[0] for name in new)
            self._note(f"after a kill while {killed}", unreadable(run))
        process = run.start(workers=draw.choice((0, 1, 2)))
        tally.starts += 1
        process.join(PATIENCE)
        if process.exitcode != 0:
            self._note("resumed", [f"exit code {process.exitcode}: {run.error}"])
            process.kill()
            return
        self._note("at the end", [f"{path.name} is left over" for path in run.leftovers()])
        self._note("at the end", self._different(content(run.out)))
        tally.compared[self._name] += 1
        shutil.rmtree(run.out.parent)

    def _kill(self, run: Run, draw: random.Random) -> str | None:
        """Start the run and kill it; the phase it was in, None when it had come to its end."""
        phase = draw.choices(PHASES, WEIGHTS)[0]
        usual = self._seconds[phase] or [1.0]
        times = draw.randint(1, 6) if phase == TRAINING else draw.randint(1, 2) if phase == VALIDATING else 1
        process = run.start(workers=draw.choice((0, 1, 2)))
        self._tally.starts += 1
        killed = kill_in(phase, times, draw.uniform(0, 1.1 * max(usual)), process, run)
        if killed is None and process.exitcode:
            self._note("resumed", [f"exit code {process.exitcode}: {run.error}"])
        return killed

    def _different(self, found: dict[str, Any]) -> list[str]:
        names = sorted(self._expected.keys() | found.keys())
        return [f"{name} differs" for name in names if self._expected.get(name) != found.get(name)]

    def _note(self, when: str, problems: Sequence[str]) -> None:
        self._tally.differences += [f"{self._name}, run {self._number}, {when}: {problem}" for problem in problems]


def write_plugin(site: Path) -> None:
    """The distribution of the watching plugin, as pip would lay it out."""
    metadata = site / "resume_watcher-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: resume-watcher\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[actrec_zoo]\nresume-watcher = resume_watcher\n")
    (site / "resume_watcher.py").write_text(WATCHER)
    (site / "resume_watcher_callback.py").write_text(CALLBACK)


def tally_of(kills: int, seed: int, folder: Path) -> Tally:
    """Kill runs until there were so many kills."""
    SERVER.set_forkserver_preload(PRELOADED)
    tally, draw = Tally(), random.Random(seed)
    write_plugin(folder / "site")
    write_motion_shapes(folder / "data", scenes=SCENES)
    names = list(CONFIGURATIONS)[: max(1, kills // 3)]
    trials = [Trial(name, folder / str(n), folder / "data", folder / "site", tally) for n, name in enumerate(names)]
    for trial in cycle(trials):
        left = kills - tally.kills.total()
        if not left:
            return tally
        trial.run(min(left, draw.randint(2, 6)), draw)
        print(f"{tally.kills.total()} kills, {tally.compared.total()} runs compared", file=sys.stderr, flush=True)
    raise AssertionError


def as_dict(tally: Tally, seed: int) -> dict[str, Any]:
    """The tally as JSON takes it."""
    return {
        "seed": seed,
        "kills": tally.kills.total(),
        "kills_by_phase": {phase: tally.kills[phase] for phase in PHASES},
        "kills_during_a_write": dict(tally.writes.most_common()),
        "processes": tally.starts,
        "runs_compared": dict(tally.compared),
        "differences": tally.differences,
    }


def show(figures: dict[str, Any]) -> None:
    """Print the tally."""
    for phase, number in figures["kills_by_phase"].items():
        print(f"{phase:34s} {number:4d} kills")
    written = ", ".join(f"{name} {number}" for name, number in figures["kills_during_a_write"].items())
    print(f"{'all':34s} {figures['kills']:4d} kills, of these while a file was written: {written or 'none'}")
    for name, number in figures["runs_compared"].items():
        print(f"{name:34s} {number:4d} runs compared with one that was not killed")
    print(f"{figures['processes']} processes, {len(figures['differences'])} differences found")
    for difference in figures["differences"]:
        print(f"  {difference}")


def main() -> None:
    """Kill, resume, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many")
    parser.add_argument("--quick", action="store_true", help="six kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tally = tally_of(6 if arguments.quick else arguments.kills, arguments.seed, Path(name))
    figures = as_dict(tally, arguments.seed)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if tally.differences else 0)


if __name__ == "__main__":
    main()
