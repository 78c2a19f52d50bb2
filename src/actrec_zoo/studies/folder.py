"""The folder of a study: one look at all that is in it, before anything is written."""

from __future__ import annotations

from actrec_zoo.errors import RunError
from actrec_zoo.files import is_leftover, require_folder
from actrec_zoo.locking import LOCK_FILE
from actrec_zoo.studies.ledger import Ledger
from actrec_zoo.studies.origin import ORIGIN_FILE, UNFINISHED, division, require_origin
from actrec_zoo.studies.plan import Plan, PlannedRun
from actrec_zoo.studies.standing import State, state_of


def look(plan: Plan) -> list[tuple[PlannedRun, State]]:
    """The runs that are asked for, with what is there of each; nothing is written.

    Raises:
        RunError: the folder cannot be used, is none of a study or another study's, or a file in it cannot be read.
        ConfigError: the study, or a run that is asked for, was begun with other data, settings or another model.
        DataError: the list of classes, or the split files that are given, cannot be read.
    """
    if not is_begun(plan):
        division(plan)
        return [(run, "new") for run in plan.wanted]
    require_origin(plan)
    Ledger.read(plan.folder)
    return [(run, state_of(run, plan)) for run in plan.wanted]


def is_begun(plan: Plan) -> bool:
    """Whether the data are divided, which comes before everything else.

    Raises:
        RunError: the folder cannot be used, or holds something else.
    """
    require_folder(plan.folder)
    if (plan.splits / ORIGIN_FILE).is_file():
        return True
    found = sorted(plan.folder.iterdir()) if plan.folder.is_dir() else []
    others = [path.name for path in found if path.name not in (LOCK_FILE, UNFINISHED) and not is_leftover(path)]
    if others:
        raise RunError(
            f"--out {plan.folder} exists and is no study: it holds {', '.join(others[:3])}, and no "
            f"{plan.splits.name}/{ORIGIN_FILE}. Choose another folder"
        )
    return False
