"""The command line. Each command is a module that is imported when it is called; none imports torch before."""

import os
import sys
from collections import Counter

import click

from actrec_zoo._version import __version__
from actrec_zoo.errors import ActrecZooError, InterruptedRun, PluginError
from actrec_zoo.plugin_manager import Plugin, get_plugin_manager
from actrec_zoo.spec import import_object

BAD_INPUT = 2
INTERRUPTED = 130

_IN_SEVERAL_PROCESSES = ("train", "eval")
_COMMANDS = {
    "list": "actrec_zoo.cli.list_models:command",
    "info": "actrec_zoo.cli.info:command",
    "card": "actrec_zoo.cli.card:command",
    "plugins": "actrec_zoo.cli.plugins:command",
    "demo-data": "actrec_zoo.cli.demo_data:command",
    "data": "actrec_zoo.cli.data:command",
    "train": "actrec_zoo.cli.train:command",
    "tune": "actrec_zoo.cli.tune:command",
    "eval": "actrec_zoo.cli.evaluate:command",
    "compare": "actrec_zoo.cli.compare:command",
    "study": "actrec_zoo.cli.study:command",
    "cache": "actrec_zoo.cli.cache:command",
    "predict": "actrec_zoo.cli.predict:command",
    "pull": "actrec_zoo.cli.pull:command",
    "push": "actrec_zoo.cli.push:command",
    "runs": "actrec_zoo.cli.runs:command",
    "store": "actrec_zoo.cli.store:command",
}


class _LazyGroup(click.Group):
    """Commands by reference, then those of plugins."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*_COMMANDS, *_plugin_commands()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        command: click.Command | None = None
        if name in _COMMANDS:
            command = import_object(_COMMANDS[name])
        elif name in (others := _plugin_commands()):
            plugin, reference = others[name]
            command = _import_command(plugin, reference)
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 done and something was found, 2 bad input, 130 interrupted.",
)
@click.version_option(__version__, prog_name="actrec-zoo")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train, evaluate, load and share models for video action recognition."""
    command = context.invoked_subcommand
    if command in _COMMANDS and command not in _IN_SEVERAL_PROCESSES and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError(f"{command} runs in one process: start it without a launcher")


def main() -> None:
    """Run the command line; errors of the user's making end in one line and exit code 2."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = cli.main(prog_name="actrec-zoo", standalone_mode=False)
        _part()
    except click.ClickException as error:
        if not _is_first_of_machine():
            return 0  # so that the launcher lets the first one, which was called alike, say it
        error.show()
        return error.exit_code
    except ActrecZooError as error:
        _say(f"error: {error}", agreed=error.agreed)
        return BAD_INPUT
    except InterruptedRun as interruption:
        _say(str(interruption), agreed=interruption.agreed)
        return INTERRUPTED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    finally:
        _report_plugins()
    return result if isinstance(result, int) else 0


def _say(text: str, *, agreed: bool) -> None:
    """A line on stderr; what all processes of a run know, the first says, and the launcher ends none before."""
    if not agreed:
        click.echo(text, err=True)
        return
    from actrec_zoo.distributed import is_first, wait_for_all

    if is_first():
        click.echo(text, err=True)
    wait_for_all()


def _part() -> None:
    """Take leave of the other processes of a run, where there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from actrec_zoo.distributed import part

        part()


def _is_first_of_machine() -> bool:
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def _plugin_commands() -> dict[str, tuple[Plugin, str]]:
    """Plugin and reference of each command: by its name, or by `plugin:name` where the name is not the only one."""
    found = get_plugin_manager().collect("commands")
    uses = Counter([*_COMMANDS, *(spec.name for _, spec in found)])
    return {
        spec.name if uses[spec.name] == 1 else f"{plugin.name}:{spec.name}": (plugin, spec.builder)
        for plugin, spec in found
    }


def _import_command(plugin: Plugin, reference: str) -> click.Command | None:
    """A plugin's command; one that cannot be imported must not end `--help`."""
    try:
        command = import_object(reference)
        if isinstance(command, click.Command):
            return command
        plugin.fail("broken", f"{reference!r} is no click.Command")
    except PluginError as error:
        plugin.fail("broken", str(error))
    return None


def _report_plugins() -> None:
    """One line on stderr for each plugin that should work and does not, if plugins were looked at."""
    if get_plugin_manager.cache_info().currsize and not sys.stderr.closed and _is_first_of_machine():
        for plugin in get_plugin_manager().out_of_use():
            click.echo(f"warning: plugin {plugin.name!r} is {plugin.status}: {plugin.error}", err=True)
