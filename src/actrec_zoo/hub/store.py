"""The local store: which finished run answers to a model's name."""

import datetime
from pathlib import Path

from actrec_zoo.errors import RunError
from actrec_zoo.files import data_folder, read_json, write_json
from actrec_zoo.hub.package import CONFIG_FILE, WEIGHTS_FILE


def register(model_id: str, run: Path) -> None:
    """Let `model_id` lead to a finished run; the latest one counts.

    Raises:
        RunError: the store cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(_entry(model_id), {"model": model_id, "run": str(run.resolve()), "finished": now})


def find(model_id: str) -> Path | None:
    """The run that was registered last for a model, if it is still there."""
    run = _registered(model_id)
    return run if run is not None and (run / CONFIG_FILE).is_file() and (run / WEIGHTS_FILE).is_file() else None


def why_not(model_id: str) -> str:
    """Where the run was that a model's name led to and that is gone, or an empty string."""
    run = _registered(model_id)
    return f" (the run registered last, {run}, is gone: load it by its new path)" if run is not None else ""


def _registered(model_id: str) -> Path | None:
    file = _entry(model_id)
    if not file.is_file():
        return None
    try:
        return Path(read_json(file)["run"])
    except (RunError, KeyError, TypeError):
        return None


def _entry(model_id: str) -> Path:
    plugin, _, name = model_id.partition(":")
    return data_folder() / "store" / plugin / f"{name}.json"
