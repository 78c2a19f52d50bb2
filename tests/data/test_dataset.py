import gc
import pickle
import shutil
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data.augmentation import Augmentation
from actrec_zoo.data.dataset import Batch, ClipDataset, EpochBatches, Failure, make_loader
from actrec_zoo.data.decode import open_source
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler, TrainSampling
from actrec_zoo.data.transforms import AUGMENTATIONS, ClipTransform, Normalization
from actrec_zoo.errors import DataError
from actrec_zoo.spec import InputSpec
from tests.conftest import numbered_frames, write_frames, write_video

SPEC = InputSpec(frames=4, size=16)


def make_dataset(manifest: Manifest, mode: TrainSampling = "blocks", augment: tuple[str, ...] = ()) -> ClipDataset:
    videos = np.arange(len(manifest))
    sampler, transform = ClipSampler(mode, SPEC.frames), ClipTransform(SPEC, augment)
    return ClipDataset(manifest, videos, sampler, transform, seed=3, augmentation=Augmentation(augment))


def run_epoch(dataset: ClipDataset, epoch: int, *, workers: int = 0, first: int = 0, size: int = 7) -> list[Batch]:
    batches = EpochBatches(len(dataset), size, shuffle=True, seed=5)
    batches.start(epoch, first)
    return list(make_loader(dataset, batches, workers=workers))


def all_inputs(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.inputs for batch in batches])


def order(batches: EpochBatches) -> list[int]:
    return [index for batch in batches for _, index in batch]


def leave_a_codec_with_threads_as_garbage() -> None:
    codec = av.CodecContext.create("libx264", "w")
    codec.width = codec.height = 256
    codec.pix_fmt, codec.time_base, codec.thread_count = "yuv420p", Fraction(1, 25), 4
    codec.open()
    cycle: list[object] = [codec]
    cycle.append(cycle)


@pytest.fixture(scope="module")
def manifest(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return probe(read_manifest(squares), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def damaged(tmp_path: Path, squares: Path) -> Manifest:
    """4 videos of 3 clips; the second clip of left/clip1 is broken, right/clip0 cannot be opened at all."""
    for label in ("left", "right"):
        for number in range(2):
            shutil.copytree(squares / label / f"clip{number}", tmp_path / "data" / label / f"clip{number}")
    shutil.rmtree(tmp_path / "data" / "right" / "clip0")
    (tmp_path / "data" / "right" / "clip0.mp4").write_bytes(b"no video")
    bad = tmp_path / "data" / "left" / "clip1" / "6.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    return probe(read_manifest(tmp_path / "data"))


def test_clips_hold_the_frames_and_the_class_of_their_video(manifest: Manifest) -> None:
    dataset = make_dataset(manifest)
    assert len(dataset) == 60
    clip = dataset.clip(32, epoch=0)
    whole = open_source(manifest.path(10), dataset.transform.least).read(np.arange(8, 12))
    assert torch.equal(clip.frames, ClipTransform(SPEC)(whole, (0, 0, 0)))
    assert (clip.label, clip.video, clip.view) == (1, 10, 2)


def test_clips_of_some_videos_keep_the_numbers_of_the_manifest(manifest: Manifest) -> None:
    dataset = ClipDataset(manifest, np.array([4, 15]), ClipSampler("blocks", 4), ClipTransform(SPEC))
    assert [dataset.locate(i) for i in range(len(dataset))] == [(4, 0), (4, 1), (4, 2), (15, 0), (15, 1), (15, 2)]
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_an_index_beyond_the_clips_is_a_repeat_with_draws_of_its_own(manifest: Manifest) -> None:
    dataset = make_dataset(manifest, "random", ("random_crop",))
    first, repeats = dataset.clip(3, 1), [dataset.clip(3 + times * len(dataset), 1) for times in range(1, 9)]
    assert all((clip.label, clip.video, clip.view) == (first.label, first.video, first.view) for clip in repeats)
    assert any(not torch.equal(clip.frames, first.frames) for clip in repeats)
    assert [clip.key for clip in repeats] == [(1, 3 + times * 20) for times in range(1, 9)]


def test_data_without_videos_has_no_clips(manifest: Manifest) -> None:
    dataset = ClipDataset(manifest, np.array([], dtype=np.int64), ClipSampler("blocks", 4), ClipTransform(SPEC))
    assert len(dataset) == 0
    assert run_epoch(dataset, 0) == []


@pytest.mark.parametrize("augment", [(), AUGMENTATIONS])
@pytest.mark.parametrize("mode", ["blocks", "random", "uniform"])
def test_clips_are_a_function_of_seed_epoch_and_index(
    manifest: Manifest, mode: TrainSampling, augment: tuple[str, ...]
) -> None:
    dataset, same = make_dataset(manifest, mode, augment), make_dataset(manifest, mode, augment)
    backwards = {i: same.clip(i, 1).frames for i in reversed(range(len(same)))}
    assert all(torch.equal(dataset.clip(i, 1).frames, backwards[i]) for i in range(len(dataset)))
    changed = any(not torch.equal(dataset.clip(i, 2).frames, backwards[i]) for i in range(len(dataset)))
    assert changed == (mode == "random" or "random_crop" in augment)
    assert dataset.deterministic == (mode != "random" and not augment)


@pytest.mark.parametrize(("size", "workers"), [(1, 0), (7, 0), (60, 0), (100, 0), (7, 2), (30, 2), (100, 2)])
def test_every_clip_comes_once_an_epoch_and_no_batch_is_dropped(manifest: Manifest, size: int, workers: int) -> None:
    batches = run_epoch(make_dataset(manifest), 0, size=size, workers=workers)
    seen = [pair for b in batches for pair in zip(b.videos.tolist(), b.views.tolist(), strict=True)]
    assert sorted(seen) == [(video, view) for video in range(20) for view in range(3)]
    assert [len(b) for b in batches] == [size] * (60 // size) + ([60 % size] if 60 % size else [])


def test_workers_do_not_change_the_batches(manifest: Manifest) -> None:
    alone, helped = (
        run_epoch(make_dataset(manifest, "random", AUGMENTATIONS), 4, workers=workers) for workers in (0, 2)
    )
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        for name in ("labels", "videos", "views"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert one.keys == other.keys


def test_a_clip_is_augmented_the_same_in_any_batch(manifest: Manifest) -> None:
    dataset = make_dataset(manifest, "random", AUGMENTATIONS)
    batches = run_epoch(dataset, 4)
    whole = all_inputs([dataset.augment(batch) for batch in batches])
    alone = all_inputs([dataset.augment(batch) for batch in run_epoch(dataset, 4, size=1)])
    assert torch.equal(whole, alone) and not torch.equal(whole, all_inputs(batches))
    keys = [key for batch in batches for key in batch.keys]
    assert sorted(keys) == [(4, index) for index in range(len(dataset))]


@pytest.mark.parametrize("augment", [(), ("random_crop", "horizontal_flip")])
def test_clips_lie_in_memory_as_they_were_decoded_all_the_way_to_the_network(
    manifest: Manifest, augment: tuple[str, ...]
) -> None:
    dataset = make_dataset(manifest, "blocks", augment)
    for workers in (0, 1):
        batch = dataset.augment(run_epoch(dataset, 0, workers=workers)[0])
        assert Normalization(SPEC)(batch.inputs).is_contiguous(memory_format=torch.channels_last_3d)


def test_workers_read_rightly_when_a_video_is_open_already(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_video(tmp_path / "c" / f"{name}.mp4", numbered_frames(31, side=256), options={"g": "31", "bf": "2"})
    dataset = make_dataset(probe(read_manifest(tmp_path)))
    expected = all_inputs(run_epoch(dataset, 0, size=2))
    dataset.clip(1, 0)
    assert torch.equal(all_inputs(run_epoch(dataset, 0, size=2, workers=2)), expected)


def test_workers_do_not_wait_for_threads_of_a_codec_that_stayed_in_the_parent(manifest: Manifest) -> None:
    class Collecting(ClipTransform):
        def __call__(self, frames: Tensor, key: tuple[int, int, int]) -> Tensor:
            gc.collect()
            return super().__call__(frames, key)

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError("the worker hangs")

    dataset = ClipDataset(manifest, np.arange(1), ClipSampler("blocks", 4), Collecting(SPEC))
    gc.collect()
    gc.disable()
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    try:
        leave_a_codec_with_threads_as_garbage()
        assert len(all_inputs(run_epoch(dataset, 0, workers=1))) == 3
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_an_open_video_does_not_hinder_pickling(videos: Path) -> None:
    dataset = make_dataset(probe(read_manifest(videos)))
    clip = dataset.clip(4, 0)
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).clip(4, 0).frames, clip.frames)


def test_workers_follow_from_epoch_to_epoch(manifest: Manifest) -> None:
    dataset = make_dataset(manifest, "random")
    batches = EpochBatches(len(dataset), 8, shuffle=True, seed=5)
    loader = make_loader(dataset, batches, workers=1)
    for epoch in (0, 1, 0):
        batches.start(epoch)
        assert torch.equal(all_inputs(list(loader)), all_inputs(run_epoch(dataset, epoch, size=8)))


def test_seed_and_epoch_decide_the_order() -> None:
    batches, same = (EpochBatches(100, 8, shuffle=True, seed=1) for _ in range(2))
    first = order(batches)
    np.random.default_rng().random()
    torch.rand(1)
    assert order(same) == first
    batches.start(1)
    other_epoch, other_seed = order(batches), order(EpochBatches(100, 8, shuffle=True, seed=2))
    assert len({tuple(o) for o in (first, other_epoch, other_seed, range(100))}) == 4
    assert sorted(first) == sorted(other_epoch) == list(range(100))


def test_where_classes_are_given_all_are_equally_frequent() -> None:
    classes = np.array([0] * 70 + [1] * 25 + [3] * 5)
    batches, same = (EpochBatches(100, 8, shuffle=True, seed=1, classes=classes) for _ in range(2))
    assert len(batches) == 13 and batches.steps == 13
    orders = []
    for epoch in range(3):
        batches.start(epoch)
        same.start(epoch)
        orders.append(order(batches))
        assert order(same) == orders[-1]
        assert sorted(np.bincount(classes[np.array(orders[-1]) % 100]).tolist()) == [0, 33, 33, 34]
        assert len(set(orders[-1])) == 100, "what comes again has a key of its own"
    assert len({tuple(o) for o in orders}) == 3
    batches.start(2, first=4)
    assert order(batches) == orders[2][32:]


def test_without_shuffling_the_order_is_that_of_the_clips() -> None:
    assert order(EpochBatches(10, 4)) == list(range(10))


@pytest.mark.parametrize("first", [0, 1, 6, 7])
def test_an_epoch_continues_where_it_was_left(manifest: Manifest, first: int) -> None:
    dataset = make_dataset(manifest, "random", ("horizontal_flip",))
    whole, rest = run_epoch(dataset, 2, size=3), run_epoch(dataset, 2, size=3, first=first)
    assert len(rest) == 7 - first
    for one, other in zip(whole[first:], rest, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert one.videos.tolist() == other.videos.tolist()


def test_number_of_batches() -> None:
    batches = EpochBatches(10, 4)
    assert len(batches) == len(list(batches)) == 3
    batches.start(5, 2)
    assert len(batches) == len(list(batches)) == 1
    batches.start(6)
    assert len(batches) == len(list(batches)) == 3
    assert [key for batch in batches for key in batch] == [(6, i) for i in range(10)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_clip_is_reported_and_the_others_are_kept(damaged: Manifest, workers: int) -> None:
    dataset = make_dataset(damaged)
    (batch,) = run_epoch(dataset, 0, size=100, workers=workers)
    assert sorted(zip(batch.videos.tolist(), batch.views.tolist(), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (3, 0), (3, 1), (3, 2),
    ]  # fmt: skip
    assert len(batch.inputs) == len(batch.labels) == len(batch) == 8
    (failure,) = batch.failures
    assert failure[:2] == (1, "left/clip1")
    assert str(damaged.root / "left" / "clip1" / "6.jpg") in failure.error


def test_a_video_that_the_probe_could_not_read_is_reported_without_clips(damaged: Manifest) -> None:
    (failure,) = make_dataset(damaged).failures
    assert failure == Failure(2, "right/clip0.mp4", damaged.errors[2])


def test_a_batch_of_failures_alone_is_empty(damaged: Manifest) -> None:
    dataset = make_dataset(damaged)
    batches = EpochBatches(len(dataset), 1)
    batch = list(make_loader(dataset, batches, workers=0))[4]
    assert len(batch) == 0
    assert [failure.video for failure in batch.failures] == [1]
    assert len(batch.to(torch.device("cpu"))) == 0


def test_a_video_is_read_again_after_a_failure(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "run" / "a", numbered_frames(8))
    dataset = make_dataset(probe(read_manifest(tmp_path)))
    whole = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(whole[:100])
    assert isinstance(dataset[0, 0], Failure)
    with pytest.raises(DataError, match=r"2\.jpg"):
        dataset.clip(0, 0)
    (folder / "2.jpg").write_bytes(whole)
    assert dataset.clip(0, 0).frames.shape == (4, 3, 16, 16)


def test_failures_of_two_parts_of_one_video_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    table = tmp_path / "data.csv"
    table.write_text("path,label,start_frame,end_frame\na.mp4,run,0,4\na.mp4,jump,4,8\n")
    failures = make_dataset(probe(read_manifest(table))).failures
    assert [failure.path for failure in failures] == ["a.mp4#frames=0-4", "a.mp4#frames=4-8"]


def test_crops_of_a_clip_are_views_and_are_decoded_once(manifest: Manifest) -> None:
    spec = InputSpec(frames=4, size=16, resize=(16, 24))
    read = []

    class Counting(ClipDataset):
        def _read(self, video: int, run: int, key: tuple[int, int, int]) -> torch.Tensor:
            read.append((video, run))
            return super()._read(video, run, key)

    clips = Counting(manifest, np.array([3, 1]), ClipSampler("spread", 4, views=2), ClipTransform(spec, crops=3))
    assert len(clips) == 2 * 2 * 3
    found = [clips.clip(index, 0) for index in range(len(clips))]
    assert [(clip.video, clip.view) for clip in found] == [(3, view) for view in range(6)] + [(1, v) for v in range(6)]
    assert read == [(3, 0), (3, 1), (1, 0), (1, 1)]
    whole = ClipDataset(manifest, np.array([3]), ClipSampler("spread", 4, views=2), ClipTransform(spec))
    assert torch.equal(found[4].frames, whole.clip(1, 0).frames), "the middle crop of the second clip"
    assert not torch.equal(found[3].frames, found[5].frames)
