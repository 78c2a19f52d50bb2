"""`actrec-zoo train`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from actrec_zoo.cli.options import classes, data_format
from actrec_zoo.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from actrec_zoo.api import FinishedRun


def _number_or_word(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """A number as such; what is none is left for the settings to judge."""
    return int(value) if value is not None and value.isdecimal() else value


@click.command("train")
@click.argument("model")
@click.option("--data", required=True, metavar="DATA", help="Folder with a folder a class, CSV file, or hf:org/name.")
@data_format
@classes
@click.option(
    "--splits",
    metavar="DIR",
    help="Folder with train.csv, val.csv, test.csv; the data's own, or made, without it.",
)
@click.option("--allow-leak", is_flag=True, default=None, help="Train though the splits share a video or a group.")
@click.option("--out", metavar="RUN", help="Folder of the run; runs/MODEL without it.")
@click.option("--epochs", type=int)
@click.option("--batch-size", metavar="N|auto", callback=_number_or_word, help="Clips a step; auto: what memory holds.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--frames", type=int, help="Frames a clip.")
@click.option("--size", type=int, help="Input side in pixels.")
@click.option("--sampling", metavar="S", help="Training clips: blocks, random or uniform.")
@click.option("--trainable", multiple=True, metavar="PATTERN|@GROUP", help="What trains; may be repeated.")
@click.option(
    "--weights", metavar="REF", help="Where the weights start: pretrained (default), none, a run or hf:org/name."
)
@click.option("--backbone-weights", metavar="FILE", help="safetensors file for the backbone, instead of a download.")
@click.option("--feature-views", type=int, metavar="K", help="Keep frozen features of K versions of each clip.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated.")
@click.option("--config", metavar="FILE.toml", help="Settings from a file; flags win.")
@click.option("--seed", type=int)
@click.option("--device", metavar="auto|cpu|cuda|mps")
@click.option("--workers", type=int, help="Decoding processes.")
@click.option("--profile", is_flag=True, default=None, help="Measure where a step's time goes; write a trace.")
@click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Tell a tracker: tensorboard, wandb, mlflow or trackio; may be repeated.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--print-config", is_flag=True, help="Print the settings as TOML, with their origins, and stop.")
def command(
    model: str,
    data: str,
    out: str | None,
    config: str | None,
    resume: bool,
    assignments: tuple[str, ...],
    trainable: tuple[str, ...],
    trackers: tuple[str, ...],
    print_config: bool,
    **flags: Any,
) -> None:
    """Train MODEL on a folder of videos, leaving a run folder."""
    from actrec_zoo.api import resolve_settings, train
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.cli.reporter import Reporter
    from actrec_zoo.cli.settings import as_toml
    from actrec_zoo.cli.table import printable
    from actrec_zoo.distributed import is_first

    settings = _merged(assigned(assignments), {**flags, "trainable": trainable or None, "trackers": trackers or None})
    if print_config:
        resolved = resolve_settings(model, data, out=out, config=config, resume=resume, **settings)
        if is_first():
            click.echo(printable(as_toml(resolved)), nl=False)
        return
    show_log()
    with ProgressDisplay() as display:
        run = train(
            model,
            data,
            out=out,
            config=config,
            resume=resume,
            callbacks=[Reporter(display)] if is_first() else [],
            track=display.track,
            **settings,
        )
    if is_first():
        _summarise(run, data, {key: flags[key] for key in ("data_format", "classes") if flags[key]})


def assigned(texts: tuple[str, ...]) -> dict[str, Any]:
    """The settings of --set; what is no setting, or has an argument of its own, is refused."""
    from actrec_zoo.config import TrainConfig, parse_assignment

    settings = dict(parse_assignment(text) for text in texts)
    for key in settings:
        if key in ("model", "data"):
            raise ConfigError(f"--set {key}=...: {key} has an argument of its own, see `actrec-zoo train --help`")
        if key.partition(".")[0] not in TrainConfig.model_fields:
            raise ConfigError(f"there is no setting {key!r} (--set).{did_you_mean(key, TrainConfig.model_fields)}")
    return settings


def _merged(assigned: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The settings of --set and those that have flags of their own."""
    given = {key: value for key, value in flags.items() if value is not None}
    twice = sorted(assigned.keys() & given.keys())
    if twice:
        raise ConfigError(f"{twice[0]} is given twice, by --set and by a flag of its own: leave one out")
    return assigned | given


def _summarise(run: FinishedRun, data: str, chosen: Mapping[str, str]) -> None:
    from actrec_zoo.cli.display import make_console, make_table

    best = run.result.best
    console = make_console()
    table = make_table("run", ">best epoch", ">val top-1 (video)", ">val loss", ">unreadable videos")
    table.add_row(
        str(run.path), str(best.epoch), f"{best.val_top1:.4f}", f"{best.val_loss:.4f}", str(len(run.result.failures))
    )
    console.print(table)
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in chosen.items()]
    console.print(f"Next: {shlex.join(('actrec-zoo', 'eval', str(run.path), '--data', data, *flags))}")
