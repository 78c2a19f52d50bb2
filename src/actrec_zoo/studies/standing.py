"""How far a run of a study is, and whether what lies in its folder is the study's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from actrec_zoo.config import Resolved
from actrec_zoo.data.layouts import place_of
from actrec_zoo.data.manifest import SPLIT_NAMES
from actrec_zoo.errors import ConfigError
from actrec_zoo.evaluating import protocol_told
from actrec_zoo.evaluation.identity import identity, split_digest
from actrec_zoo.files import is_leftover
from actrec_zoo.hub.package import read_package
from actrec_zoo.locking import LOCK_FILE
from actrec_zoo.runs.record import EVALUATION, WEIGHTS, RunRecord, read_run
from actrec_zoo.studies.plan import SPLIT, Plan, PlannedRun
from actrec_zoo.training.run import RunFolder, refuse_changes

State = Literal["new", "interrupted", "trained", "done"]
"""What is there of a run: nothing, a part of its training, the whole of it, its evaluation too."""

_WAY_ON = "Choose another --out, or remove that folder"


def record_of(run: PlannedRun) -> RunRecord | None:
    """What lies in the folder of a run; None where nothing was written."""
    folder = run.folder
    if not folder.is_dir() or all(path.name == LOCK_FILE or is_leftover(path) for path in folder.iterdir()):
        return None
    return read_run(folder)


def state_of(run: PlannedRun, plan: Plan) -> State:
    """How far a run is.

    Raises:
        ConfigError: it was begun with another model, other settings or other data.
        RunError: its files cannot be read.
    """
    record = record_of(run)
    if record is None:
        return "new"
    _require_same_model(run)
    _require_same_settings(run)
    _require_same_data(run, plan)
    if not _is_trained(record):
        return "interrupted"
    return "trained" if next(differences(run, record, plan), None) else "done"


def differences(run: PlannedRun, record: RunRecord, plan: Plan) -> Iterator[str]:
    """What the evaluation of a finished run says that the study's would not, in words; nothing where it is that.

    Figures under corruptions, which stand beside the others, make no difference.
    """
    found = record.evaluation
    if found is None:
        yield "there is none"
        return
    asked = _asked(run, record, plan, found["protocol"].get("seen") if plan.data.allow_leak else 0)
    for key, value in asked.items():
        theirs = found.get(key)
        if isinstance(value, Mapping) and isinstance(theirs, Mapping):
            yield from (
                f"{key}.{name} is {theirs.get(name)!r}, not {value.get(name)!r}"
                for name in {**value, **theirs}
                if theirs.get(name) != value.get(name)
            )
        elif theirs != value:
            yield f"{key} is another" if theirs else f"there is no {key}"


def _asked(run: PlannedRun, record: RunRecord, plan: Plan, seen: int | None) -> dict[str, Any]:
    """What eval.json says of the evaluation of a study, as JSON has it."""
    spec = read_package(run.folder).input
    told = protocol_told(plan.path, SPLIT, plan.study.how, spec=spec, classes=len(record.labels), seen=seen)
    asked = {
        "model": run.model.id,
        "protocol": told,
        "identity": identity(run.folder / WEIGHTS, split_digest(plan.splits / f"{SPLIT}.csv"), plan.path),
        "labels": record.labels,
        "label_map": None,
    }
    return dict(json.loads(json.dumps(asked)))


def _is_trained(record: RunRecord) -> bool:
    """Whether the training is whole; an evaluation that is damaged can be made again."""
    evaluation = str(record.path / EVALUATION)
    return (record.path / WEIGHTS).is_file() and all(evaluation in problem for problem in record.problems)


def _require_same_model(run: PlannedRun) -> None:
    before = RunFolder(run.folder, fresh=False).settings().values.get("model")
    if before != run.model.id:
        raise ConfigError(f"{run.folder} is a run of {before}, and the study has {run.model.id} there. {_WAY_ON}")


def _require_same_settings(run: PlannedRun) -> None:
    before = RunFolder(run.folder, fresh=False).settings()
    after = run.resolved
    if after.config.batch_size == "auto":  # it was chosen when the run began
        chosen = {"batch_size": before.values.get("batch_size", "auto")}
        after = Resolved(after.config.model_copy(update=chosen), after.origins)
    try:
        refuse_changes(before, after)
    except ConfigError as error:
        raise ConfigError(
            f"{run.folder} was begun with other settings than the study has now: {error} {_WAY_ON}"
        ) from error


def _require_same_data(run: PlannedRun, plan: Plan) -> None:
    before = RunFolder(run.folder, fresh=False).settings().values
    then = {"data": place_of(str(before.get("data"))), "data_format": before.get("data_format")}
    now = {"data": place_of(plan.path), "data_format": plan.data.data_format}
    changed = [f"{key} {then[key]} -> {now[key]}" for key in now if then[key] != now[key]]
    for name in (f"{part}.csv" for part in SPLIT_NAMES):
        own, of_the_study = run.folder / "splits" / name, plan.splits / name
        if own.is_file() and _videos(own) != _videos(of_the_study):
            changed.append(f"{own} has other videos than {of_the_study}")
    if changed:
        raise ConfigError(f"{run.folder} was begun with other data than the study has: {'; '.join(changed)}. {_WAY_ON}")


def _videos(file: Path) -> str | None:
    return split_digest(file) if file.is_file() else None
