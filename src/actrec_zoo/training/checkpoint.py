"""Checkpoints: one safetensors file each, written whole or not at all, no pickle."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.optim import Optimizer

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.data.dataset import Failure
from actrec_zoo.errors import RunError
from actrec_zoo.files import write_atomically, write_text
from actrec_zoo.hub.package import write_weights
from actrec_zoo.training.state import Callback, EpochRecord, TrainingState
from actrec_zoo.weights import load_strictly

LAST = "last.safetensors"
BEST = "best.safetensors"
HISTORY = "history.csv"

_FORMAT = 1
_MODEL, _OPTIMIZER, _EMA = "model.", "optimizer.", "ema."


class Checkpoints(Callback):
    """Keeps checkpoints/last.safetensors (all of the state), checkpoints/best.safetensors (weights alone) and
    history.csv of a run.

    Args:
        run: folder of the run.
        resume: start from the last checkpoint, where there is one.
    """

    def __init__(self, run: Path, *, resume: bool = False) -> None:
        self._run = run
        self._folder = run / "checkpoints"
        self._resume = resume

    def on_start(self, state: TrainingState) -> None:
        """Restore the state when resuming."""
        if self._resume and (self._folder / LAST).is_file():
            load_checkpoint(self._folder / LAST, state)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Save the weights if the epoch is the best so far, then the state that says so, then the history."""
        if distributed.is_first() and state.best is state.history[-1]:
            write_weights(self._folder / BEST, state.answering.net.state_dict())
        save_checkpoint(self._folder / LAST, state)
        if distributed.is_first():
            write_history(self._run / HISTORY, state.history)

    def on_checkpoint(self, state: TrainingState) -> None:
        """Save the state in the middle of an epoch."""
        save_checkpoint(self._folder / LAST, state)

    def on_interrupt(self, state: TrainingState) -> None:
        """Save the state in the middle of an epoch."""
        save_checkpoint(self._folder / LAST, state)


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write the state of a run; of several processes the first one does, and all have to ask.

    Raises:
        RunError: the file cannot be written; the one before it is left as it was.
    """
    running = state.running.save()
    if not distributed.is_first():
        return
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in state.model.net.state_dict().items()}
    tensors |= _optimizer_tensors(state.optimizer)
    if state.ema is not None:
        tensors |= {f"{_EMA}{name}": tensor for name, tensor in state.ema.state_dict().items()}
    plain = {
        "format": _FORMAT,
        "epoch": state.epoch,
        "step": state.step,
        "steps": state.steps,
        "seconds": state.seconds,
        "running": running,
        "scaler": state.scaler.state_dict() if state.scaler is not None else None,
        "history": [asdict(record) for record in state.history],
        "best": asdict(state.best) if state.best else None,
        "failures": [list(failure) for failure in state.failures.values()],
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda file: safetensors.torch.save_file(contiguous, file, {"state": json.dumps(plain)}))


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Bring `state` to where the checkpoint was written.

    Raises:
        RunError: the file is damaged or belongs to another run.
    """
    plain, tensors = _read(path)
    if plain["steps"] != state.steps:
        raise RunError(f"{path} was written for other data: {plain['steps']} steps an epoch, now {state.steps}")
    _fill(path, state.model, tensors)
    _restore_optimizer(state.optimizer, tensors)
    if state.ema is not None:
        state.ema.load_state_dict({n.removeprefix(_EMA): t for n, t in tensors.items() if n.startswith(_EMA)})
    if state.scaler is not None and plain["scaler"] is not None:
        state.scaler.load_state_dict(plain["scaler"])
    state.epoch, state.step, state.seconds = plain["epoch"], plain["step"], plain["seconds"]
    state.running.restore(plain["running"])
    state.history = [EpochRecord(**record) for record in plain["history"]]
    state.best = EpochRecord(**plain["best"]) if plain["best"] else None
    state.failures = {failure[0]: Failure(*failure) for failure in plain["failures"]}


def load_model(path: Path, model: VideoClassifier) -> None:
    """Fill a model with the weights of a checkpoint.

    Raises:
        RunError: the file is damaged or belongs to another model.
    """
    _fill(path, model, _read(path)[1])


def write_history(path: Path, history: list[EpochRecord]) -> None:
    """Write history.csv, one row an epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EpochRecord.__dataclass_fields__)
    writer.writerows(asdict(record).values() for record in history)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[EpochRecord]:
    """Read history.csv.

    Raises:
        RunError: the file is not what `write_history` writes.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_record(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is not the history of a run: {error}") from error


def _record(row: dict[str, str]) -> EpochRecord:
    figures = {name: float(value) for name, value in row.items() if name != "epoch"}
    return EpochRecord(epoch=int(row["epoch"]), **figures)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain values and tensors of a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            plain: dict[str, Any] = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(f"cannot continue from {path}: {error}. Delete the run folder to start afresh.") from error
    if plain.get("format") != _FORMAT:
        raise RunError(f"{path} has format {plain.get('format')}, this actrec-zoo reads {_FORMAT}")
    return plain, tensors


def _fill(path: Path, model: VideoClassifier, tensors: dict[str, Tensor]) -> None:
    state = {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)}
    load_strictly(model.net, state, source=str(path))


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `optimizer.<index>.<name>`; its settings follow from the configuration."""
    return {
        f"{_OPTIMIZER}{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(_OPTIMIZER):
            index, _, name = key.removeprefix(_OPTIMIZER).partition(".")
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():  # fused optimizers take one order in memory
        values.update({name: _ordered_like(parameter, value) for name, value in values.items()})


def _ordered_like(parameter: Tensor, value: Any) -> Any:
    """A tensor of a parameter's shape in the order that the parameter has in memory."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
