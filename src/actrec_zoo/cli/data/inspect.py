"""`actrec-zoo data inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actrec_zoo.cli.options import classes, data_format

if TYPE_CHECKING:
    from actrec_zoo.data.inspection import Inspection, Spread


@click.command("inspect")
@click.argument("data")
@data_format
@classes
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw videos and frames a class.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data: str, data_format: str | None, classes: str | None, plot: Path | None, as_json: bool) -> None:
    """Say what DATA holds: classes, videos, frames, durations, sizes, junk, and which classes stand out."""
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.components import read_data
    from actrec_zoo.data.class_plot import plot_classes
    from actrec_zoo.data.inspection import inspect_manifest
    from actrec_zoo.data.probe import probe
    from actrec_zoo.data.spans import cut_to_spans

    show_log()
    with ProgressDisplay() as display:
        manifest = probe(read_data(data, data_format, classes), display.track)
        found = inspect_manifest(cut_to_spans(manifest, display.track), display.track)
    if plot is not None:
        plot_classes(plot, found.classes)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _print(found)


def _print(found: Inspection) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.data.inspection import RULE, balance

    console = make_console()
    sides = {kind: balance(found.classes, kind) for kind in ("videos", "frames")}
    table = make_table("class", ">videos", ">frames", "stands out")
    for counts in found.classes:
        marks = [f"{side} in {kind}" for kind in sides for side in sides[kind] if counts.label in sides[kind][side]]
        table.add_row(printable(counts.label), str(counts.videos), str(counts.frames), ", ".join(marks))
    console.print(table)
    videos, frames = (sum(getattr(c, kind) for c in found.classes) for kind in ("videos", "frames"))
    console.print(f"{printable(found.data)}: {videos} videos in {len(found.classes)} classes, {frames} frames")
    for name, spread, unit in (
        ("frames a video", found.frames, ""),
        ("duration", found.seconds, " s"),
        ("width", found.width, " pixels"),
        ("height", found.height, " pixels"),
    ):
        if spread is not None:
            console.print(f"{name}: {_spread(spread)}{unit}")
    for name, counted in (
        ("most frequent sizes", {f"of {size}": count for size, count in found.sizes.items()}),
        ("splits", found.splits),
        ("source groups", {"": found.groups} if found.groups else {}),
        ("passed over", found.skipped),
    ):
        if counted:
            console.print(f"{name}: {', '.join(f'{count} {key}'.strip() for key, count in counted.items())}")
    for kind, of_kind in sides.items():
        for side, labels in of_kind.items():
            if labels:
                console.print(f"{side}-represented in {kind}: {printable(', '.join(labels))}")
    console.print(f"(a class is over- or under-represented that has {RULE})")
    for _, error in found.unreadable:
        console.print(f"unreadable: {printable(error)}")


def _spread(spread: Spread) -> str:
    return f"{spread.min:.4g} to {spread.max:.4g}, median {spread.median:.4g}"
