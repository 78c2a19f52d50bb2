"""`actrec-zoo push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from actrec_zoo.publishing import Publication


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="ORG/NAME")
@click.option("--private", is_flag=True, help="A repository that is made is private.")
@click.option("--revision", metavar="BRANCH", help="Branch, made where it is missing; the main one without it.")
@click.option("--tag", metavar="TAG", help="Of the commit, such as v1.")
@click.option("--create-pr", is_flag=True, help="Propose the commit in a pull request.")
@click.option("--license", metavar="LICENCE", help="Of the trained weights, such as cc-by-4.0.")
@click.option("--unevaluated", is_flag=True, help="Publish without an evaluation; the card says so.")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, ask nothing of the Hub, and stop.")
def command(
    run: Path,
    repository: str,
    private: bool,
    revision: str | None,
    tag: str | None,
    create_pr: bool,
    license: str | None,  # noqa: A002 (the Hub's word)
    unevaluated: bool,
    dry_run: bool,
) -> None:
    """Publish the finished run RUN on the Hugging Face Hub as ORG/NAME, in one commit.

    The token is huggingface_hub's own: `hf auth login`, or HF_TOKEN.
    """
    from actrec_zoo.hub.push import Destination
    from actrec_zoo.publishing import prepare, publish

    to = Destination(repository, private, revision, tag, create_pr)
    publication = prepare(run, to, unevaluated=unevaluated, license=license)
    _show(publication)
    if dry_run:
        click.echo("nothing was uploaded")
        return
    pushed = publish(publication)
    click.echo(f"{'pushed' if pushed.changed else 'nothing has changed'}: {pushed.url}")


def _show(publication: Publication) -> None:
    from actrec_zoo.cli.display import make_console, make_table

    to, sizes = publication.to, publication.sizes
    table = make_table("file", ">bytes")
    for name, size in sizes.items():
        table.add_row(name, f"{size:,}")
    console = make_console()
    console.print(table)
    branch = f", branch {to.revision}" if to.revision else ""
    tagged = f", tag {to.tag}" if to.tag else ""
    console.print(f"{sum(sizes.values()):,} bytes for {to.repository}{branch}{tagged}")
