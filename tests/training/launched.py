"""A training run in processes of a launcher, watched or disturbed: `launched.py WHAT DATA OUT SETTINGS`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

import actrec_zoo
from actrec_zoo import distributed
from actrec_zoo.cli import _run
from actrec_zoo.data import feature_store, features
from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.feature_store import Chunk, FeatureStore
from actrec_zoo.errors import RunError
from actrec_zoo.training.state import Callback, TrainingState
from actrec_zoo.training.update import Update


class OnSecond(Callback):
    """Does something in the second process after so many steps in all."""

    def __init__(self, steps: int, action: Callable[[], None]) -> None:
        self.left = steps
        self.action = action

    def on_step(self, state: TrainingState) -> None:
        self.left -= 1
        if self.left == 0 and distributed.rank() == 1:
            self.action()


class NoteHeld(Callback):
    """Writes down how many numbers of the parameters this process holds."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def on_start(self, state: TrainingState) -> None:
        parameters = state.model.parameters()
        note(self.out, sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in parameters))


def fail() -> None:
    raise RunError("the second process fails here")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def small_chunks() -> None:
    feature_store.CHUNK = features.CHUNK = 4  # type: ignore[attr-defined]


def note_chunks(out: Path) -> None:
    """Write down which chunks a process computes."""
    small_chunks()
    write = FeatureStore.write

    def noted(store: FeatureStore, number: int, chunk: Chunk) -> None:
        note(out, number)
        write(store, number, chunk)

    FeatureStore.write = noted  # type: ignore[method-assign]


def fail_at_a_chunk() -> None:
    """The second process cannot write."""
    small_chunks()
    write = FeatureStore.write

    def failing(store: FeatureStore, number: int, chunk: Chunk) -> None:
        if distributed.rank() == 1:
            raise RunError("the disk of the second process is full")
        write(store, number, chunk)

    FeatureStore.write = failing  # type: ignore[method-assign]


def on_machines_of_their_own() -> None:
    """Let each process think that it is the only one of its machine."""
    os.environ |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


def note_clips(out: Path) -> None:
    """Write down which clips a process trains on."""
    add = Update.add

    def noted(update: Update, batch: Batch, of: int, *, last: bool) -> None:
        note(out, [list(key) for key in batch.keys])
        add(update, batch, of, last=last)

    Update.add = noted  # type: ignore[method-assign]


def note(out: Path, value: object) -> None:
    """A line in a file of this process beside the run."""
    with out.with_name(f"process{distributed.rank()}.jsonl").open("a") as file:
        file.write(f"{json.dumps(value)}\n")


def main(what: str, data: str, out: str, settings: str) -> int:
    torch.set_num_threads(1)
    given: dict[str, Any] = json.loads(settings)
    disturbing = {"fails": fail, "dies": die, "is terminated": terminate}
    if what == "chunks":
        note_chunks(Path(out))
    elif what == "full disk":
        fail_at_a_chunk()
    elif what == "clips":
        note_clips(Path(out))
    elif what == "own disks":
        note_chunks(Path(out))
        on_machines_of_their_own()
        os.environ["ACTREC_ZOO_CACHE"] += os.environ["RANK"]
    elif what == "other data" and os.environ["RANK"] == "1":
        data += "2"
    elif what == "other settings" and os.environ["RANK"] == "1":
        given["batch_size"] = 4
    callbacks: list[Callback] = [OnSecond(4, disturbing[what])] if what in disturbing else []
    if what == "divides":
        callbacks = [NoteHeld(Path(out))]
    actrec_zoo.train("tiny_conv3d", data, out=out, callbacks=callbacks, **given)
    return 0


if __name__ == "__main__":
    from click import command

    from actrec_zoo import cli

    @command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def run() -> None:
        main(*sys.argv[1:])

    cli.cli = run  # type: ignore[assignment]  # so that errors are told as the command line tells them
    sys.exit(_run())
