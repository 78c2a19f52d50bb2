"""`actrec-zoo eval`."""

import json
from typing import Any

import click
from click.core import ParameterSource

from actrec_zoo.cli.options import classes, data_format

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
    per_class = make_table("class", ">precision", ">recall", ">videos")
    for row in result["per_class"]:
        per_class.add_row(
            printable(row["label"]), f"{row['precision']:.4f}", f"{row['recall']:.4f}", str(row["support"])
        )
    console.print(per_class)
    levels = make_table("level", ">n", ">top-1", ">top-5", ">loss", "protocol")
    for name in ("clip", "video"):
        level = result[name]
        loss = "-" if level["loss"] is None else f"{level['loss']:.4f}"
        figures = (f"{level['top1']:.4f}", f"{level['top5']:.4f}", loss)
        levels.add_row(name, str(level["n"]), *figures, result["protocol"][name])
    console.print(levels)
    console.print(
        f"{result['model']}, split {result['protocol']['split']}: {result['n_used']} of {result['n_expected']} videos "
        f"read, {result['n_failed']} failed (counted as wrong)"
    )
    for failure in result["failures"]:
        console.print(f"failed: {printable(failure['error'])}")
