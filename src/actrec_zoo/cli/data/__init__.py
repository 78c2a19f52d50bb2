"""`actrec-zoo data`: commands that look after a data set. Each is a module that is imported when it is called."""

import click

from actrec_zoo.spec import import_object

_COMMANDS = {
    "split": "actrec_zoo.cli.data.split:command",
    "check": "actrec_zoo.cli.data.check:command",
}


class _LazyGroup(click.Group):
    """Commands by reference."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_object(_COMMANDS[name])
        return command


@click.group("data", cls=_LazyGroup)
def command() -> None:
    """Prepare and check data sets."""
