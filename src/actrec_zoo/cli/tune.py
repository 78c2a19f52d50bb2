"""`actrec-zoo tune`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from actrec_zoo.cli.options import classes, data_format
from actrec_zoo.cli.train import assigned
from actrec_zoo.errors import ConfigError

if TYPE_CHECKING:
    from actrec_zoo.tuning import Tuned
    from actrec_zoo.tuning.trials import Trial

_SHOWN = 10


@click.command("tune")
@click.argument("model")
@click.option("--data", required=True, metavar="DATA", help="Folder with a folder a class, CSV file, or hf:org/name.")
@data_format
@classes
@click.option("--splits", metavar="DIR", help="Folder with train.csv, val.csv, test.csv.")
@click.option("--out", metavar="DIR", help="Folder of the search; tune/MODEL without it.")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True, help="Trainings in all.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="No epoch begins after so many.")
@click.option("--epochs", type=int)
@click.option("--batch-size", type=int)
@click.option("--feature-views", type=int, metavar="K", help="Keep frozen features of K versions of each clip.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated.")
@click.option("--config", metavar="FILE.toml", help="Settings from a file; flags win.")
@click.option("--seed", type=int)
@click.option("--device", metavar="auto|cpu|cuda|mps")
@click.option("--workers", type=int, help="Decoding processes.")
@click.option("--resume", is_flag=True, help="Continue the search in --out.")
def command(
    model: str,
    data: str,
    out: str | None,
    trials: int,
    seconds: float | None,
    config: str | None,
    resume: bool,
    assignments: tuple[str, ...],
    **flags: Any,
) -> None:
    """Search learning rate, weight decay and head options of MODEL over frozen features."""
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.tuning import tune

    settings = assigned(assignments)
    given = {key: value for key, value in flags.items() if value is not None}
    twice = sorted(settings.keys() & given.keys())
    if twice:
        raise ConfigError(f"{twice[0]} is given twice, by --set and by a flag of its own: leave one out")
    show_log()
    with ProgressDisplay() as display:
        found = tune(
            model,
            data,
            trials=trials,
            seconds=seconds,
            out=out,
            config=config,
            resume=resume,
            told=_report,
            track=display.track,
            **settings,
            **given,
        )
    _summarise(found, model, data)


def _report(trial: Trial) -> None:
    outcome = trial.error or f"val top-1 {trial.val_top1:.4f} loss {trial.val_loss:.4f} (epoch {trial.epoch})"
    click.echo(f"trial {trial.number:3d}  {outcome}  {_shown(trial)}  {trial.seconds:.1f} s")


def _shown(trial: Trial) -> str:
    return " ".join(f"{name.removeprefix('options.')}={_short(value)}" for name, value in trial.settings.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _summarise(found: Tuned, model: str, data: str) -> None:
    from actrec_zoo.cli.display import make_console, make_table
    from actrec_zoo.tuning import BEST_FILE

    names = list(found.best.settings)
    table = make_table(
        ">trial", ">val top-1 (video)", ">val loss", ">epoch", *(f">{name.removeprefix('options.')}" for name in names)
    )
    for trial in sorted(found.trials, key=lambda trial: trial.rank, reverse=True)[:_SHOWN]:
        if not trial.error:
            figures = (str(trial.number), f"{trial.val_top1:.4f}", f"{trial.val_loss:.4f}", str(trial.epoch))
            table.add_row(*figures, *(_short(trial.settings[name]) for name in names))
    console = make_console()
    console.print(table)
    command = ("actrec-zoo", "train", model, "--data", data, "--config", str(found.path / BEST_FILE))
    console.print(f"Next: {shlex.join(command)}")
