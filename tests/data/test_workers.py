import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from torch.utils.data import get_worker_info

from actrec_zoo.data.dataset import ClipDataset, EpochBatches, make_loader
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.packing import write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform, Resize
from actrec_zoo.data.workers import Room, read_ahead, room_for_batches, worker_deaths_named
from actrec_zoo.errors import RunError
from actrec_zoo.spec import InputSpec

SPEC = InputSpec(frames=4, size=16)
MIB = 2**20


def end_a_worker() -> None:
    if get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)


class Deadly(ClipTransform):
    def __call__(self, frames: Tensor, key: tuple[int, int, int]) -> Tensor:
        end_a_worker()
        return super().__call__(frames, key)


class DeadlyResize(Resize):
    def __call__(self, frames: Tensor) -> Tensor:
        end_a_worker()
        return super().__call__(frames)


@pytest.mark.parametrize(
    ("room", "expected"),
    [(100, (3, 2)), (7, (3, 2)), (6, (3, 1)), (4, (3, 1)), (3, (2, 1)), (2, (1, 1)), (1, (0, 0)), (0, (0, 0))],
)
def test_what_is_in_flight_fits(room: int, expected: tuple[int, int]) -> None:
    ahead = read_ahead(3, 10 * MIB, Room(room * 10 * MIB, "memory"))
    assert ahead == expected
    assert ahead.workers * ahead.batches + 1 <= max(room, 1)


def test_without_workers_or_a_known_size_there_is_nothing_to_fit() -> None:
    assert read_ahead(0, MIB, Room(0, "memory")) == (0, 0)
    assert read_ahead(4, 0, Room(MIB, "memory")) == (4, 2)


def test_fewer_workers_are_told_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            read_ahead(7, 30 * MIB, Room(64 * MIB, "the free part of /dev/shm"))
            read_ahead(7, 80 * MIB, Room(64 * MIB, "the free part of /dev/shm"))
    assert caplog.messages == [
        "warning: the free part of /dev/shm is too small for the batches of 7 worker processes, 30 MiB each: 1 read "
        "ahead. Choose a smaller --batch-size or --workers 1; in a container, enlarge the shared memory (docker run "
        "--shm-size=2g)",
        "warning: the free part of /dev/shm is too small for the batches of 7 worker processes, 80 MiB each: videos "
        "are read without any. Choose a smaller --batch-size or --workers 0; in a container, enlarge the shared memory "
        "(docker run --shm-size=2g)",
    ]


def test_there_is_room_on_every_machine() -> None:
    room = room_for_batches()
    assert room.size > 0
    assert "memory" in room.where or "/dev/shm" in room.where


def test_a_clip_takes_as_much_as_it_says(squares: Path) -> None:
    manifest = probe(read_manifest(squares))
    dataset = ClipDataset(manifest, np.arange(2), ClipSampler("blocks", SPEC.frames), ClipTransform(SPEC))
    assert dataset.clip_size == dataset.clip(0, 0).frames.nbytes


def test_batches_that_no_memory_holds_are_read_without_workers(squares: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = probe(read_manifest(squares))
    dataset = ClipDataset(manifest, np.arange(2), ClipSampler("blocks", SPEC.frames), ClipTransform(SPEC))
    loader = make_loader(dataset, EpochBatches(len(dataset), 2**40), workers=2)
    assert loader.num_workers == 0
    assert "videos are read without any" in caplog.text
    assert sum(len(batch) for batch in loader) == len(dataset)


def test_a_killed_worker_is_an_error_that_says_what_to_do(squares: Path) -> None:
    manifest = probe(read_manifest(squares))
    dataset = ClipDataset(manifest, np.arange(2), ClipSampler("blocks", SPEC.frames), Deadly(SPEC))
    loader = make_loader(dataset, EpochBatches(len(dataset), 2), workers=1)
    with (
        pytest.raises(RunError, match="a process that reads videos ended before its time") as raised,
        worker_deaths_named(),
    ):
        list(loader)
    assert "use fewer --workers or a smaller --batch-size" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pack_whose_worker_is_killed_is_not_there(squares: Path, tmp_path: Path) -> None:
    manifest = probe(read_manifest(squares))
    with pytest.raises(RunError, match="a process that reads videos ended before its time"):
        write_pack(manifest, tmp_path / "pack", DeadlyResize([16]), workers=1)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="another reason"), worker_deaths_named():
        raise RuntimeError("another reason")
