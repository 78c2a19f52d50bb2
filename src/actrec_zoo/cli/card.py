"""`actrec-zoo card`."""

from pathlib import Path

import click

CARDS_FOLDER = Path("model_cards")
_FOUND = 1
_File = click.Path(path_type=Path)


@click.command("card")
@click.argument("model", required=False)
@click.option("--check", is_flag=True, help="Compare the cards in the folder; exit with 1 where they differ.")
@click.option("--write", is_flag=True, help="Write the cards in the folder that differ.")
@click.option("--folder", type=_File, default=CARDS_FOLDER, show_default=True, help="Where the cards lie.")
@click.option("--page", type=_File, metavar="FILE", help="Markdown page with the table of the models, kept as well.")
@click.option("--plugin", metavar="NAME", help="Cards of this plugin's models; without it, of those that come along.")
def command(
    model: str | None, check: bool, write: bool, folder: Path, page: Path | None, plugin: str | None
) -> int | None:
    """Print the card of MODEL, a name or a run folder; or check or write the cards of all models."""
    if (model is not None) + check + write != 1:
        raise click.UsageError("give one of MODEL, --check and --write")
    if model is None:
        return _keep(folder, page, plugin, write=write)
    from actrec_zoo.cards import card
    from actrec_zoo.cli.display import printable

    click.echo(printable(card(model)), nl=False)
    return None


def _keep(folder: Path, page: Path | None, plugin: str | None, *, write: bool) -> int:
    """Check or write; 1 where a file still differs."""
    from actrec_zoo.cards import card_files, differences, write_cards

    files = card_files(folder, plugin=plugin, page=page)
    found = differences(files, folder)
    if write:
        changed = {path for kind, path in found if kind != "surplus"}
        write_cards(file for file in files if file.path in changed)
        for path in sorted(changed):
            click.echo(f"written: {path}")
        found = [(kind, path) for kind, path in found if kind == "surplus"]
    for kind, path in found:
        click.echo(f"{kind}: {path}")
    if found:
        click.echo(_advice(write))
    else:
        click.echo(f"{len(files)} files are as they should be")
    return _FOUND if found else 0


def _advice(write: bool) -> str:
    if write:
        return "A surplus file is the card of no model: remove it, or keep it elsewhere."
    return "`actrec-zoo card --write` with the same options writes what is missing or stale; remove what is surplus."
