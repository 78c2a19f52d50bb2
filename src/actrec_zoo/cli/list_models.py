"""`actrec-zoo list`."""

import json

import click

from actrec_zoo.cli.table import format_table
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import Reference


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(pattern: str | None, as_json: bool) -> None:
    """List the models, or those that match PATTERN, such as 'r3d*'."""
    models = get_registry().matching(pattern)
    if as_json:
        click.echo(json.dumps([_as_json(model) for model in models], indent=2))
    elif models:
        _print_table(models)
    else:
        click.echo("there are no models" if pattern is None else f"no model matches {pattern!r}")


def _as_json(model: RegisteredModel) -> dict[str, object]:
    spec, reference = model.spec, model.spec.reference
    return {
        "id": model.id,
        "name": spec.name,
        "plugin": model.plugin.name,
        "architecture": spec.architecture,
        "summary": spec.summary,
        "parameters": spec.parameters,
        "frames": spec.input.frames,
        "size": spec.input.size,
        "trainable": list(spec.trainable),
        "pretrained": list(spec.weights),
        "reference": reference
        and {
            "top1": reference.top1,
            "top5": reference.top5,
            "dataset": reference.dataset,
            "protocol": reference.protocol,
        },
    }


def _print_table(models: list[RegisteredModel]) -> None:
    columns = ("model", "architecture", ">parameters", ">frames x size", ">published top-1")
    rows = [
        (
            model.spec.name if model.plugin.first_party else model.id,
            model.spec.architecture,
            f"{model.spec.parameters / 1e6:.2f} M",
            f"{model.spec.input.frames} x {model.spec.input.size}",
            _published(model.spec.reference),
        )
        for model in models
    ]
    click.echo(format_table(columns, rows))
    click.echo("\nParameters with 25 classes. Published figures are those of their authors: `actrec-zoo info MODEL`.")


def _published(reference: Reference | None) -> str:
    return f"{100 * reference.top1:.2f} ({reference.dataset})" if reference else "-"
