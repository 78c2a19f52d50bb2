"""Start-up of `actrec-zoo list` and `--help` beside torchvision listing its own models, in the same run.

    python benchmarks/startup.py [--quick] [--json FILE]

Each command runs as a process of its own, in turn with the peer; figures are medians of CPU seconds (user + system)
and of peak resident memory. The ratio is what to look at: machines differ and are noisy.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PEER = [sys.executable, "-c", "from torchvision.models import list_models; print(*list_models(), sep='\\n')"]
COMMANDS = {
    "list": [sys.executable, "-m", "actrec_zoo", "list"],
    "help": [sys.executable, "-m", "actrec_zoo", "--help"],
    "import": [sys.executable, "-c", "import actrec_zoo"],
}


def measure(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak MiB of one run."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three runs instead of eleven")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    runs = 3 if arguments.quick else 11
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in ("torchvision", *COMMANDS)}
    for _ in range(runs + 1):
        samples["torchvision"].append(measure(PEER))
        for name, command in COMMANDS.items():
            samples[name].append(measure(command))
    figures = {name: _medians(pairs[1:]) for name, pairs in samples.items()}  # the first run warms the disk cache
    peer = figures["torchvision"]["cpu_seconds"]
    for name, figure in figures.items():
        figure["ratio_to_torchvision"] = round(figure["cpu_seconds"] / peer, 4)
        print(f"{name:12s} {figure['cpu_seconds']:.3f} s CPU  {figure['peak_mib']:.0f} MiB  ", end="")
        print(f"{figure['ratio_to_torchvision']:.3f} of torchvision")
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "figures": figures}, indent=2) + "\n", encoding="utf-8")


def _medians(pairs: list[tuple[float, float]]) -> dict[str, float]:
    seconds, memory = zip(*pairs, strict=True)
    return {"cpu_seconds": round(statistics.median(seconds), 4), "peak_mib": round(statistics.median(memory), 1)}


if __name__ == "__main__":
    main()
