"""`actrec-zoo study`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from actrec_zoo.cli.options import classes, data_format
from actrec_zoo.errors import ConfigError

if TYPE_CHECKING:
    from actrec_zoo.studies import FinishedStudy, Plan

FOUND_SOMETHING = 1


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    if value is None:
        return ()
    seeds = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() for word in seeds):
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0,1,2")
    return tuple(map(int, seeds))


@click.command("study")
@click.argument("study")
@click.option("--data", metavar="DATA", help="Folder with a folder a class, CSV file, or hf:org/name.")
@data_format
@classes
@click.option("--splits", metavar="DIR", help="Folder with train.csv, val.csv, test.csv; made once without it.")
@click.option("--out", metavar="DIR", help="Folder of all results; studies/STUDY without it.")
@click.option("--models", multiple=True, metavar="NAME", help="Models of the study, all without it; may be repeated.")
@click.option("--seeds", metavar="N,N", callback=_seeds, help="Instead of the study's, as in 0,1,2.")
@click.option("--epochs", type=int, help="Of every run.")
@click.option("--set", "assignments", multiple=True, metavar="[MODEL.]KEY=VALUE", help="A setting; may be repeated.")
@click.option("--device", metavar="auto|cpu|cuda|mps")
@click.option("--workers", type=int, help="Decoding processes.")
@click.option("--fail-fast", is_flag=True, help="End with the first run that fails.")
@click.option("--dry-run", is_flag=True, help="Print the runs with their settings and what is done of them, and stop.")
def command(
    study: str,
    models: tuple[str, ...],
    assignments: tuple[str, ...],
    fail_fast: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Train and evaluate the models of STUDY, a TOML file or `report`, on one split, and write one table.

    The same command goes on where it was stopped. The exit code is 1 when a run failed.
    """
    from actrec_zoo.config import parse_assignment
    from actrec_zoo.studies import plan_study

    settings = dict(map(parse_assignment, assignments))
    for key in ("epochs", "device", "workers"):
        value = options.pop(key)
        if key in settings and value is not None:
            raise ConfigError(f"{key} is given twice, by --set and by a flag of its own: leave one out")
        settings |= {} if value is None else {key: value}
    plan = plan_study(study, models=models, settings=settings, **options)
    if dry_run:
        _show_plan(plan)
        return
    finished = _run(plan, fail_fast)
    _summarise(finished)
    if finished.failures:
        click.get_current_context().exit(FOUND_SOMETHING)


def _run(plan: Plan, fail_fast: bool) -> FinishedStudy:
    from actrec_zoo.cli.display import ProgressDisplay
    from actrec_zoo.cli.log import show_log
    from actrec_zoo.cli.study_reporter import StudyReporter
    from actrec_zoo.studies import run_plan

    show_log()
    with ProgressDisplay() as display:
        reporter = StudyReporter(display)
        return run_plan(plan, fail_fast=fail_fast, told=reporter, callbacks=[reporter], track=display.track)


def _show_plan(plan: Plan) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.studies import look

    table = make_table("run", "state", ">epochs", "settings of the study")
    for run, state in look(plan):
        settings = " ".join(f"{key}={value}" for key, value in run.settings.items())
        table.add_row(run.name, state, str(run.config.epochs), printable(settings))
    console = make_console()
    console.print(table)
    console.print(f"data {printable(plan.path)}, protocol {plan.study.how.name}, results in {plan.folder}")


def _summarise(finished: FinishedStudy) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.studies import CURVES, TABLE_FILE
    from actrec_zoo.studies.table import COLUMNS, cells, published_cells, published_columns

    table = make_table(*(COLUMNS[0], *(f">{name}" for name in (*COLUMNS[1:], *published_columns(finished.results)))))
    for model in finished.results["models"]:
        table.add_row(*cells(model), *published_cells(model))
    console = make_console()
    console.print(table)
    for name, error in finished.failures.items():
        console.print(f"failed: {name}: {printable(error)}")
    console.print(f"{finished.path / TABLE_FILE}, {finished.path / CURVES}.png; a card of each run: README.md in it")
