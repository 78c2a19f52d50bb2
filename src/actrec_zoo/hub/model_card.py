"""The card of a model: its description, its author's prose and what was counted, as the Hub's Markdown."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from actrec_zoo.config import Layer, resolve
from actrec_zoo.cost import Cost
from actrec_zoo.hub.markdown import (
    bullets,
    front_matter,
    hub_repositories,
    input_table,
    plain,
    sections,
    table,
    written,
)
from actrec_zoo.registry import RegisteredModel
from actrec_zoo.spec import ModelSpec, Reference, WeightsRef, as_published

_NOT_OF_THE_RECIPE = {
    *("model", "data", "splits", "allow_leak", "ratios", "weights", "backbone_weights", "options", "trainable"),
    *(
        "accumulate",
        "cache_features",
        "channels_last",
        "checkpoint_activations",
        "checkpoint_steps",
        "keep_checkpoints",
        "compile",
        "parallel",
        "eval_batch_size",
        "precision",
        "features_dtype",
        "feature_views",
        "objective",
        "trainer",
        "seed",
        "device",
        "workers",
        "profile",
    ),
}
_ONLY_WITH = {"momentum": ("optimizer", "sgd"), "milestones": ("schedule", "step"), "gamma": ("schedule", "step")}
"""Settings that another one switches on: named only where it has this value."""

_ONLY_WHERE_GIVEN = {
    *("layer_decay", "no_decay", "nesterov", "betas", "eps", "min_lr", "warmup_lr", "mixup", "cutmix", "balance"),
    *("randaugment_ops", "randaugment_magnitude", "erasing", "resize", "normalize"),
}
"""Settings that most models leave as they are: named only where the model gives them."""


def render_model_card(model: RegisteredModel, prose: Mapping[str, str], cost: Cost) -> str:
    """The card of a model as Markdown.

    Nothing was measured with weights of this model, so the head has no model-index.

    Args:
        model: with its description.
        prose: what `read_prose` gives.
        cost: of its network.
    """
    spec = model.spec
    default = next(iter(spec.weights.values()), None)
    head = front_matter(
        spec.name,
        license=default.license if default else code_license(model.plugin.distribution),
        tags=[model.plugin.name],
        bases=hub_repositories(spec.weights.values()),
    )
    parts = {
        "Architecture": prose["Architecture"],
        "Origin": prose["Origin"],
        "Intended use": prose["Intended use"],
        "Limits": prose["Limits"],
        "Input": input_table(spec.input) + _frames(spec),
        "Options": _options(spec),
        "Parameters and compute": _compute(spec, cost),
        "Training recipe": _recipe(spec, cost),
        "Pretrained weights": _weights(spec.weights),
        "Published figure": _published(spec.reference),
        "Use": _use(model),
        "Licence": _licence(model),
        "Citation": prose["Citation"],
    }
    return f"{head}\n# {plain(spec.name)}\n\n{introduction(spec)}\n{sections(parts)}"


def introduction(spec: ModelSpec) -> str:
    """What comes before the first section: summary, architecture and notes."""
    notes = f"\n{bullets(map(plain, spec.notes))}\n" if spec.notes else ""
    return f"{plain(spec.summary)} ({plain(spec.architecture)}).\n{notes}"


def render_model_table(models: Sequence[tuple[RegisteredModel, Cost]]) -> str:
    """One row a model: what it is, what it costs, what trains, what is published."""
    columns = (
        *("model", "architecture", ">parameters", ">GFLOPs a clip", "frames x size", "what trains", "pretrained"),
        *(">published top-1", ">published top-5"),
    )
    return table(columns, (_row(model.spec, cost) for model, cost in models))


def code_license(distribution: str) -> str | None:
    """SPDX expression of the distribution that has a model's code, where it states one."""
    try:
        license = metadata(distribution).json.get("license_expression")  # noqa: A001
    except PackageNotFoundError:
        return None
    return None if license is None else str(license)


def usual_name(model: RegisteredModel) -> str:
    """The name that works everywhere: bare for models that come with actrec-zoo, else the id."""
    return model.spec.name if model.plugin.first_party else model.id


def _frames(spec: ModelSpec) -> str:
    if spec.any_frames:
        return "\n\nAny number of frames goes through one network (`--frames`)."
    return "\n\nThe network is built for its number of frames; `--frames` builds another."


def _options(spec: ModelSpec) -> str:
    if not spec.options:
        return "The architecture has none."
    rows = [(f"`{name}`", _default(name, value)) for name, value in spec.options.items()]
    return f"`--set options.NAME=VALUE`; `{spec.builder}` says what each does.\n\n{table(('option', 'default'), rows)}"


def _default(name: str, value: Any) -> str:
    if value is not None:
        return written(value)
    return "that of the input" if name in ("frames", "size") else "not set: the architecture decides"


def _compute(spec: ModelSpec, cost: Cost) -> str:
    share = 100 * cost.trained / cost.parameters
    rows = [
        (f"parameters, with {spec.num_classes} classes", f"{cost.parameters:,}"),
        ("of which train by default", f"{cost.trained:,} ({share:.3g} %)"),
        ("GFLOPs a clip", giga(cost.flops)),
        ("GMACs a clip", giga(cost.macs)),
    ]
    convention = (
        "A forward pass over one clip of the input above, counted with PyTorch's FLOP counter on convolutions, matrix "
        "products and attention. A multiply-add is two floating-point operations (FLOPs) and one MAC; papers often "
        "give MACs under the name of FLOPs."
    )
    return f"{table(('count', '>value'), rows)}\n\n{convention}"


def giga(count: float) -> str:
    """A count in thousands of millions, to four digits."""
    return f"{count / 1e9:#.4g}".rstrip(".")


def _recipe(spec: ModelSpec, cost: Cost) -> str:
    patterns = ", ".join(f"`{pattern}`" for pattern in spec.trainable)
    groups = ", ".join(f"`@{name}`" for name in spec.all_groups)
    rows = [(f"`{key}`", written(value), _origin(key, spec)) for key, value in _settings(spec).items()]
    return (
        f"What trains by default: {patterns}, {cost.trained:,} of {cost.parameters:,} parameters. `--trainable` takes "
        f"patterns over parameter names, and the groups {groups}.\n\n"
        f"{table(('setting', 'default', 'from'), rows)}"
    )


def _settings(spec: ModelSpec) -> dict[str, Any]:
    """What a run without flags trains with."""
    config = resolve(spec, [Layer("flag", {"model": spec.name, "data": ""})]).config.model_dump()
    return {
        key: value
        for key, value in config.items()
        if key not in _NOT_OF_THE_RECIPE and value not in (None, (), {}) and _in_force(key, config, spec)
    }


def _in_force(key: str, config: Mapping[str, Any], spec: ModelSpec) -> bool:
    if key in _ONLY_WHERE_GIVEN:
        return key in spec.defaults
    other, wanted = _ONLY_WITH.get(key, (key, config[key]))
    return bool(config[other] == wanted)


def _origin(key: str, spec: ModelSpec) -> str:
    return "this model" if key in spec.defaults else "every model"


def _weights(weights: Mapping[str, WeightsRef]) -> str:
    if not weights:
        return "None: training starts from random weights."
    return "\n\n".join(_weights_of(tag, reference) for tag, reference in weights.items())


def _weights_of(tag: str, weights: WeightsRef) -> str:
    kind, _, source = weights.source.partition(":")
    name, _, commit = source.partition("@")
    classes = "new with every training" if weights.num_classes is None else f"upstream's {weights.num_classes} classes"
    facts = {
        "source": f"{'Hugging Face Hub' if kind == 'hf' else kind}, `{name}`",
        "file": f"`{weights.file}` at commit `{commit}`" if commit else f"`{weights.url.rpartition('/')[2]}`",
        "address": f"<{weights.url}>",
        "trained on": weights.trained_on,
        "classifier": classes,
        "licence": weights.license,
        "upstream's figure": _figure(weights.reference) if weights.reference else "not quoted here",
    }
    return f"**`{tag}`**\n\n{table(('weights', tag), facts.items())}"


def _published(reference: Reference | None) -> str:
    unmeasured = "No weights trained with this code are published, so there is no measured result in this card."
    if reference is None:
        return f"None for this model. {unmeasured}"
    return f"{_figure(reference)}. Quoted, not measured with this code. {unmeasured}"


def _figure(reference: Reference) -> str:
    top5 = "" if reference.top5 is None else f", top-5 {as_published(reference.top5)} %"
    return (
        f"top-1 {as_published(reference.top1)} %{top5} on {reference.dataset} ({reference.protocol}), as published by "
        f"{reference.source}"
    )


def _use(model: RegisteredModel) -> str:
    name, spec = usual_name(model), model.spec
    run = f"runs/{spec.name}"
    return f"""```console
$ pip install {model.plugin.distribution}
$ actrec-zoo train {name} --data my-data --out {run}
$ actrec-zoo eval {run} --data my-data
$ actrec-zoo predict {run} clip.mp4
```

`my-data` holds a folder of videos a class. In Python:

```python
import actrec_zoo

run = actrec_zoo.train("{name}", "my-data", out="{run}")
report = actrec_zoo.evaluate(run.path, "my-data")
model = actrec_zoo.load("{run}")
print(model.predict("clip.mp4", top_k=3))
{_first_weights(name, spec)}
```"""


def _first_weights(name: str, spec: ModelSpec) -> str:
    """Lines that load the model before any training."""
    if not spec.weights:
        return f"""
# With random weights:
model = actrec_zoo.load("{name}", weights=None, num_classes={spec.num_classes})"""
    kept = next(iter(spec.weights.values())).num_classes
    own = f"""
# With upstream's weights, classifier and {kept} classes:
model = actrec_zoo.load("{name}", weights="pretrained")
"""
    return f"""{own if kept else ""}
# With upstream's weights and a new classifier:
model = actrec_zoo.load("{name}", weights="pretrained", num_classes={spec.num_classes})"""


def _licence(model: RegisteredModel) -> str:
    lines = [license_of_code(model.plugin.distribution)]
    lines += [f"Weights `{tag}`: {weights.license}." for tag, weights in model.spec.weights.items()]
    if model.spec.weights:
        lines.append("Weights trained from pretrained ones derive from them: their licence comes on top of the code's.")
    return bullets(lines)


def license_of_code(distribution: str) -> str:
    """A line on the licence of the code."""
    return f"Code: {code_license(distribution) or 'see the distribution'} (`{distribution}`)."


def _row(spec: ModelSpec, cost: Cost) -> Sequence[str]:
    reference = spec.reference
    return (
        f"`{spec.name}`",
        spec.architecture,
        f"{cost.parameters:,}",
        giga(cost.flops),
        f"{spec.input.frames} x {spec.input.size}",
        ", ".join(f"`{pattern}`" for pattern in spec.trainable),
        ", ".join(f"`{tag}`" for tag in spec.weights) or "-",
        as_published(reference.top1) if reference else "-",
        as_published(reference.top5) if reference and reference.top5 is not None else "-",
    )
