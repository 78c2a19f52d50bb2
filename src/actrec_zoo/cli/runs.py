"""`actrec-zoo runs`, and `actrec-zoo runs compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from actrec_zoo.cli.table import format_table, printable
from actrec_zoo.runs.comparison import Comparison, compare_runs
from actrec_zoo.runs.listing import list_runs
from actrec_zoo.runs.record import RunRecord

_DEFAULT = "runs"


class _RunsCommands(click.Group):
    """A listing that takes a folder, unless the first word is a command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        is_command = bool(args) and args[0] in self.commands
        context.allow_interspersed_args = not is_command
        return super().parse_args(context, [_DEFAULT, *args] if is_command else args)


@click.group("runs", cls=_RunsCommands, invoke_without_command=True)
@click.argument("folder", type=click.Path(path_type=Path), default=_DEFAULT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (runs without it) and below, the newest first: state, best figures, age."""
    if context.invoked_subcommand is not None:
        return
    runs = list_runs(folder)
    if as_json:
        click.echo(json.dumps([_as_json(run) for run in runs], indent=2))
        return
    if not runs:
        click.echo(f"no runs in {folder}")
        return
    columns = ("run", "state", "model", "data", ">epochs", ">val top-1", ">eval top-1", "evaluated on", ">age")
    click.echo(printable(format_table(columns, [_row(run) for run in runs])))
    for run in runs:
        for problem in run.problems:
            click.echo(printable(f"broken: {problem}"))


@command.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Put RUNS side by side: settings that differ, figures, splits; and say why figures should not be compared."""
    found = compare_runs(runs)
    if as_json:
        click.echo(json.dumps(_comparison_as_json(found), indent=2))
        return
    _print_part("settings that differ", found.runs, found.settings)
    _print_part("figures", found.runs, found.figures)
    same = {
        f"{part} videos ({'the same' if found.same_splits[part] else 'differ'})": found.splits[part]
        for part in found.splits
    }
    _print_part("splits", found.runs, same)
    for warning in found.warnings:
        click.echo(printable(f"warning: {warning}"))


def _row(run: RunRecord) -> list[str]:
    measured = run.evaluation
    return [
        str(run.path),
        run.state,
        run.model or "-",
        run.data or "-",
        f"{run.epochs}/{run.settings.get('epochs', '-')}",
        "-" if run.best is None else f"{run.best['val_top1']:.4f}",
        "-" if measured is None else f"{measured['video']['top1']:.4f}",
        "-" if measured is None else _protocol(measured),
        _age(run),
    ]


def _protocol(evaluation: Mapping[str, Any]) -> str:
    """What an evaluation was measured on and how, in a few words."""
    told = evaluation["protocol"]
    words = [f"{told.get('split')} of {told.get('data')}", f"{evaluation.get('n_expected')} videos"]
    words.append(f"{told.get('sampling')} {told.get('frames')}x{told.get('size')}")
    return ", ".join([*words, *([f"{told['seen']} seen in training"] if told.get("seen") else [])])


def _age(run: RunRecord) -> str:
    """How long ago a run began, in the largest unit."""
    passed = datetime.now(UTC) - run.started
    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "min": timedelta(minutes=1)}
    return next((f"{passed // size} {unit}" for unit, size in units.items() if passed >= size), "< 1 min")


def _as_json(run: RunRecord) -> dict[str, Any]:
    best, measured = run.best, run.evaluation
    return {
        "path": str(run.path),
        "state": run.state,
        "problems": list(run.problems),
        "model": run.model,
        "data": run.data,
        "epochs": run.epochs,
        "epochs_wanted": run.settings.get("epochs"),
        "best": best and {key: best[key] for key in ("epoch", "val_top1", "val_loss")},
        "evaluation": measured and {key: measured.get(key) for key in ("video", "n_expected", "n_failed", "protocol")},
        "started": run.started.isoformat(timespec="seconds"),
    }


def _comparison_as_json(found: Comparison) -> dict[str, Any]:
    return {
        "runs": [str(run.path) for run in found.runs],
        "settings": dict(found.settings),
        "figures": dict(found.figures),
        "splits": dict(found.splits),
        "same_splits": dict(found.same_splits),
        "warnings": list(found.warnings),
    }


def _print_part(title: str, runs: Sequence[RunRecord], rows: Mapping[str, Sequence[Any]]) -> None:
    if not rows:
        click.echo(f"{title}: none\n")
        return
    columns = (title, *(f">{run.path}" for run in runs))
    click.echo(printable(format_table(columns, [[key, *map(_cell, values)] for key, values in rows.items()])) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
