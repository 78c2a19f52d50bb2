"""README.md of a run: what the model is, what it was trained on, how it did, how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actrec_zoo.hub.markdown import (
    TASK,
    UNKNOWN,
    bullets,
    front_matter,
    hub_repositories,
    input_table,
    percent,
    plain,
    table,
)
from actrec_zoo.hub.model_card import introduction, license_of_code
from actrec_zoo.hub.package import Package
from actrec_zoo.hub.readme import marked_sections
from actrec_zoo.spec import ModelSpec, WeightsRef

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_LEVELS = ("video", "clip")
_UNINDEXED = {"train": "The model has learned from these videos", "val": "These videos chose the epoch"}
"""Splits whose figures say too much for the model, and why."""


@dataclass(frozen=True)
class Start:
    """The weights that a run began with.

    Attributes:
        told: what they are, in Markdown.
        license: theirs; None where the weights are nobody's.
        bases: repositories of the Hub that they come from.
    """

    told: str = "random weights"
    license: str | None = None
    bases: Sequence[str] = ()

    @staticmethod
    def upstream(tag: str, weights: WeightsRef) -> Start:
        """Pretrained weights that the model's description knows."""
        return Start(f"upstream's weights `{tag}` (<{weights.url}>)", weights.license, hub_repositories([weights]))

    @staticmethod
    def unknown(name: str, bases: Sequence[str] = ()) -> Start:
        """Weights of which nothing but the name is known."""
        return Start(plain(name), UNKNOWN, bases)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the files of a run say.

    Attributes:
        config: settings of the run.
        data: name of the data set.
        best: record of the epoch whose weights these are, where the trainer keeps a history.
        videos: how many there are, by split.
        start: the weights that it began with.
        report: what eval.json holds, where there is one.
    """

    config: Mapping[str, Any]
    data: str
    best: Mapping[str, Any] | None
    videos: Mapping[str, int]
    start: Start = field(default_factory=Start)
    report: Mapping[str, Any] | None = None


def render_card(
    spec: ModelSpec,
    package: Package,
    facts: RunFacts,
    *,
    repository: str | None = None,
    license: str | None = None,  # noqa: A002 (the Hub's word)
) -> str:
    """The card of a finished run as Markdown; the model-index comes from the run's eval.json and nothing else.

    What is ours is marked, so that it can be brought up to date among the words of others.

    Args:
        spec: of the model.
        package: the model's configuration.
        facts: about the run.
        repository: of the Hub that the card is for; None is the run's own folder.
        license: of the trained weights; None is that of the weights that the run began with.
    """
    name = f"{spec.name} trained on {' '.join(facts.data.split())}"
    head = front_matter(
        name,
        license=license or facts.start.license,
        tags=[package.model.partition(":")[0]],
        bases=facts.start.bases,
        results=_results(facts.report) if facts.report and not _obstacle(facts.report, facts.data) else (),
    )
    parts = {
        "Input": input_table(package.input),
        "Training": _training(package, facts, published=repository is not None),
        "Evaluation": _evaluation(facts.report, facts.data),
        "Use": _USE.format(f"hf:{repository}" if repository else "path/to/this/folder"),
        "Licence": _licence(facts.start, str(package.plugin.get("distribution") or "unknown"), license),
    }
    return f"{head}\n# {plain(name)}\n\n{introduction(spec)}\n{marked_sections(parts)}"


_USE = """```python
import actrec_zoo

model = actrec_zoo.load("{}")
print(model.predict("video.mp4"))
```"""


def _licence(start: Start, distribution: str, own: str | None) -> str:
    began = f"Training began with {start.told}"
    if own is not None:
        theirs = f" (their licence: {plain(start.license)})" if start.license else ""
        return bullets([license_of_code(distribution), f"Trained weights: {plain(own)}. {began}{theirs}."])
    if start.license is None:
        return bullets([license_of_code(distribution), f"{began}."])
    weights = (
        f"{began}; licence of the starting weights: {plain(start.license)}. The trained weights derive from them: "
        "that licence comes on top of the code's."
    )
    return bullets([license_of_code(distribution), weights])


def _training(package: Package, facts: RunFacts, *, published: bool) -> str:
    config, videos = facts.config, facts.videos
    text = (
        f"{videos.get('train', 0)} videos for training, {videos.get('val', 0)} for validation, {videos.get('test', 0)} "
        f"for testing, {len(package.labels)} classes; {config['epochs']} epochs, {config['optimizer']}, learning rate "
        f"{config['lr']}, batch size {config['batch_size']}, seed {config['seed']}."
    )
    text += "" if published else " run.json holds every setting."
    if facts.best is None:
        return text
    return (
        f"{text}\n\nValidation, epoch {facts.best['epoch']} (the best, whose weights these are), video level: top-1 "
        f"{facts.best['val_top1']:.4f} over {videos.get('val', 0)} videos. The validation set chose the epoch, so this "
        "is no test result."
    )


def _evaluation(report: Mapping[str, Any] | None, own_data: str) -> str:
    if report is None:
        return "Not evaluated yet: `actrec-zoo eval` writes eval.json, which is where test results come from."
    protocol = report["protocol"]
    rows = [
        (
            name,
            str(report[name]["n"]),
            *(_with_interval(report, name, key) for key in ("top1", "top5")),
            plain(protocol[name]),
        )
        for name in _LEVELS
    ]
    told = (
        f"Split {plain(protocol['split'])} of {plain(_data(report))}: {report['n_used']} of {report['n_expected']} "
        f"videos were read; unread ones count as wrong. Top-5 stands for {plain(protocol['top5'])}. Measured with this "
        f"code, in eval.json.{_intervals(report)}"
    )
    obstacle = _obstacle(report, own_data)
    kept_out = f"\n\n{obstacle}: the figures are not in the head of this card." if obstacle else ""
    columns = ("level", ">n", ">top-1 (%)", ">top-5 (%)", "protocol")
    return f"{table(columns, rows)}\n\n{told}{kept_out}"


def _with_interval(report: Mapping[str, Any], level: str, key: str) -> str:
    """A figure in percent, with its interval where eval.json has one."""
    interval = (report.get("intervals") or {}).get(level, {}).get(key)
    figure = percent(report[level][key])
    return figure if interval is None else f"{figure} [{', '.join(map(percent, interval))}]"


def _intervals(report: Mapping[str, Any]) -> str:
    """What the brackets in the table are, where there are any."""
    drawn = report.get("intervals")
    if not drawn or all(drawn[level][key] is None for level in _LEVELS for key in ("top1", "top5")):
        return ""
    units = f"{drawn['n_units']} {plain(drawn['units'])}"
    return f" In brackets: {100 * drawn['level']:g} % intervals, by bootstrap over {units}."


def _obstacle(report: Mapping[str, Any], own_data: str) -> str:
    """Why the figures are not for a model-index, or an empty string."""
    protocol, expected = report["protocol"], report["n_expected"]
    split, seen = protocol["split"], protocol.get("seen")
    if report["n_failed"]:
        return f"{report['n_failed']} of {expected} videos could not be read"
    if split in _UNINDEXED:
        return _UNINDEXED[split]
    if seen:
        return f"{seen} of {expected} videos are among those that the run trained on or chose its epoch by"
    if seen is None and split == "all" and protocol.get("data", own_data) == own_data:
        return "The model may have learned from these videos: eval.json does not say how many of them it has seen"
    return ""


def _results(report: Mapping[str, Any]) -> list[EvalResult]:
    """The figures of eval.json as the Hub's model-index has them, each with its protocol and counts."""
    from huggingface_hub import EvalResult

    protocol, data = report["protocol"], _data(report)
    settings = {
        key: protocol[key]
        for key in ("frames", "stride", "fps", "size", "sampling", "views", "crop")
        if protocol.get(key) is not None
    }
    ranks = (1, 5) if len(report["labels"]) > 5 else (1,)
    counts = {key: report[key] for key in ("n_expected", "n_used", "n_failed")}
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-") or "data",
            dataset_name=data,
            dataset_split=protocol["split"],
            dataset_args=settings,
            metric_type="accuracy",
            metric_name=f"top-{k}, {level} level",
            metric_value=report[level][f"top{k}"],
            metric_args={"k": k, "level": level, "protocol": protocol[level], "n": report[level]["n"], **counts},
        )
        for level in _LEVELS
        for k in ranks
    ]


def _data(report: Mapping[str, Any]) -> str:
    return " ".join(report["protocol"].get("data", "the data that was evaluated").split())
