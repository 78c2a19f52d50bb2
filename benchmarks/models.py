"""Every model: parameters, operations, forward time of one clip beside upstream's network, contract, agreement.

    python -m benchmarks.models [--quick] [--json FILE]

The peer of a model is the network that its weights were made for, by torchvision or transformers, on the same clip; the
ratio is what its own head costs or its own code saves. Passes alternate and medians are compared. Operations
(multiply-adds count as two) are counted on the meta device and on a real pass. Agreement is the largest difference to
upstream with every value random, loaded as a downloaded checkpoint is.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tests import upstream
from torch import Tensor

from actrec_zoo.cost import count_flops
from actrec_zoo.fitting import meta_network
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.testing import CLASSES, examine_model, random_classifier

QUICK_PARAMETERS = 13_000_000
CONTRACT_SIZE = 32
CONTRACT_LAYERS = 2


def forward_seconds(passes: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each pass, taken in turn after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(repeats + 1):
        for name, one_pass in passes.items():
            start = time.perf_counter()
            one_pass()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(values), 4) for name, values in seconds.items()}


def passes_of(model: RegisteredModel) -> dict[str, Callable[[], object]]:
    """One clip through the model, and through upstream's network where there is one."""
    classifier = random_classifier(model).eval()
    spec = model.spec.input
    clips = torch.randn(1, 3, spec.frames, spec.size, spec.size)
    passes: dict[str, Callable[[], object]] = {"model": lambda: classifier(clips)}
    if model.spec.weights:
        passes["upstream"] = _upstream_pass(model, clips)
    return passes


def _upstream_pass(model: RegisteredModel, clips: Tensor) -> Callable[[], object]:
    _, run = upstream.upstream_of(model.spec)
    return lambda: run(clips)


@contextmanager
def own_downloads() -> Iterator[tuple[Path, Path]]:
    """Folders in which the Hub's client and torchvision look for what they have downloaded."""
    import huggingface_hub.constants as client

    with tempfile.TemporaryDirectory() as name:
        client.HF_HUB_CACHE = f"{name}/hub"
        os.environ["TORCH_HOME"] = f"{name}/torch"
        yield Path(name, "hub"), Path(name, "torch")


def examine(model: RegisteredModel, quick: bool) -> dict[str, Any]:
    """All figures of one model."""
    spec = model.spec
    row: dict[str, Any] = {"model": spec.name, "parameters": spec.parameters}
    with torch.inference_mode():
        row["seconds"] = forward_seconds(passes_of(model), repeats=1 if quick else 3)
    row["gflops_meta"] = count_flops(meta_network(model, num_classes=CLASSES), spec.input) / 1e9
    row["gflops_real"] = count_flops(random_classifier(model).net, spec.input) / 1e9
    shallow = {"layers": CONTRACT_LAYERS} if spec.options.get("layers", 0) > CONTRACT_LAYERS else {}
    report = examine_model(model, size=CONTRACT_SIZE, options=shallow)
    row["contract"] = dict(Counter(result.status for result in report.results))
    if spec.weights and not quick:
        with own_downloads() as (hub, torch_home):
            row["difference"] = upstream.largest_difference(spec.name, hub, torch_home)
    return row


def _print_row(row: dict[str, Any]) -> None:
    seconds = row["seconds"]
    peer = f"{seconds['model'] / seconds['upstream']:.2f} of upstream" if "upstream" in seconds else "no peer"
    agrees = "=" if row["gflops_meta"] == row["gflops_real"] else "!="
    contract = ", ".join(f"{count} {status}" for status, count in row["contract"].items())
    difference = f"{row['difference']:.1e}" if "difference" in row else "-"
    print(
        f"{row['model']:18s} {row['parameters'] / 1e6:7.2f} M  {row['gflops_meta']:7.2f} GFLOPs (meta {agrees} real)  "
        f"{seconds['model']:7.3f} s ({peer})  contract: {contract}  difference to upstream {difference}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small models only, one pass, no comparison of outputs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    rows = []
    for model in get_registry().models:
        if model.plugin.first_party and (not arguments.quick or model.spec.parameters <= QUICK_PARAMETERS):
            rows.append(examine(model, arguments.quick))
            _print_row(rows[-1])
    if arguments.json:
        report = {"torch": torch.__version__, "threads": torch.get_num_threads(), "models": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
