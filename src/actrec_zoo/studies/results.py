"""What the runs of a study gave, put together: study.json, from which the table and the curves are made."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from actrec_zoo.data.layouts import data_name, read_csv
from actrec_zoo.errors import ActrecZooError
from actrec_zoo.fitting import meta_network
from actrec_zoo.hub.packing import library_versions
from actrec_zoo.runs.record import RunRecord
from actrec_zoo.spec import Reference
from actrec_zoo.studies.ledger import Ledger
from actrec_zoo.studies.origin import read_origin
from actrec_zoo.studies.plan import Plan, PlannedRun
from actrec_zoo.studies.standing import record_of, state_of
from actrec_zoo.training.parameters import set_trainable

STUDY_FILE = "study.json"
_FORMAT = 1
_log = logging.getLogger(__name__)


def collect(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """All figures of a study, as study.json has them; ratios are 0..1.

    A model that was not asked for is there where its runs are, and have the settings that it has now, or have failed.
    """
    models = [_model(plan, name, ledger) for name in plan.study.models]
    return {
        "format": _FORMAT,
        "study": plan.name,
        "title": plan.study.title,
        "data": data_name(plan.path),
        "division": read_origin(plan.splits)["division"],
        "videos": {file.stem: _rows(file) for file in sorted(plan.splits.glob("*.csv"))},
        "protocol": _in_common([model["protocol"] for model in models if model["protocol"]]),
        "models": [model for model in models if model["name"] in plan.chosen or _is_told_of(model)],
        "versions": _versions(models),
    }


def _is_told_of(model: Mapping[str, Any]) -> bool:
    """Whether there is anything to say of a model that was not asked for."""
    return bool(model["finished"]) or any(run["error"] for run in model["runs"])


def _model(plan: Plan, name: str, ledger: Ledger) -> dict[str, Any]:
    """A model over its seeds."""
    planned = [run for run in plan.runs if run.entry == name]
    records = {run: record for run in planned if (record := _finished(plan, run)) is not None}
    evaluations = [record.evaluation for record in records.values() if record.evaluation]
    first = planned[0]
    return {
        "name": name,
        "model": first.model.id,
        "settings": {key: _plain(value) for key, value in first.settings.items()},
        "published": _published(first.published, plan),
        "finished": len(records),
        "protocol": evaluations[0]["protocol"] if evaluations else None,
        "epochs": sorted({record.epochs for record in records.values()}),
        "trained_parameters": next((_trained(run, len(records[run].labels)) for run in records), None),
        "seconds": _sum([ledger.seconds(run.name) for run in records]),
        "clip": _level([evaluation["clip"] for evaluation in evaluations]),
        "video": _level([evaluation["video"] for evaluation in evaluations]),
        "interval": evaluations[0].get("intervals") if len(evaluations) == 1 else None,
        "runs": [_run(run, records.get(run), ledger) for run in planned],
    }


def _in_common(protocols: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the protocols of all models have alike; None where there is none."""
    if not protocols:
        return None
    return {k: v for k, v in protocols[0].items() if all(k in other and other[k] == v for other in protocols)}


def _versions(models: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the runs were measured with: one version each of Python and the libraries, or several."""
    told = [run["versions"] for model in models for run in model["runs"] if run["done"]]
    return {name: sorted({versions[name] for versions in told if name in versions}) for name in library_versions()}


def _finished(plan: Plan, run: PlannedRun) -> RunRecord | None:
    """The record of a run that is done, with the settings it has now; None for any other."""
    try:
        return record_of(run) if state_of(run, plan) == "done" else None
    except ActrecZooError as error:
        _log.debug("left out: %s", error)
        return None


def _run(run: PlannedRun, record: RunRecord | None, ledger: Ledger) -> dict[str, Any]:
    found = record.evaluation if record is not None else None
    return {
        "name": run.name,
        "folder": f"runs/{run.name}",
        "seed": run.seed,
        "done": found is not None,
        "error": None if found else ledger.error(run.name),
        "seconds": ledger.seconds(run.name),
        "best_epoch": int(record.best["epoch"]) if record is not None and record.best else None,
        **{key: found[key] if found else None for key in ("n_expected", "n_failed", "clip", "video", "versions")},
    }


def _level(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mean and sample standard deviation over seeds; no deviation of one."""
    if not levels:
        return None
    figures: dict[str, Any] = {"seeds": len(levels), "n": sorted({level["n"] for level in levels})}
    for name in ("top1", "top5"):
        values = [float(level[name]) for level in levels]
        figures[name] = {"mean": fmean(values), "spread": stdev(values) if len(values) > 1 else None}
    return figures


def _published(reference: Reference | None, plan: Plan) -> dict[str, Any] | None:
    """A figure of somebody else, and whether it is at least of the same data set."""
    if reference is None:
        return None
    names = {data_name(plan.path).casefold(), str(plan.data.classes).casefold()}
    return {**asdict(reference), "same_data": reference.dataset.casefold() in names}


@functools.cache
def _trained(run: PlannedRun, classes: int) -> int | None:
    """Number of parameters that train; None where the network cannot be built without memory."""
    model, config = run.model, run.config
    try:
        net = meta_network(model, classes, config.input_of(model.spec), config.options)
        set_trainable(net, model.spec, config.trainable_of(model.spec))
    except Exception as error:  # a plugin's builder may raise anything, and this is only a count
        _log.debug("the parameters of %s cannot be counted: %s", run.name, error)
        return None
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def _sum(values: Sequence[float | None]) -> float | None:
    """Of all of them; None where one is not known, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rows(file: Path) -> int:
    return sum(1 for _ in read_csv(file))
