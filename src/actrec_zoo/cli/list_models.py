"""`actrec-zoo list`."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import click

from actrec_zoo.cli.table import format_groups
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import Reference

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def _count(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """A number of parameters, such as `94753`, `500k`, `40M` or `1.5G`."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgb]?)", text, re.IGNORECASE | re.ASCII)
    if found is None:
        raise click.BadParameter(f"{text!r} is no number of parameters: write it like 94753, 500k, 40M or 1.5G")
    return round(float(found[1]) * _UNITS[found[2].lower()])


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--architecture", metavar="PATTERN", help="Only architectures that match, such as '*resnet*'.")
@click.option("--plugin", metavar="NAME", help="Only models of this plugin.")
@click.option("--pretrained", is_flag=True, help="Only models with pretrained weights.")
@click.option("--min-params", metavar="N", callback=_count, help="Only models of at least N parameters, such as 500k.")
@click.option("--max-params", metavar="N", callback=_count, help="Only models of at most N parameters, such as 40M.")
@click.option(
    "--hub",
    metavar="[NAMESPACE]",
    is_flag=False,
    flag_value="",
    help="Models of actrec-zoo on the Hugging Face Hub instead; all, or those of a user or organisation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(pattern: str | None, hub: str | None, as_json: bool, **filters: Any) -> None:
    """List the models by architecture: all, or those that match PATTERN, such as 'r3d*', and pass the filters."""
    if hub is not None:
        _list_hub(hub, pattern, as_json, filters)
        return
    models = get_registry().matching(pattern, **filters)
    if as_json:
        click.echo(json.dumps([_as_json(model) for model in models], indent=2))
    elif models:
        _print_groups(models)
    else:
        given = [value for value in filters.values() if value is not None and value is not False]
        click.echo(_nothing(pattern, filtered=bool(given)))


def _list_hub(namespace: str, pattern: str | None, as_json: bool, filters: Mapping[str, Any]) -> None:
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.hub.listing import published

    if pattern is not None or any(value not in (None, False) for value in filters.values()):
        raise click.UsageError("--hub takes a namespace, and neither a pattern nor filters")
    models = published(namespace or None)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(model) for model in models], indent=2))
    elif not models:
        click.echo(f"there are no models of actrec-zoo on the Hub{f' in {namespace}' if namespace else ''}")
    else:
        table = make_table("model", "tags", "licence", "changed", ">downloads", "")
        for model in models:
            shown = (f"hf:{model.repository}", ", ".join(model.tags), model.license or "-", model.changed or "-")
            table.add_row(*map(printable, shown), str(model.downloads), "private" if model.private else "")
        make_console().print(table)


def _nothing(pattern: str | None, *, filtered: bool) -> str:
    called = "" if pattern is None else f" matches {pattern!r}"
    if filtered:
        return f"no model{called}{' and' if called else ''} passes all the filters"
    return f"no model{called}" if called else "there are no models"


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


def _print_groups(models: list[RegisteredModel]) -> None:
    groups: dict[str, list[list[str]]] = {}
    for model in models:
        groups.setdefault(model.spec.architecture, []).append(_row(model))
    columns = ("model", ">parameters", ">frames x size", "pretrained", ">published top-1")
    click.echo(format_groups(columns, groups))
    click.echo(
        "\nParameters are those with the classes that `actrec-zoo info MODEL` tells, 25 for most.\n"
        "Published figures are their authors' own."
    )


def _row(model: RegisteredModel) -> list[str]:
    spec = model.spec
    return [
        spec.name if model.plugin.first_party else model.id,
        f"{spec.parameters / 1e6:.2f} M",
        f"{spec.input.frames} x {spec.input.size}",
        ", ".join(spec.weights) or "-",
        _published(spec.reference),
    ]


def _published(reference: Reference | None) -> str:
    return f"{100 * reference.top1:.2f} ({reference.dataset})" if reference else "-"
