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
    file = _entry(model_id)
    if not file.is_file():
        return None
    try:
        run = Path(read_json(file)["run"])
    except (RunError, KeyError, TypeError):
        return None
    return run if (run / CONFIG_FILE).is_file() and (run / WEIGHTS_FILE).is_file() else None


def _entry(model_id: str) -> Path:
    plugin, _, name = model_id.partition(":")
    return data_folder() / "store" / plugin / f"{name}.json"
