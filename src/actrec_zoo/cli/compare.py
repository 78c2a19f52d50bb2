"""`actrec-zoo compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from actrec_zoo.cli.table import format_table, printable

_SHOWN = 20


@click.command("compare")
@click.argument("eval_a")
@click.argument("eval_b")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every class and video.")
def command(eval_a: str, eval_b: str, as_json: bool) -> None:
    """Compare two evaluations of the same videos: EVAL_A and EVAL_B, each an eval.json or the folder that holds it."""
    from actrec_zoo.evaluation.comparison import compare_evaluations

    found = compare_evaluations(eval_a, eval_b)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(printable("\n\n".join(_parts(found))))


def _parts(found: Mapping[str, Any]) -> list[str]:
    """What is printed, with an empty line between each two."""
    parts = [_heading(found), _figures(found), _sides(found["mcnemar"])]
    classes = sorted((row for row in found["per_class"] if row["difference"]), key=lambda row: -abs(row["difference"]))
    if classes:
        parts.append(_first(("class", ">videos", ">A", ">B", ">B - A"), [_class_row(row) for row in classes]))
    if found["changed"]:
        parts.append(_first(("video", "label", "A", "B"), [_video_row(row) for row in found["changed"]]))
    return parts


def _heading(found: Mapping[str, Any]) -> str:
    """Both evaluations, what their protocols differ in, and warnings."""
    lines = [f"{side.upper()}: {found[side]['model']}, {found[side]['file']}" for side in ("a", "b")]
    lines += [f"{key}: {json.dumps(a)} in A, {json.dumps(b)} in B" for key, (a, b) in found["protocol"].items()]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in found["warnings"])])


def _figures(found: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{values['a']:.4f}", f"{values['b']:.4f}", f"{values['difference']:+.4f}", _interval(values))
        for name, values in (("top-1", found["top1"]), ("top-5", found["top5"]))
    ]
    drawn = found["intervals"]
    level = f"{100 * drawn['level']:g} % interval"
    top5 = found["a"]["protocol"].get("top5", "top-5")
    told = f"video level, {found['n']} videos; {top5}; intervals over {drawn['n_units']} {drawn['units']}"
    return f"{format_table(('figure', '>A', '>B', '>B - A', level), rows)}\n{told}"


def _interval(values: Mapping[str, Any]) -> str:
    return "-" if values["interval"] is None else "[{:+.4f}, {:+.4f}]".format(*values["interval"])


def _sides(counts: Mapping[str, Any]) -> str:
    rows = [
        ("A right", str(counts["both_right"]), str(counts["only_a"])),
        ("A wrong", str(counts["only_b"]), str(counts["both_wrong"])),
    ]
    table = format_table(("videos", ">B right", ">B wrong"), rows)
    return f"{table}\nMcNemar's exact test, which takes videos for independent of each other: p = {counts['p']:.3g}"


def _class_row(row: Mapping[str, Any]) -> list[str]:
    return [row["label"], str(row["support"]), f"{row['a']:.4f}", f"{row['b']:.4f}", f"{row['difference']:+.4f}"]


def _video_row(row: Mapping[str, Any]) -> list[str]:
    return [row["video"], row["label"], *(_answer(row[side], row["label"]) for side in ("a", "b"))]


def _answer(answer: str | None, label: str) -> str:
    if answer is None:
        return "(not read)"
    return "right" if answer == label else answer


def _first(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the first rows, and how many more there are."""
    table = format_table(columns, rows[:_SHOWN])
    return table if len(rows) <= _SHOWN else f"{table}\n... and {len(rows) - _SHOWN} more: --json has all of them"
