"""`actrec-zoo predict`."""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actrec_zoo.errors import DataError

if TYPE_CHECKING:
    from actrec_zoo.classifier import VideoClassifier


@click.command("predict")
@click.argument("model")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--weights", default="auto", metavar="SOURCE", help="auto (trained ones), pretrained (upstream's), or a tag."
)
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|mps")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str, files: tuple[str, ...], weights: str, top_k: int, device: str, as_json: bool) -> int:
    """Say what happens in videos, folders of frames, or what a quoted pattern such as 'clips/*.mp4' matches.

    A video of a pack is named as it was called before it was packed: PACK/jump/clip1.mp4.
    """
    paths = _expand(files)
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.devices import resolve_device
    from actrec_zoo.loading import load_to_answer

    show_log()
    classifier = load_to_answer(model, weights, resolve_device(device))
    results = [_predict(classifier, path, top_k) for path in paths]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        _print(results)
    failed = [result for result in results if "error" in result]
    for result in failed:
        click.echo(f"error: {result['error']}", err=True)
    return 2 if failed else 0


def _expand(files: tuple[str, ...]) -> list[Path]:
    paths: list[Path] = []
    for name in files:
        is_one = Path(name).exists() or _is_packed(Path(name))
        matches = [Path(name)] if is_one else [Path(match) for match in sorted(glob.glob(name))]  # noqa: PTH207
        if not matches:
            raise DataError(f"there is no video {name}")
        paths += matches
    return paths


def _is_packed(path: Path) -> bool:
    """Whether a path leads into a pack, which knows by itself what it holds."""
    from actrec_zoo.data.manifest import PACK_HEADER

    return any((folder / PACK_HEADER).is_file() for folder in path.parents)


def _predict(classifier: VideoClassifier, path: Path, top_k: int) -> dict[str, object]:
    try:
        best = classifier.predict(path, top_k)
    except DataError as error:
        return {"path": str(path), "error": str(error)}
    return {"path": str(path), "predictions": [{"label": label, "probability": p} for label, p in best]}


def _print(results: list[dict[str, object]]) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable

    table = make_table("video", "label", ">probability")
    for result in results:
        predictions = result.get("predictions", [])
        assert isinstance(predictions, list)
        for rank, prediction in enumerate(predictions):
            table.add_row(
                printable(str(result["path"])) if rank == 0 else "",
                prediction["label"],
                f"{prediction['probability']:.4f}",
            )
    make_console().print(table)
