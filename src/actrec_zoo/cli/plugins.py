"""`actrec-zoo plugins`, and `actrec-zoo plugins check`."""

from __future__ import annotations

import json

import click

from actrec_zoo.cli.table import format_table
from actrec_zoo.errors import PluginError
from actrec_zoo.plugin_manager import get_plugin_manager
from actrec_zoo.registry import RegisteredModel, get_registry

_FOUND = 1


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the plugins: where each comes from, whether it works, and why not."""
    if context.invoked_subcommand is not None:
        return
    registry, manager = get_registry(), get_plugin_manager()
    manager.check()
    rows = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": plugin.status,
            "models": [model.spec.name for model in registry.models if model.plugin is plugin],
            "error": plugin.error,
        }
        for plugin in manager.plugins
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("plugin", "distribution", "version", "status", "models", "error")
    cells = [[", ".join(v) if isinstance(v, list) else str(v) for v in row.values()] for row in rows]
    click.echo(format_table(columns, cells))


@command.command("check")
@click.argument("name")
@click.option("--size", type=click.IntRange(min=1), help="Input side in pixels, to save time; the spec's without it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(name: str, size: int | None, as_json: bool) -> int:
    """Check the model contract on every model of the plugin NAME, or on the model NAME.

    The rules are looked at with random weights; each one that is broken comes with what to do. Exit code 1: one is.
    """
    models = _models(name)
    from actrec_zoo.testing import examine_model

    reports = []
    for model in models:
        report = examine_model(model, size=size)
        reports.append(report)
        if not as_json:
            click.echo(f"{model.id}\n{report}\n")
    if as_json:
        click.echo(json.dumps([report.to_dict() for report in reports], indent=2))
    return 0 if all(report.passed for report in reports) else _FOUND


def _models(name: str) -> list[RegisteredModel]:
    """All models of a plugin, or the one model."""
    registry = get_registry()
    plugin = next((plugin for plugin in get_plugin_manager().plugins if plugin.name == name), None)
    if plugin is None:
        return [registry.find(name)]
    if plugin.status != "ok":
        raise PluginError(f"plugin {name!r} is {plugin.status}: {plugin.error}")
    models = [model for model in registry.models if model.plugin is plugin]
    if not models:
        raise PluginError(f"plugin {name!r} has no models to check")
    return models
