"""`actrec-zoo eval`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from actrec_zoo.cli.options import classes, data_format

if TYPE_CHECKING:
    from rich.console import Console

_WRONG, _UNSURE = "bold red", "yellow"
_PAIRS = 5
_WITH_SCORES = ("from_scores", "out", "no_report", "as_json")


@click.command("eval")
@click.argument("model", required=False)
@click.option("--data", metavar="DATA", help="Folder with a folder a class, CSV file, or hf:org/name.")
@data_format
@classes
@click.option("--split", type=click.Choice(["test", "val", "train", "all"]), default="test", show_default=True)
@click.option("--splits", metavar="DIR", help="Folder of split files; the run's own copy, or the data's, without it.")
@click.option("--protocol", metavar="video|report|views", help="Mean of a video's clips (default), or each by itself.")
@click.option("--views", metavar="CxS", help="C clips spread over a video by S crops, as in 10x3.")
@click.option("--corrupt", multiple=True, metavar="NAME[:1-5]", help="Show clips like this too: all, order, image, ...")
@click.option("--map-labels", metavar="FILE", help="TOML with [labels]: the model's class by class of the data.")
@click.option("--out", metavar="DIR", help="Where eval.json goes; the model's own folder without it.")
@click.option("--scores", metavar="FILE", help="Write the scores of every clip, .npz.")
@click.option("--from-scores", metavar="FILE", help="Compute everything anew from such a file, without MODEL and data.")
@click.option("--no-report", is_flag=True, help="Neither report.html nor plots/, for machines.")
@click.option("--weights", default="auto", metavar="SOURCE", help="auto (trained ones), or pretrained (upstream's).")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--precision", default="fp32", show_default=True, metavar="auto|fp32|bf16|fp16")
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|mps")
@click.option("--json", "as_json", is_flag=True, help="Print eval.json instead of tables.")
def command(model: str | None, from_scores: str | None, no_report: bool, as_json: bool, **options: Any) -> None:
    """Evaluate MODEL, a run folder or the name of a trained model."""
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.distributed import is_first
    from actrec_zoo.evaluating import evaluate, evaluate_scores

    show_log()
    if from_scores is not None:
        _refuse_others(click.get_current_context())
        result = evaluate_scores(from_scores, out=options["out"], report=not no_report)
    elif model is not None and options["data"] is not None:
        with ProgressDisplay() as display:
            result = evaluate(model, track=display.track, report=not no_report, **options)
    else:
        raise click.UsageError("Give MODEL and --data DATA, or --from-scores FILE.")
    if not is_first():
        return
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print_tables(result)
    if from_scores is None and options["weights"] != "auto" and options["out"] is None:
        click.echo("nothing was written: --out DIR keeps eval.json and the report", err=True)


def _refuse_others(context: click.Context) -> None:
    """Raise an error where an option was given that scores are not computed with."""
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
        if given and parameter.name not in _WITH_SCORES:
            name = "MODEL" if parameter.name == "model" else parameter.opts[0]
            raise click.UsageError(f"--from-scores goes without {name}: the scores were made with what they were made.")


def _print_tables(result: dict[str, Any]) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable

    console = make_console()
    per_class = make_table("class", ">precision", ">recall", ">F1", ">AP", ">videos")
    for row in result["per_class"]:
        figures = (_figure(row[name]) for name in ("precision", "recall", "f1", "average_precision"))
        per_class.add_row(printable(row["label"]), *figures, str(row["support"]))
    console.print(per_class)
    levels = make_table("level", ">n", ">top-1", ">top-5", ">loss", "protocol")
    headline, intervals = result["protocol"]["headline"], result["intervals"]
    for name in ("clip", "video"):
        level = result[name]
        shares = (_figure(level[key], intervals[name][key]) for key in ("top1", "top5"))
        marked = f"{name} *" if name == headline else name
        levels.add_row(marked, str(level["n"]), *shares, _figure(level["loss"]), result["protocol"][name])
    console.print(levels)
    for line in _lines_below(result):
        console.print(printable(line))
    console.print(
        f"{result['model']}, split {result['protocol']['split']}: {result['n_used']} of {result['n_expected']} videos "
        f"read, {result['n_failed']} failed (counted as wrong)"
    )
    for failure in result["failures"]:
        console.print(f"failed: {printable(failure['error'])}")
    _print_corruptions(console, result)
    _print_cautions(console, result)


def _print_corruptions(console: Console, result: dict[str, Any]) -> None:
    """What each corruption costs, the dearest first."""
    from actrec_zoo.cli.display import make_table

    level = result["protocol"]["headline"]
    table = make_table("corruption", ">top-1", ">lost", ">95% interval", "what is done to the clips")
    rows = sorted(result.get("corruptions", ()), key=lambda row: -row["lost_top1"])
    for row in rows:
        name = row["name"] if row["severity"] is None else f"{row['name']}:{row['severity']}"
        low_high = row["lost_top1_interval"]
        interval = "-" if low_high is None else f"{low_high[0]:.4f} to {low_high[1]:.4f}"
        table.add_row(name, f"{row[level]['top1']:.4f}", f"{row['lost_top1']:.4f}", interval, row["description"])
    if rows:
        console.print(f"top-1 {result[level]['top1']:.4f} over {level}s, and what is lost of it:")
        console.print(table)


def _print_cautions(console: Console, result: dict[str, Any]) -> None:
    """What a reader of the figures has to know."""
    from actrec_zoo.cli.display import printable

    if left_out := result.get("left_out"):
        videos, classes = sum(left_out.values()), ", ".join(map(printable, left_out))
        console.print(f"left out by --map-labels, videos of {classes}: {videos}")
    protocol, expected = result["protocol"], result["n_expected"]
    if result["coverage"] < 1:
        share = min(result["coverage"], 0.9999)  # which is not rounded to all
        unread = f"{result['n_failed']} of {expected} videos could not be read"
        console.print(f"coverage {share:.4f}: {unread}, and count as wrong", style=_WRONG)
    if protocol["seen"]:
        seen = f"{protocol['seen']} of {expected} videos are among those that the run trained on or chose its epoch by"
        console.print(f"{seen}: these figures are no test results", style=_WRONG)
    elif protocol["seen"] is None:
        console.print("whether the model was trained on these videos is not known", style=_UNSURE)


def _lines_below(result: dict[str, Any]) -> Iterator[str]:
    """What the table of the levels leaves open: its marks, figures over classes, coverage, confusions."""
    from actrec_zoo.evaluation.metrics import TOP_K

    drawn, protocol = result["intervals"], result["protocol"]
    units = f"{drawn['n_units']} {drawn['units']}"
    brackets = f"[ ]: {100 * drawn['level']:g} % intervals over {units}"
    if drawn["video"]["top1"] is None:
        brackets = f"{units} are too few for intervals"
    yield f"*: the level to quote; {brackets}"
    means = ", ".join(
        f"{name} {_figure(result[key], drawn['video'][key])}"
        for name, key in (("mean-class accuracy", "mean_class_accuracy"), ("macro F1", "macro_f1"))
    )
    if len(result["labels"]) <= TOP_K:
        yield f"{protocol['top5']}: right for every video that could be read"
    present = sum(row["support"] > 0 for row in result["per_class"])
    without = "" if present == len(result["labels"]) else f", over the {present} of {len(result['labels'])} with videos"
    precision, error = _figure(result["mean_average_precision"]), _figure(result["calibration"]["ece"])
    yield f"video level: {means}, mAP {precision}, ECE {error}{without}"
    if pairs := result["confused"][:_PAIRS]:
        yield "most confused: " + ", ".join(f"{pair['true']} as {pair['predicted']} {pair['n']}" for pair in pairs)


def _figure(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A figure with its interval, where it has them."""
    if value is None:
        return "-"
    return f"{value:.4f}" if interval is None else f"{value:.4f} [{interval[0]:.2f}, {interval[1]:.2f}]"
