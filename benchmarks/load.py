"""Loading a trained model: seconds and peak memory beside torch.load, transformers and timm, in the same run.

    python benchmarks/load.py [--quick] [--json FILE]

Each load runs in a process of its own, in turn with its peers, after all imports and with the files in the disk cache.
Seconds are until the model can be used, and until every weight has been read once; memory is the peak above what the
process had before, divided by the bytes of the weights. Figures are medians; the ratios are what to look at.
`torch` builds the network with its initialisation, then copies what torch.load gives. timm's models are its own of
about the same size; they are left out where timm is not installed.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = {"r3d": "regnety_080", "videomae": "vit_base_patch16_224", "timesformer": "hrnet_w64"}
"""Models of 33, 87 and 122 million parameters, and timm's of about that size."""
SMALL = {"tiny_conv3d": "test_vit"}
CLASSES = 25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of the smallest model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(_load(*arguments.child)))
        return
    models, runs = (SMALL, 1) if arguments.quick else (MODELS, 7)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, peer in models.items():
            figures[model] = _compare(Path(folder) / model, model, peer, runs)
            _show(model, figures[model])
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "figures": figures}, indent=2) + "\n", encoding="utf-8")


def _compare(folder: Path, model: str, peer: str, runs: int) -> dict[str, dict[str, float]]:
    ways = _prepare(folder, model, peer)
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(runs + 1):
        for way in ways:
            command = [sys.executable, __file__, "--child", way, str(folder), model, peer]
            samples[way].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {
        way: {key: statistics.median(sample[key] for sample in found[1:]) for key in found[0]}
        for way, found in samples.items()
    }


def _prepare(folder: Path, model: str, peer: str) -> list[str]:
    """Write the weights in each form; the ways that there are to load them."""
    import torch

    import actrec_zoo

    classifier = actrec_zoo.load(model, weights=None, num_classes=CLASSES)
    actrec_zoo.save(classifier, folder)
    torch.save(classifier.net.state_dict(), folder / "state.pt")
    ways = ["actrec_zoo", "torch"]
    if (folder / "preprocessor_config.json").is_file():
        ways.append("transformers")
    if importlib.util.find_spec("timm"):
        import timm
        from safetensors.torch import save_file

        save_file(timm.create_model(peer).state_dict(), folder / "timm.safetensors")
        ways.append("timm")
    else:
        print("timm is not installed: left out", file=sys.stderr)
    return ways


def _load(way: str, folder: str, model: str, peer: str) -> dict[str, float]:
    """Load once in this process: seconds, and memory over the bytes of the weights."""
    load = _loader(way, Path(folder), model, peer)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak of memory begins anew
    begun = time.perf_counter()
    net = load()
    usable = time.perf_counter()
    for tensor in net.state_dict().values():
        float(tensor.sum())
    read = time.perf_counter()
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "seconds": usable - begun,
        "seconds_with_reading": read - begun,
        "peak_over_weights": (_memory("VmHWM") - before) / size,
    }


def _loader(way: str, folder: Path, model: str, peer: str) -> Callable[[], Any]:
    """What loads the model, with everything imported that it needs."""
    import torch

    import actrec_zoo
    from actrec_zoo.spec import import_object

    torch.set_num_threads(1)
    import_object(actrec_zoo.get_spec(model).builder)
    actrec_zoo.load("tiny_conv3d", weights=None)  # what is imported by the first use
    if way == "actrec_zoo":
        return lambda: actrec_zoo.load(folder).net
    if way == "torch":
        return lambda: _built_and_filled(folder, model)
    if way == "transformers":
        import transformers

        architecture = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
        loaded = getattr(transformers, architecture)
        return lambda: loaded.from_pretrained(folder)
    import timm

    return lambda: timm.create_model(peer, checkpoint_path=str(folder / "timm.safetensors"))


def _built_and_filled(folder: Path, model: str) -> Any:
    import torch

    import actrec_zoo

    net = actrec_zoo.load(model, weights=None, num_classes=CLASSES).net
    net.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    return net


def _memory(key: str) -> int:
    """A figure of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def _show(model: str, figures: dict[str, dict[str, float]]) -> None:
    ours = figures["actrec_zoo"]
    print(f"{model}, {ours['parameters'] / 1e6:.1f} M parameters")
    for way, figure in figures.items():
        print(
            f"  {way:12s} {figure['seconds']:.3f} s, {figure['seconds'] / ours['seconds']:.1f} times ours; "
            f"with reading {figure['seconds_with_reading']:.3f} s, "
            f"{figure['seconds_with_reading'] / ours['seconds_with_reading']:.1f} times ours; "
            f"peak {figure['peak_over_weights']:.2f} of the weights"
        )


if __name__ == "__main__":
    main()
