"""`actrec-zoo data split`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from actrec_zoo.cli.options import classes, data_format
from actrec_zoo.cli.table import format_table
from actrec_zoo.errors import ConfigError, RunError

if TYPE_CHECKING:
    from actrec_zoo.data.manifest import Manifest
    from actrec_zoo.data.splits import Splits


@click.command("split")
@click.argument("data")
@data_format
@classes
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where the split files go.")
@click.option("--ratios", metavar="80/10/10", help="Shares of train, val and test; 80/10/10 without it.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random order.")
@click.option(
    "--group-by",
    "pattern",
    metavar="PATTERN|auto|none",
    default="auto",
    show_default=True,
    help="Sources from paths: a regular expression, whose first group is the source.",
)
@click.option("--folds", metavar="K", type=click.IntRange(min=3), help="K folds, each tested once, in DIR/fold1 ...")
def command(
    data: str,
    data_format: str | None,
    classes: str | None,
    out: Path,
    ratios: str | None,
    seed: int,
    pattern: str,
    folds: int | None,
) -> None:
    """Write train.csv, val.csv and test.csv for the videos of DATA: by video, stratified by class, grouped by source.

    No source is in two splits. The same videos and seed give the same files on every machine.
    """
    if folds and ratios:
        raise ConfigError("--folds makes folds of equal size: leave out --ratios")
    shares = _shares(ratios or "80/10/10")
    _require_unused(out)
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.components import read_data
    from actrec_zoo.data.allocation import make_folds, make_splits
    from actrec_zoo.data.grouping import group_by
    from actrec_zoo.data.splits import write_splits

    show_log()
    manifest = group_by(read_data(data, data_format, classes), pattern)
    if folds:
        made = {f"fold{i}": splits for i, splits in enumerate(make_folds(manifest, folds, seed), start=1)}
    else:
        made = {"": make_splits(manifest, shares, seed)}
    for name, splits in made.items():
        write_splits(out / name, manifest, splits)
    click.echo(_table(manifest, made))


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in text.split("/"))
    except ValueError:
        raise ConfigError(f"--ratios {text!r} is not of the form 80/10/10") from None


def _require_unused(out: Path) -> None:
    """Split files are not overwritten: somebody may have trained with them."""
    for folder in (out, *out.glob("fold*")):
        if any((folder / f"{name}.csv").exists() for name in ("train", "val", "test")):
            raise RunError(f"--out: {folder} holds split files already, choose another folder")


def _table(manifest: Manifest, made: dict[str, Splits]) -> str:
    """Videos, sources and classes of each split."""
    import numpy as np

    columns = ("split", ">videos", ">share", ">groups", ">classes", ">fewest of a class")
    rows = []
    for folder, splits in made.items():
        for name, videos in splits.items():
            groups = manifest.groups[videos]
            sizes = np.bincount(manifest.labels[videos], minlength=len(manifest.classes))
            count = len(np.unique(groups[groups >= 0]))
            share = f"{len(videos) / len(manifest):.1%}"
            label = f"{folder}/{name}".strip("/")
            rows.append([label, *map(str, (len(videos), share, count, np.count_nonzero(sizes), sizes.min()))])
    return format_table(columns, rows)
