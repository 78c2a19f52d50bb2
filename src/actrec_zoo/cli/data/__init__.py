"""`actrec-zoo data`: commands about data sets, each imported when it is called."""

import click

from actrec_zoo.spec import import_object

_COMMANDS = {
    "inspect": "actrec_zoo.cli.data.inspect:command",
    "check": "actrec_zoo.cli.data.check:command",
    "split": "actrec_zoo.cli.data.split:command",
    "extract": "actrec_zoo.cli.data.extract:command",
    "pack": "actrec_zoo.cli.data.pack:command",
}


class _DataCommands(click.Group):
    """Commands by reference."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        command: click.Command | None = import_object(_COMMANDS[name]) if name in _COMMANDS else None
        return command


@click.group("data", cls=_DataCommands)
def command() -> None:
    """Look at a data set, check it, split it, or bring it into another form."""
