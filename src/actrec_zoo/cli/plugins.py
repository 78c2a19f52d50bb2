"""`actrec-zoo plugins`."""

import json

import click

from actrec_zoo.cli.table import format_table
from actrec_zoo.plugin_manager import get_plugin_manager
from actrec_zoo.registry import get_registry


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the plugins: where each comes from, whether it works, and why not."""
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
