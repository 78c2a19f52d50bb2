"""The folder of a run: what is in it, when it may be used, when it is taken back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import MACHINE_KEYS, Layer, Resolved, TrainConfig, flatten
from actrec_zoo.data.layouts import data_name, read_csv
from actrec_zoo.data.manifest import IntArray, Manifest, path_of
from actrec_zoo.data.splits import Splits, hash_splits, write_splits
from actrec_zoo.data.strings import PackedStrings, StringIndex
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from actrec_zoo.files import (
    is_leftover,
    read_json,
    remove_leftovers,
    require_folder,
    write_json,
)
from actrec_zoo.hub.package import WEIGHTS_FILE, Training
from actrec_zoo.hub.packing import library_versions, write_config, write_weights
from actrec_zoo.locking import LOCK_FILE, is_locked, locked
from actrec_zoo.training.checkpoint import BEST, FROZEN, read_best
from actrec_zoo.training.state import Callback, TrainingState

RUN_FILE = "run.json"
_FORMAT = 1
_NOT_COMPARED = MACHINE_KEYS | {"model"}


@dataclass(frozen=True)
class RunFolder:
    """A run on disk: run.json, config.json, splits/, checkpoints/, history.csv, and when it has finished
    model.safetensors and README.md.

    Attributes:
        path: of the folder.
        fresh: whether this process made it.
    """

    path: Path
    fresh: bool

    @property
    def splits(self) -> Path:
        """The run's copy of its splits."""
        return self.path / "splits"

    @property
    def curves(self) -> Path:
        """The picture of loss and top-1 over the epochs."""
        return self.path / "plots" / "history.png"

    @property
    def checkpoints(self) -> Path:
        """The states to go on from, and the best weights."""
        return self.path / "checkpoints"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume."""
        return self.checkpoints.is_dir() and any(
            path.name not in (BEST, FROZEN) for path in self.checkpoints.glob("*.safetensors")
        )

    def begin(
        self,
        resolved: Resolved,
        model: VideoClassifier,
        plugin: Mapping[str, str],
        manifest: Manifest,
        splits: Splits,
    ) -> None:
        """Write what is known before the first step; a run with a checkpoint has it already.

        Raises:
            RunError: the folder cannot be written.
        """
        if self.has_checkpoint:
            return
        write_json(
            self.path / RUN_FILE,
            {
                "format": _FORMAT,
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "processes": distributed.size(),
                "config": resolved.config.model_dump(mode="json"),
                "origins": dict(resolved.origins),
                "skipped": dict(manifest.skipped),
                "versions": library_versions(),
            },
        )
        write_splits(self.splits, manifest, splits)
        data = " ".join(data_name(resolved.config.data).split())
        write_config(self.path, model, plugin, Training(data or None, hash_splits(self.splits)))

    def note_changes(self, resolved: Resolved) -> None:
        """Let what this start says of where the run happens hold for the next start, too."""
        record = read_json(self.path / RUN_FILE)
        now = resolved.config.model_dump(mode="json", include=set(MACHINE_KEYS))
        changed = {key: value for key, value in now.items() if record["config"].get(key) != value}
        if changed:
            record["config"] |= changed
            record["origins"] |= {key: resolved.origins[key] for key in changed.keys() & resolved.origins.keys()}
            write_json(self.path / RUN_FILE, record)

    def finish(self) -> None:
        """Make the weights of the best epoch the run's weights.

        Raises:
            RunError: the file cannot be written.
        """
        write_weights(self.path / WEIGHTS_FILE, read_best(self.checkpoints))

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keep other processes out of a run that exists, and remove what a killed one half wrote.

        For a run that it makes, `guard` keeps them out.

        Raises:
            RunError: another process is in it.
        """
        with nullcontext() if self.fresh else _lock(self.path):
            if distributed.is_first():
                for folder in (self.path, self.splits, self.checkpoints, self.curves.parent):
                    remove_leftovers(folder)
            yield

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Make the folder; leave nothing behind when the run fails before its first checkpoint.

        Raises:
            RunError: the folder cannot be made, or another run has made it in the meantime.
        """
        if not self.fresh:
            with self._cleared():
                yield
            return
        distributed.from_first(lambda: _make(self.path))
        with _lock(self.path), self._cleared():
            yield

    @contextmanager
    def _cleared(self) -> Iterator[None]:
        try:
            yield
        except InterruptedRun:
            raise
        except Exception:
            if distributed.is_first() and self.fresh and not self.has_checkpoint:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def settings(self) -> Layer:
        """The settings that an earlier process began this run with.

        Raises:
            RunError: run.json cannot be read.
        """
        values = read_json(self.path / RUN_FILE)
        if not isinstance(values, dict) or not isinstance(values.get("config"), dict):
            raise RunError(f"{self.path / RUN_FILE} is not the record of a run")
        config: dict[str, Any] = {k: v for k, v in values["config"].items() if v is not None}
        return Layer("run", config)


class NoteChanges(Callback):
    """Notes what a start changes of a run's settings; told last, when nothing is left that could refuse them."""

    def __init__(self, folder: RunFolder, resolved: Resolved) -> None:
        self._folder = folder
        self._resolved = resolved

    def on_start(self, state: TrainingState) -> None:
        """Write them to run.json.

        Raises:
            RunError: it cannot be written.
        """
        distributed.from_first(lambda: self._folder.note_changes(self._resolved))


def count_seen(run: Path, manifest: Manifest, videos: IntArray) -> int | None:
    """How many of the videos a run trained on or chose its epoch by; None where it keeps no splits.

    A video is known again by its path within the data, wherever the data lie now, and by its place on the disk; so is
    one of which the run has seen another part.

    Raises:
        DataError, RunError: the run's files cannot be read.
    """
    files = [file for file in (run / "splits" / "train.csv", run / "splits" / "val.csv") if file.is_file()]
    if not files:
        return None
    names = (entry.path for file in files for _, entry in read_csv(file))
    paths = PackedStrings(path for name in names for path in dict.fromkeys((name, path_of(name))))
    evaluated = manifest.paths.take(videos)
    seen = StringIndex(paths).find(evaluated) >= 0
    root = _data_root(run)
    if root:
        seen |= StringIndex(_places(root, paths)).find(_places(manifest.root.resolve(), evaluated)) >= 0
    return int(seen.sum())


def open_run(name: str, out: Path | None, *, resume: bool) -> RunFolder:
    """Choose the folder of a run; nothing is written yet.

    Args:
        name: of the model, for the default `runs/<name>`, with a number when that exists.
        out: folder that was asked for.
        resume: whether an existing run there is to be continued.

    Raises:
        RunError: `out` exists and is not to be continued, or is no run.
    """
    if out is None:
        if resume:
            raise RunError("--resume needs --out: say which run to continue")
        out = _unused(Path("runs") / name)
    if not out.exists():
        require_folder(out)
        return RunFolder(out, fresh=True)
    if resume and out.is_dir() and all(path.name == LOCK_FILE or is_leftover(path) for path in out.iterdir()):
        _clear(out)
        return RunFolder(out, fresh=True)
    if not resume:
        raise RunError(f"--out {out} exists: choose another folder, or continue that run with --resume")
    if not (out / RUN_FILE).is_file():
        raise RunError(f"--out {out} is no run to resume: it has no {RUN_FILE}")
    return RunFolder(out, fresh=False)


def refuse_changes(before: Layer, after: Resolved) -> None:
    """Check that a resumed run has the settings it began with.

    Raises:
        ConfigError: a setting that decides the result differs; it is named.
    """
    now = _flat(after.config)
    defaults = TrainConfig.model_validate({"model": after.config.model, "data": after.config.data})
    then = _flat(defaults) | flatten(_given(before.values))
    changed = sorted(
        key for key in now.keys() | then.keys() if key not in _NOT_COMPARED and now.get(key) != then.get(key)
    )
    if changed:
        listed = ", ".join(f"{key} {then.get(key)} -> {now.get(key)}" for key in changed)
        raise ConfigError(f"a resumed run keeps its settings, and these differ: {listed}. Start a new run for them.")


def _places(root: Path, paths: PackedStrings) -> PackedStrings:
    """Where on the disk they are."""
    return PackedStrings(os.path.normpath(root / path) for path in paths)


def _data_root(run: Path) -> Path | None:
    """The folder that the paths of a run's splits begin at, where the run says."""
    if not (run / RUN_FILE).is_file():
        return None
    data = Path(str(RunFolder(run, fresh=False).settings().values.get("data", ""))).resolve()
    return data if data.is_dir() else data.parent


def _flat(config: TrainConfig) -> dict[str, Any]:
    return flatten(_given(config.model_dump(mode="json")))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that say nothing: None, and empty tables."""
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _clear(path: Path) -> None:
    """Remove the folder of a run that was killed before it wrote anything."""
    if is_locked(path):
        raise RunError(f"{path} is in use: another process is beginning that run")
    remove_leftovers(path)
    (path / LOCK_FILE).unlink(missing_ok=True)
    path.rmdir()


def _lock(run: Path) -> AbstractContextManager[object]:
    """The lock of a run; of several processes of it the first one holds it."""
    return distributed.held_by_first(lambda: locked(run))


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError as error:
        raise RunError(f"{path} exists by now: another run has just made it. Choose another --out") from error
    except OSError as error:
        raise RunError(f"cannot make the folder {path}: {error.strerror}. Choose another --out") from error


def _unused(path: Path) -> Path:
    number = 2
    candidate = path
    while candidate.exists():
        candidate = path.with_name(f"{path.name}-{number}")
        number += 1
    return candidate
