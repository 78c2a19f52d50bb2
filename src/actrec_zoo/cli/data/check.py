"""`actrec-zoo data check`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actrec_zoo.cli.options import classes, data_format

if TYPE_CHECKING:
    from actrec_zoo.data.checking.findings import Finding

_FOUND = 1
_SHOWN = 5


@click.command("check")
@click.argument("data")
@data_format
@classes
@click.option(
    "--splits",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Look for leaks between these splits; between those of DATA without it.",
)
@click.option(
    "--decode",
    "depth",
    type=click.Choice(["ends", "all"]),
    default="ends",
    show_default=True,
    help="Decode the first, middle and last frame of each video, or every frame.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    default=Path("data-check.csv"),
    show_default=True,
    help="Where the findings go.",
)
def command(data: str, data_format: str | None, classes: str | None, splits: Path | None, depth: str, out: Path) -> int:
    """Look for what is wrong with the videos of DATA: unreadable, truncated, empty, copied; and for splits that leak.

    Exit code 1: something was found.
    """
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.components import read_data
    from actrec_zoo.data.checking.check import check
    from actrec_zoo.data.checking.findings import write_findings
    from actrec_zoo.data.grouping import group_by
    from actrec_zoo.data.splits import read_splits
    from actrec_zoo.data.stated import stated_splits
    from actrec_zoo.files import require_folder

    require_folder(out.parent)
    show_log()
    manifest = group_by(read_data(data, data_format, classes))
    if splits is None:
        divided = stated_splits(manifest, allow_leak=True)
    else:
        manifest, divided = read_splits(splits, manifest, allow_leak=True)
    with ProgressDisplay() as display:
        findings = list(check(manifest, divided, all_frames=depth == "all", track=display.track))
    write_findings(out, findings)
    click.echo(f"{data}: {len(manifest)} videos in {len(manifest.classes)} classes, {len(findings)} findings in {out}")
    _summarise(findings)
    return _FOUND if findings else 0


def _summarise(findings: list[Finding]) -> None:
    """How many of each kind, with the first few."""
    from actrec_zoo.cli.display import printable
    from actrec_zoo.data.checking.findings import KINDS

    counts = Counter(finding.kind for finding in findings)
    for kind, meaning in KINDS.items():
        if not counts[kind]:
            continue
        click.echo(f"\n{kind}: {counts[kind]} ({meaning})")
        for finding in [f for f in findings if f.kind == kind][:_SHOWN]:
            words = " = ".join(filter(None, (finding.path, finding.other)))
            click.echo(printable(f"  {words}" + (f": {finding.detail}" if finding.detail else "")))
        if counts[kind] > _SHOWN:
            click.echo("  ...")
