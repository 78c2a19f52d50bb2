"""`actrec-zoo pull`."""

import click

from actrec_zoo.hub.reference import PREFIX


@click.command("pull")
@click.argument("reference", metavar="REF")
def command(reference: str) -> None:
    """Download the model REF, `hf:org/name` or `hf:org/name@revision`, and check its bytes.

    It goes into huggingface_hub's cache; `eval`, `predict` and `load` take it from there, also without a network.
    """
    from actrec_zoo.cli.display import printable
    from actrec_zoo.hub.package import read_package
    from actrec_zoo.hub.remote import pull

    folder = pull(reference if reference.startswith(PREFIX) else f"{PREFIX}{reference}")
    package = read_package(folder)
    click.echo(f"{printable(package.model)}, {len(package.labels)} classes, commit {folder.name}")
    click.echo(str(folder))
