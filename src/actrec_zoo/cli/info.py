"""`actrec-zoo info`."""

import dataclasses
import json

import click

from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import Reference, WeightsRef, as_published


@click.command("info")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str, as_json: bool) -> None:
    """Show what a MODEL is, its input, what trains, its defaults and weights."""
    found = get_registry().find(model)
    if as_json:
        click.echo(json.dumps({"id": found.id, **_plain(found)}, indent=2, default=str))
        return
    for heading, lines in _sections(found):
        click.echo(f"\n{heading}" if lines else heading)
        for line in lines:
            click.echo(f"  {line}")


def _plain(model: RegisteredModel) -> dict[str, object]:
    spec = model.spec
    values = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    for name in ("options", "groups", "defaults"):
        values[name] = dict(values[name])
    values["input"] = spec.input.to_dict()
    values["weights"] = {tag: dataclasses.asdict(ref) for tag, ref in spec.weights.items()}
    values["reference"] = dataclasses.asdict(spec.reference) if spec.reference else None
    return values


def _sections(model: RegisteredModel) -> list[tuple[str, list[str]]]:
    spec = model.spec
    named = [f"aliases: {', '.join(spec.aliases)}"] if spec.aliases else []
    return [
        (f"{model.id}: {spec.summary}", []),
        (
            "Model",
            [
                f"architecture: {spec.architecture}",
                f"parameters: {spec.parameters:,} with {spec.num_classes} classes",
                f"plugin: {model.plugin.distribution} {model.plugin.version}",
                *named,
            ],
        ),
        ("Input", _pairs(spec.input.to_dict())),
        ("Options (--set options.NAME=VALUE)", _pairs(spec.options)),
        ("Parameter groups (--trainable @NAME)", [f"@{n}: {', '.join(p)}" for n, p in spec.all_groups.items()]),
        ("Training defaults (--set NAME=VALUE)", _pairs({"trainable": list(spec.trainable), **spec.defaults})),
        ("Pretrained weights", _weights(model)),
        ("Published result", _reference(model)),
        ("Notes", list(spec.notes) or ["none"]),
    ]


def _pairs(values: object) -> list[str]:
    items = dict(values)  # type: ignore[call-overload]
    return [f"{key} = {value}" for key, value in items.items()] or ["none"]


def _weights(model: RegisteredModel) -> list[str]:
    lines = [line for tag, ref in model.spec.weights.items() for line in _lines_of_weights(tag, ref)]
    return lines or ["none: training starts from random weights"]


def _lines_of_weights(tag: str, ref: WeightsRef) -> list[str]:
    lines = [f"{tag}: {ref.source}, trained on {ref.trained_on}, {ref.license}, {ref.url}"]
    if ref.num_classes:
        lines.append(f"  with upstream's classifier of {ref.num_classes} classes, until the model is trained on others")
    if ref.reference:
        lines.append(f"  {_figure(ref.reference)}")
    return lines


def _reference(model: RegisteredModel) -> list[str]:
    reference = model.spec.reference
    return [f"{_figure(reference)}; not measured by this zoo"] if reference else ["none"]


def _figure(reference: Reference) -> str:
    top5 = f", top-5 {as_published(reference.top5)} %" if reference.top5 is not None else ""
    return (
        f"top-1 {as_published(reference.top1)} %{top5} on {reference.dataset} "
        f"({reference.protocol}), as published by {reference.source}"
    )
