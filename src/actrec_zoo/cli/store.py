"""`actrec-zoo store`."""

from pathlib import Path

import click


@click.group("store")
def command() -> None:
    """Look at and change which finished run answers to a model's name; `train` adds its runs."""


@command.command("list")
def list_runs() -> None:
    """List the models that have a run, and those of the index, which come first."""
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.hub import index, store

    table = make_table("model", "weights", "since")
    for name, entry in sorted(index.entries().items()):
        table.add_row(printable(name), f"index: {entry.told}", "-")
    for stored in store.entries():
        where = "damaged: `actrec-zoo store rm`" if stored.run is None else printable(str(stored.run))
        table.add_row(
            printable(stored.model), where if stored.there or not stored.run else f"{where} (gone)", stored.finished
        )
    make_console().print(table)


@command.command("add")
@click.argument("run", type=click.Path(path_type=Path))
def add(run: Path) -> None:
    """Let the name of its model lead to RUN, a finished run or a folder with a model."""
    from actrec_zoo.hub import store
    from actrec_zoo.hub.package import read_package, require_weights

    package = read_package(run)
    require_weights(package)
    store.register(package.model, run)
    click.echo(f"{package.model}: {run}")


@command.command("rm")
@click.argument("model")
def remove(model: str) -> None:
    """Let the name of MODEL lead to no run; the run itself stays."""
    from actrec_zoo.errors import UnknownNameError
    from actrec_zoo.hub import store
    from actrec_zoo.registry import get_registry

    try:
        name = get_registry().find(model).id
    except UnknownNameError:
        if ":" not in model:
            raise
        name = model  # of a plugin that is gone
    run = store.remove(name)
    click.echo(f"{name}: removed from the store{'' if run is None else f'; the run stays in {run}'}")
