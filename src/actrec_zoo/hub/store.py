"""The local store: which finished run answers to a model's name."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from actrec_zoo.errors import RunError
from actrec_zoo.files import data_folder, read_json, write_json
from actrec_zoo.hub.package import CONFIG_FILE, WEIGHTS_FILE


@dataclass(frozen=True)
class Stored:
    """A run that answers to a model's name.

    Attributes:
        model: qualified id.
        run: folder; None where the entry is damaged.
        finished: when it was registered, ISO 8601.
        there: whether the run still is.
    """

    model: str
    run: Path | None
    finished: str
    there: bool


def entries() -> list[Stored]:
    """All of them, by model."""
    root = data_folder() / "store"
    models = sorted(f"{file.parent.name}:{file.stem}" for file in root.glob("*/*.json"))
    return [Stored(model, _registered(model), _finished(model), find(model) is not None) for model in models]


def remove(model_id: str) -> Path | None:
    """Let a model's name lead to no run; the run itself stays.

    Returns:
        The run that it led to; None where that was damaged.

    Raises:
        RunError: it led to none, or the store cannot be written.
    """
    file, run = _entry(model_id), _registered(model_id)
    try:
        file.unlink()
    except FileNotFoundError as error:
        raise RunError(
            f"the local store has no run of {model_id}: `actrec-zoo store list` shows what it has"
        ) from error
    except OSError as error:
        raise RunError(f"cannot remove {file}: {error.strerror}") from error
    return run


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
    run = _value(model_id, "run")
    return None if run is None else Path(run)


def _finished(model_id: str) -> str:
    return _value(model_id, "finished") or ""


def _value(model_id: str, key: str) -> str | None:
    """Of an entry; None where there is none, or it is damaged."""
    file = _entry(model_id)
    if not file.is_file():
        return None
    try:
        value = read_json(file)[key]
    except (RunError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


def _entry(model_id: str) -> Path:
    plugin, _, name = model_id.partition(":")
    return data_folder() / "store" / plugin / f"{name}.json"
