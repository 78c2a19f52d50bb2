"""Checkpoints: one safetensors file each, written whole or not at all, no pickle."""

import csv
import io
import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping
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
from actrec_zoo.data.feature_store import bytes_of
from actrec_zoo.errors import RunError
from actrec_zoo.files import write_atomically, write_text
from actrec_zoo.skeleton import untied_state
from actrec_zoo.training.sharding import divided, gathered
from actrec_zoo.training.state import Callback, EpochRecord, TrainingState
from actrec_zoo.weights import load_strictly

LAST = "last.safetensors"
BEST = "best.safetensors"
FROZEN = "frozen.safetensors"
HISTORY = "history.csv"

_FORMAT = 1
_MODEL, _OPTIMIZER, _EMA = "model.", "optimizer.", "ema."
_EPOCHS = "epoch-*.safetensors"

_log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Keeps checkpoints/last.safetensors (all of the state), checkpoints/best.safetensors (weights alone) and
    history.csv of a run, and checkpoints/epoch-NNNN.safetensors where more than the last state is kept. What does not
    train is in checkpoints/frozen.safetensors, written once.

    Args:
        run: folder of the run.
        resume: the checkpoint to start from.
        keep: epochs of which the state is kept; of the last one it is in last.safetensors.
    """

    def __init__(self, run: Path, *, resume: Path | None = None, keep: int = 1) -> None:
        self._run = run
        self._folder = run / "checkpoints"
        self._resume = resume
        self._keep = keep

    def on_start(self, state: TrainingState) -> None:
        """Restore the state when resuming, and the files that go with it."""
        if self._resume is None:
            distributed.from_first(lambda: (self._folder / FROZEN).unlink(missing_ok=True))
            return
        load_checkpoint(self._resume, state)
        if distributed.is_first():
            self._complete(state)
        if distributed.from_first(lambda: self._lacks_best(state)):
            save_best(self._folder / BEST, state)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Save the state, then its weights if the epoch is the best so far, then the history.

        A kill in between leaves a state that has the weights that were to follow.
        """
        save_checkpoint(self._folder / LAST, state)
        if state.best is state.history[-1]:
            save_best(self._folder / BEST, state)
        if distributed.is_first():
            self._keep_epochs(state.epoch)
            write_history(self._run / HISTORY, state.history)

    def _complete(self, state: TrainingState) -> None:
        """Write what goes with the state that was restored, since a kill may have come between the files."""
        if self._resume is not None and self._resume.name != LAST:
            _link(self._resume, self._folder / LAST)
        if state.epoch and not state.step:
            self._keep_epochs(state.epoch)
        if state.history:
            write_history(self._run / HISTORY, state.history)

    def _lacks_best(self, state: TrainingState) -> bool:
        """Whether the best weights so far are those of the state that was restored, and not in their file."""
        if state.best is None:
            return False
        path = self._folder / BEST
        try:
            found = _load(path)[0].get("epoch")
        except _DamagedError as error:
            reason = str(error)
        else:
            if found == state.best.epoch:
                return False
            reason = f"{path} has weights of epoch {found}"
        if state.best.epoch == state.epoch and not state.step:
            return True
        _log.warning(
            "warning: %s, and the best so far are those of epoch %d: the run ends in an error unless a later epoch is "
            "better",
            reason,
            state.best.epoch,
        )
        return False

    def _keep_epochs(self, epoch: int) -> None:
        """Let the state stay that was just saved, and the oldest go."""
        if self._keep > 1:
            _link(self._folder / LAST, self._folder / f"epoch-{epoch:04}.safetensors")
        kept = _epochs(self._folder)
        for path in kept if self._keep == 1 else kept[self._keep :]:
            path.unlink(missing_ok=True)

    def on_checkpoint(self, state: TrainingState) -> None:
        """Save the state in the middle of an epoch."""
        save_checkpoint(self._folder / LAST, state)

    def on_interrupt(self, state: TrainingState) -> None:
        """Save the state in the middle of an epoch."""
        save_checkpoint(self._folder / LAST, state)


def find_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from: the last one, or where it is damaged the newest of those of epochs that is whole.

    Args:
        folder: of a run's checkpoints; it need not exist.

    Returns:
        Its path; None where there is none.

    Raises:
        RunError: all are damaged, or the newest whole one is of another format.
    """
    found = [path for path in (folder / LAST, *_epochs(folder)) if path.is_file()]
    damage: list[_DamagedError] = []
    for path in found:
        try:
            _read(path)
        except _DamagedError as error:
            damage.append(error)
        else:
            for earlier in damage:
                _log.warning("warning: %s. The run goes on from %s", earlier, path)
            return path
    if damage:
        raise RunError(f"cannot continue: {'; '.join(map(str, damage))}. Delete the run folder to start afresh.")
    return None


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write the state of a run, and beside it, once, what does not train.

    Of several processes the first one writes, and all have to ask.

    Raises:
        RunError: the file cannot be written; the one before it is left as it was.
    """
    running = state.running.save()
    _keep_frozen(path.parent, state)
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in _changing(state.model, state).items()}
    tensors |= _optimizer_tensors(state.optimizer)
    if state.ema is not None:
        tensors |= {f"{_EMA}{name}": tensor for name, tensor in state.ema.state_dict().items()}
    whole = gathered(tensors)
    if not distributed.is_first():
        return
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
        "frozen": bool(_frozen_names(state)),
    }
    _save(path, plain, whole)


def save_best(path: Path, state: TrainingState) -> None:
    """Write what training changes of the weights of the best epoch, which is the last one; as `save_checkpoint`.

    Raises:
        RunError: the file cannot be written; the one before it is left as it was.
    """
    _keep_frozen(path.parent, state)
    best = gathered(_changing(state.answering, state))
    if distributed.is_first():
        _save(path, {"epoch": state.epoch, "frozen": bool(_frozen_names(state))}, best)


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


def read_best(folder: Path) -> dict[str, Tensor]:
    """The weights of the best epoch, whole.

    Args:
        folder: of the checkpoints of a run.

    Raises:
        RunError: a file is missing or damaged, or the weights are of another epoch.
    """
    plain, best = _load(folder / BEST)
    wanted = _header(folder / LAST)["best"]["epoch"]
    if plain.get("epoch", wanted) != wanted:
        raise RunError(
            f"{folder / BEST} has weights of epoch {plain['epoch']}, and those of epoch {wanted}, the best one, are "
            "lost. Delete the run folder to start afresh."
        )
    frozen = _read_frozen(folder, required=plain.get("frozen", False))
    return {**{name.removeprefix(_MODEL): tensor for name, tensor in frozen.items()}, **best}


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


class _DamagedError(RunError):
    """A checkpoint that is not what was written."""


def _epochs(folder: Path) -> list[Path]:
    """Checkpoints of epochs, the newest first."""
    return sorted(folder.glob(_EPOCHS), key=lambda path: (len(path.name), path.name), reverse=True)


def _link(path: Path, to: Path) -> None:
    """Give a file a second name, atomically; a copy where the file system has no links."""

    def link(temporary: Path) -> None:
        temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)

    if to.exists() and to.samefile(path):
        return  # a rename between two names of one file does nothing, and would leave the temporary one
    write_atomically(to, link)


def _frozen_names(state: TrainingState) -> set[str]:
    return {name for name, parameter in state.model.net.named_parameters() if not parameter.requires_grad}


def _changing(model: VideoClassifier, state: TrainingState) -> dict[str, Tensor]:
    """What of a network training changes: all but the parameters that do not train."""
    frozen = _frozen_names(state)
    return {name: tensor for name, tensor in untied_state(model.net).items() if name not in frozen}


def _keep_frozen(folder: Path, state: TrainingState) -> None:
    """Write the parameters that do not train, unless there are none or they have been written."""
    file, names = folder / FROZEN, _frozen_names(state)
    if not names or distributed.from_first(file.is_file):
        return
    frozen = {f"{_MODEL}{name}": tensor for name, tensor in untied_state(state.model.net).items() if name in names}
    whole = gathered(frozen)
    if distributed.is_first():
        notes = {"checksum": str(_checksum(whole))}
        write_atomically(file, lambda temporary: safetensors.torch.save_file(whole, temporary, notes))


def _read_frozen(folder: Path, *, required: bool) -> dict[str, Tensor]:
    """The parameters that do not train; none where all do."""
    file = folder / FROZEN
    if not file.is_file():
        if required:
            raise _DamagedError(f"{file} is missing: it has the weights that do not train")
        return {}
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
            if (opened.metadata() or {}).get("checksum") != str(_checksum(tensors)):
                raise ValueError("its checksum is wrong")
    except (SafetensorError, OSError, ValueError) as error:
        raise _DamagedError(f"{file} is damaged: {error}") from error
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of all tensors."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(bytes_of(tensors[name]), value)
    return value


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain values and tensors of a checkpoint, with what does not train."""
    plain, tensors = _load(path)
    if not plain:
        raise _DamagedError(f"{path} is damaged: it does not say where the run stands")
    if plain.get("format") != _FORMAT:
        raise RunError(f"{path} has format {plain.get('format')}, this actrec-zoo reads {_FORMAT}")
    return plain, {**_read_frozen(path.parent, required=plain.get("frozen", False)), **tensors}


def _save(path: Path, plain: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write tensors, and plain values with a checksum in the header."""
    notes = {"state": json.dumps({**plain, "checksum": _checksum(tensors)})}  # one: several come in any order
    write_atomically(path, lambda file: safetensors.torch.save_file(tensors, file, notes))


def _header(path: Path) -> dict[str, Any]:
    """Plain values of a file that was found whole."""
    with safe_open(path, framework="pt") as file:
        return _plain(file)


def _plain(file: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((file.metadata() or {}).get("state", "{}"))
    return plain


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain values and tensors of a file, checked byte for byte."""
    try:
        with safe_open(path, framework="pt") as file:
            plain = _plain(file)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if plain.get("checksum", whole := _checksum(tensors)) != whole:
            raise ValueError("its checksum is wrong")
    except (SafetensorError, OSError, ValueError) as error:
        raise _DamagedError(f"{path} is damaged: {error}") from error
    return plain, tensors


def _fill(path: Path, model: VideoClassifier, tensors: dict[str, Tensor]) -> None:
    own = model.net.state_dict()
    state = {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)}
    state = {name: divided(t, like=own.get(name, t)) for name, t in state.items()}
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
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(_OPTIMIZER):
            index, _, name = key.removeprefix(_OPTIMIZER).partition(".")
            state.setdefault(int(index), {})[name] = divided(tensor, like=parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():  # fused optimizers take one order in memory
        values.update({name: _ordered_like(parameter, value) for name, value in values.items()})


def _ordered_like(parameter: Tensor, value: Any) -> Any:
    """A tensor of a parameter's shape in the order that the parameter has in memory."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
