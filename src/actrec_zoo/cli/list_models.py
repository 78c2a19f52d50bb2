"""`actrec-zoo list`."""

import json

import click

from actrec_zoo.registry import RegisteredModel, get_registry


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
    from actrec_zoo.cli.display import make_console, make_table

    table = make_table("model", "architecture", ">parameters", ">frames x size", ">published top-1")
    for model in models:
        spec = model.spec
        table.add_row(
            spec.name if model.plugin.first_party else model.id,
            spec.architecture,
            f"{spec.parameters / 1e6:.2f} M",
            f"{spec.input.frames} x {spec.input.size}",
            f"{100 * spec.reference.top1:.2f} ({spec.reference.dataset})" if spec.reference else "-",
        )
    console = make_console()
    console.print(table, markup=False)
    console.print("Parameters with 25 classes. Published figures are those of their authors: `actrec-zoo info MODEL`.")
