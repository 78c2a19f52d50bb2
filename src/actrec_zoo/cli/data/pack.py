"""`actrec-zoo data pack`."""

import re
from pathlib import Path
from typing import Any

import click

from actrec_zoo.cli.options import classes, data_format

_FOUND = 1


def _sides(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """`256` or `128x171` as numbers."""
    sides = value.split("x")
    if len(sides) > 2 or not all(re.fullmatch(r"\d{1,4}", side) and int(side) for side in sides):
        raise click.BadParameter(f"{value!r} is neither a length like 256 nor height and width like 128x171, in pixels")
    return [int(side) for side in sides]


@click.command("pack")
@click.argument("data")
@click.argument("out", type=click.Path(path_type=Path))
@data_format
@classes
@click.option(
    "--size", required=True, metavar="N|HxW", callback=_sides, help="Shorter side, or height and width: 256 or 128x171."
)
@click.option("--jpeg/--raw", default=True, show_default=True, help="Frames as JPEG or as they are.")
@click.option(
    "--interpolation",
    type=click.Choice(["bilinear", "bicubic", "nearest"]),
    default="bilinear",
    show_default=True,
    help="Of the resize.",
)
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes.")
def command(
    data: str,
    out: Path,
    data_format: str | None,
    classes: str | None,
    size: list[int],
    jpeg: bool,
    interpolation: Any,
    workers: int | None,
) -> int:
    """Decode and resize DATA once, into the folder OUT, which `train` and `eval` take as --data.

    Exit code 1: a video could not be read.
    """
    from actrec_zoo.cli.display import ProgressDisplay, printable
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.components import read_data
    from actrec_zoo.data.packing import require_new, write_pack
    from actrec_zoo.data.probe import probe
    from actrec_zoo.data.rates import with_rates
    from actrec_zoo.data.spans import cut_to_spans
    from actrec_zoo.data.transforms import Resize
    from actrec_zoo.devices import default_workers

    require_new(out)
    show_log()
    with ProgressDisplay() as display:
        manifest = cut_to_spans(probe(read_data(data, data_format, classes), display.track), display.track)
        manifest = with_rates(manifest, display.track)
        errors = write_pack(
            manifest,
            out,
            Resize(size, interpolation),
            "jpeg" if jpeg else "raw",
            workers=default_workers() if workers is None else workers,
            track=display.track,
        )
    for error in errors.values():
        click.echo(printable(f"failed: {error}"), err=True)
    click.echo(printable(f"{out}: {len(manifest) - len(errors)} videos packed, {len(errors)} failed"))
    return _FOUND if errors else 0
