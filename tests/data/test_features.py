from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data.augmentation import Augmentation
from actrec_zoo.data.dataset import Clip, ClipDataset, EpochBatches, Failure, make_loader
from actrec_zoo.data.feature_extraction import Extraction
from actrec_zoo.data.feature_store import Chunk, FeatureStore, kept_features, limit_in_bytes, make_room
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.fingerprint import fingerprints
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import ConfigError, DataError, RunError
from actrec_zoo.spec import InputSpec
from tests.conftest import moving_square, write_frames

SPEC = InputSpec(frames=4, size=16)
Extract = Callable[..., FeatureDataset]


def mean_colour(inputs: Tensor) -> Tensor:
    """Features float[B, T, 3] that tell clips apart."""
    return inputs.float().mean(dim=(3, 4))


class Backbone:
    """Counts the clips that it sees."""

    def __init__(self, factor: float = 1.0) -> None:
        self.clips = 0
        self.factor = factor

    def __call__(self, inputs: Tensor) -> Tensor:
        self.clips += len(inputs)
        return mean_colour(inputs) * self.factor


def write_clips(root: Path) -> Path:
    """5 videos with 3, 2, 1, 3 and 3 clips of 4 frames."""
    for number, frames in enumerate((12, 8, 5, 12, 13)):
        write_frames(root / f"class{number % 2}" / f"v{number}", moving_square(frames, step=number))
    return root


def read_clips(root: Path, *augment: str, mode: str = "blocks", seed: int = 0) -> ClipDataset:
    manifest = probe(read_manifest(root))
    sampler = ClipSampler(mode, 4)  # type: ignore[arg-type]
    augmentation = Augmentation(augment, torch.tensor([1, 0]))
    videos = np.arange(len(manifest))
    return ClipDataset(manifest, videos, sampler, ClipTransform(SPEC, augment), seed, augmentation)


@pytest.fixture
def clips(tmp_path: Path) -> ClipDataset:
    return read_clips(write_clips(tmp_path / "data"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 clips a chunk: 12 clips are three, the last one not full."""
    for module in ("feature_store", "features"):
        monkeypatch.setattr(f"actrec_zoo.data.{module}.CHUNK", 5)


@pytest.fixture
def extract(clips: ClipDataset, tmp_path: Path) -> Extract:
    def run(
        compute: Callable[[Tensor], Tensor] = mean_colour,
        *,
        root: Path = tmp_path / "cache",
        of: ClipDataset = clips,
        views: int = 1,
        **options: Any,
    ) -> FeatureDataset:
        extraction = Extraction(compute, **{"batch_size": 3, "device": torch.device("cpu"), **options})
        stores = (FeatureStore(root, of_view, len(of)) for of_view in fingerprints(of, views))
        return FeatureDataset(of, [extraction.run(of, view, store) for view, store in enumerate(stores)])

    return run


def test_a_repeat_of_a_clip_in_an_epoch_is_given_the_next_view(tmp_path: Path, extract: Extract) -> None:
    varied = read_clips(write_clips(tmp_path / "varied"), "random_crop", mode="random")
    features = extract(of=varied, views=2)
    views = [features.clip(3, epoch).frames for epoch in (0, 1)]
    assert not torch.equal(*views)
    for epoch, repeat in ((0, 1), (1, 1), (1, 2)):
        clip = features.clip(3 + repeat * len(features), epoch)
        assert torch.equal(clip.frames, views[(epoch + repeat) % 2])
        assert (clip.video, clip.key) == (features.clip(3, epoch).video, (epoch, 3 + repeat * len(features)))
    assert features.labels.tolist() == varied.labels.tolist()


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def break_frame(clips: ClipDataset, video: int, frame: int) -> Path:
    file = clips.manifest.path(video) / f"{frame}.jpg"
    file.write_bytes(file.read_bytes()[:200])
    return file


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("batch_size", [3, 50])
def test_features_are_those_computed_directly(
    clips: ClipDataset, extract: Extract, workers: int, batch_size: int
) -> None:
    features = extract(workers=workers, batch_size=batch_size)
    assert len(features) == len(clips) == 12
    for index in range(12):
        clip, stored = clips.clip(index, 0), features.clip(index, epoch=7)
        assert torch.equal(stored.frames, mean_colour(clip.frames[None])[0])
        assert stored[1:4] == clip[1:4] and stored.key == (7, index)


def test_features_are_float32_whatever_computes_them(extract: Extract) -> None:
    features = extract(lambda inputs: mean_colour(inputs).to(torch.bfloat16))
    assert features.clip(0, 0).frames.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_half_the_space(extract: Extract, tmp_path: Path, dtype: torch.dtype) -> None:
    wide = [torch.randn(300, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    many = extract(lambda inputs: torch.stack(wide[: len(inputs)]), root=tmp_path / "full")
    half = extract(lambda inputs: torch.stack(wide[: len(inputs)]), root=tmp_path / "half", dtype=dtype)
    stored = half.clip(1, 0).frames
    assert stored.dtype == torch.float32
    assert torch.equal(stored, many.clip(1, 0).frames.to(dtype).float())
    sizes = [sum(file.stat().st_size for file in files(tmp_path / name)) for name in ("full", "half")]
    assert sizes[0] - sizes[1] == 12 * 300 * 2


def test_what_float16_cannot_hold_is_an_error_not_infinity(extract: Extract) -> None:
    with pytest.raises(ConfigError, match=r"float16 cannot hold .*bfloat16"):
        extract(Backbone(1e5), dtype=torch.float16)
    assert extract(Backbone(1e5), dtype=torch.bfloat16).clip(0, 0).frames.isfinite().all()


def test_features_need_no_frames_any_more(clips: ClipDataset, extract: Extract) -> None:
    features = extract()
    for video in range(5):
        for file in clips.manifest.path(video).iterdir():
            file.unlink()
    (batch,) = make_loader(features, EpochBatches(12, 12), workers=0)
    assert batch.inputs.shape == (12, 4, 3)
    assert batch.failures == ()


def test_the_second_time_the_backbone_sees_two_clips(
    extract: Extract, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = Backbone(), Backbone()
    before = extract(first)
    after = extract(second, batch_size=4)
    assert (first.clips, second.clips) == (12, 2)
    assert all(torch.equal(before.clip(i, 0).frames, after.clip(i, 0).frames) for i in range(12))
    assert "features of 12 of 12 clips are kept in" in caplog.text
    assert len(files(tmp_path / "cache")) == 3


def test_an_interrupted_extraction_goes_on_where_it_was(extract: Extract, tmp_path: Path) -> None:
    class Stop(Backbone):
        def __call__(self, inputs: Tensor) -> Tensor:
            if self.clips >= 8:
                raise KeyboardInterrupt
            return super().__call__(inputs)

    with pytest.raises(KeyboardInterrupt):
        extract(Stop())
    assert len(files(tmp_path / "cache")) == 1
    rest = Backbone()
    features = extract(rest)
    assert rest.clips == 2 + 7
    assert all(torch.equal(features.clip(i, 0).frames, extract().clip(i, 0).frames) for i in range(12))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def swap(file: Path) -> None:
    file.write_bytes(files(file.parent)[-1].read_bytes())


@pytest.mark.parametrize("damage", [cut, flip_bit, empty, swap])
def test_a_damaged_chunk_is_computed_again(
    extract: Extract, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    before = extract()
    chunk = files(tmp_path / "cache")[1]
    whole = chunk.read_bytes()
    kept = [before.clip(i, 0).frames.clone() for i in range(12)]
    del before
    chunk.unlink()
    chunk.write_bytes(whole)
    damage(chunk)
    backbone = Backbone()
    after = extract(backbone)
    assert backbone.clips == 2 + 5
    assert "000001.safetensors is damaged and its features are computed again" in caplog.text
    assert chunk.read_bytes() == whole
    assert all(torch.equal(after.clip(i, 0).frames, kept[i]) for i in range(12))


def test_features_of_another_network_are_not_believed(extract: Extract, caplog: pytest.LogCaptureFixture) -> None:
    extract()
    other = Backbone(1.5)
    features = extract(other)
    assert other.clips == 2 + 12
    assert "the network gives other features than those in" in caplog.text
    assert torch.equal(features.clip(3, 0).frames, 1.5 * mean_colour(features._clips.clip(3, 0).frames[None])[0])


def test_rounding_is_no_other_network(extract: Extract) -> None:
    extract(dtype=torch.bfloat16)
    again = Backbone(1.001)
    extract(again)
    assert again.clips == 2


def fingerprint(clips: ClipDataset, epoch: int) -> dict[str, object]:
    return fingerprints(clips, epoch + 1)[epoch]


def test_every_change_to_the_clips_shows_in_the_fingerprint(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "data")
    clips = read_clips(root)
    seen = [fingerprint(clips, 0)]
    assert fingerprint(read_clips(root, seed=3), 5) == seen[0], "nothing is random here"
    frame = clips.manifest.path(2) / "3.jpg"
    frame.write_bytes(frame.read_bytes() + b"\0")
    seen.append(fingerprint(read_clips(root), 0))
    write_frames(root / "class1" / "v9", moving_square(8, step=1))
    seen.append(fingerprint(read_clips(root), 0))
    seen += [fingerprint(read_clips(root, "random_crop", seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    seen += [fingerprint(read_clips(root, "horizontal_flip"), 0), fingerprint(read_clips(root, mode="random"), 0)]
    seen += [fingerprint(read_clips(root, "resize"), 0), fingerprint(read_clips(root, mode="uniform"), 0)]
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])


def test_videos_of_other_splits_do_not_matter(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "data")

    def first_three() -> dict[str, Any]:
        clips = read_clips(root)
        clips = ClipDataset(clips.manifest, np.array([0, 1, 2]), clips.sampler, clips.transform)
        return fingerprint(clips, 0)

    before = first_three()
    write_frames(root / "class1" / "v9", moving_square(8, step=1))
    assert first_three() == before


def test_views_are_the_clips_of_the_first_epochs(tmp_path: Path, extract: Extract) -> None:
    clips = read_clips(write_clips(tmp_path / "augmented"), "random_crop", "horizontal_flip", "rotation")
    features = extract(of=clips, views=3)
    for epoch in range(7):
        (live,) = make_loader(clips, _epoch(epoch % 3), workers=0)
        (stored,) = make_loader(features, _epoch(epoch), workers=0)
        live = clips.augment(live)
        assert torch.equal(features.augment(stored).inputs, mean_colour(live.inputs))
        assert torch.equal(stored.labels, live.labels)
        assert stored.keys == tuple((epoch, index) for index in range(12))
    labels = [features.clip(i, epoch).label for epoch in range(3) for i in range(12)]
    assert labels != 3 * [clips.clip(i, 0).label for i in range(12)], "mirrored clips change their class"
    more = Backbone()
    extract(more, of=clips, views=4)
    assert more.clips == 3 * 2 + 12, "three of four views are there"


def _epoch(epoch: int) -> EpochBatches:
    batches = EpochBatches(12, 12)
    batches.start(epoch)
    return batches


def test_failed_clips_keep_their_place_and_their_reason(clips: ClipDataset, extract: Extract) -> None:
    bad = [break_frame(clips, video, frame) for video, frame in ((0, 6), (4, 4))]
    expected = [clips[0, index] for index in range(12)]
    for _ in range(2):
        features = extract()
        for index, clip in enumerate(expected):
            stored = features[3, index]
            if isinstance(clip, Clip):
                assert isinstance(stored, Clip)
                assert torch.equal(stored.frames, mean_colour(clip.frames[None])[0])
            else:
                assert stored == clip
        failures = [stored for stored in (features[0, i] for i in range(12)) if isinstance(stored, Failure)]
        assert len(failures) == 2
        assert all(str(file) in failure.error for file, failure in zip(bad, failures, strict=True))


def test_what_could_not_be_read_is_tried_again(clips: ClipDataset, tmp_path: Path) -> None:
    """As when a disk was away: nothing about the clips tells that they can be read by now."""
    store = FeatureStore(tmp_path / "cache", {}, 12)
    frame = clips.manifest.path(2) / "2.jpg"
    whole = frame.read_bytes()
    frame.write_bytes(b"")
    backbone = Backbone()
    extraction = Extraction(backbone, batch_size=3, device=torch.device("cpu"))
    assert (extraction.run(clips, 0, store).labels < 0).tolist() == [index == 4 for index in range(12)]
    assert (extraction.run(clips, 0, store).labels < 0).sum() == 1
    assert backbone.clips == 11 + 2
    frame.write_bytes(whole)
    assert (extraction.run(clips, 0, store).labels >= 0).all()
    assert backbone.clips == 11 + 2 + 2 + 5


def test_a_whole_batch_may_fail(clips: ClipDataset, extract: Extract) -> None:
    for video in (0, 1):
        for frame in range(1, len(list(clips.manifest.path(video).iterdir())) + 1):
            break_frame(clips, video, frame)
    features = extract()
    failed = [index for index in range(12) if isinstance(features[0, index], Failure)]
    assert failed == [i for i in range(12) if clips.locate(i)[0] in (0, 1)]
    assert len(failed) >= 4


def test_everything_may_fail(clips: ClipDataset, extract: Extract) -> None:
    for video in range(5):
        for file in clips.manifest.path(video).iterdir():
            file.write_bytes(b"")
    for _ in range(2):
        features = extract()
        (batch,) = make_loader(features, EpochBatches(12, 12), workers=0)
        assert len(batch) == 0
        assert len(batch.failures) == 12
        with pytest.raises(DataError, match="cannot decode"):
            features.clip(0, 0)


def test_what_the_probe_could_not_read_is_still_reported(tmp_path: Path, clips: ClipDataset, extract: Extract) -> None:
    (tmp_path / "data" / "class0" / "broken.mp4").write_bytes(b"no video")
    features = extract(of=read_clips(tmp_path / "data"))
    assert [failure.path for failure in features.failures] == ["class0/broken.mp4"]
    assert len(features) == 12


def test_too_little_space_is_told_before_the_disk_is_full(small_disk: Path, extract: Extract) -> None:
    with pytest.raises(RunError, match=r"features need 0\.00048 GB .* ACTREC_ZOO_CACHE .* features_dtype=float16"):
        extract(lambda inputs: torch.zeros(len(inputs), 10_000), root=small_disk)
    assert list(small_disk.iterdir()) == []


def test_a_file_as_folder_is_an_error(tmp_path: Path, extract: Extract) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/"):
        extract(root=tmp_path / "file")


def test_two_processes_may_extract_at_once(tmp_path: Path, clips: ClipDataset, extract: Extract) -> None:
    code = (
        "import sys; from pathlib import Path; import torch\n"
        "from actrec_zoo.data import feature_store, features\n"
        "feature_store.CHUNK = features.CHUNK = 5\n"
        "from actrec_zoo.data.feature_extraction import Extraction\n"
        "from tests.data.test_features import fingerprints, mean_colour, read_clips, FeatureStore\n"
        "clips = read_clips(Path(sys.argv[1]))\n"
        "store = FeatureStore(Path(sys.argv[2]), fingerprints(clips, 1)[0], len(clips))\n"
        "Extraction(mean_colour, batch_size=3, device=torch.device('cpu')).run(clips, 0, store)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    backbone = Backbone()
    features = extract(backbone)
    assert backbone.clips == 2
    assert torch.equal(features.clip(4, 0).frames, mean_colour(clips.clip(4, 0).frames[None])[0])
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_room_is_made_by_what_was_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [_filled(tmp_path, number) for number in range(4)]
    for age, store in enumerate(stores):
        os.utime(store.folder / "about.json", (1e9 - age, 1e9 - age))
    size = kept_features(tmp_path)[0].size
    monkeypatch.setenv("ACTREC_ZOO_FEATURES_GB", str(2.5 * size / 1e9))
    make_room(tmp_path, keep=[stores[3].folder])
    assert [kept.folder for kept in kept_features(tmp_path)] == [stores[0].folder, stores[3].folder]
    monkeypatch.setenv("ACTREC_ZOO_FEATURES_GB", "0")
    make_room(tmp_path, keep=[stores[3].folder])
    assert [kept.folder for kept in kept_features(tmp_path)] == [stores[3].folder]


def test_what_another_process_may_be_filling_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _filled(tmp_path, 0)
    os.utime(store.folder / "about.json", (1e9, 1e9))
    store.write(1, Chunk(torch.zeros(2, 100), torch.zeros(2, dtype=torch.int64), {}))
    monkeypatch.setenv("ACTREC_ZOO_FEATURES_GB", "0")
    make_room(tmp_path, keep=[])
    assert [kept.folder for kept in kept_features(tmp_path)] == [store.folder]


def test_what_a_run_reads_for_longer_stays(extract: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = extract(Backbone())
    (kept,) = kept_features(tmp_path / "cache")
    os.utime(kept.folder / "about.json", (1e9, 1e9))
    monkeypatch.setattr("actrec_zoo.data.features._USE_NOTED", 0.0)
    assert isinstance(features[0, 0], Clip)
    monkeypatch.setenv("ACTREC_ZOO_FEATURES_GB", "0")
    make_room(tmp_path / "cache", keep=[])
    assert [store.folder for store in kept_features(tmp_path / "cache")] == [kept.folder]


_REMOVES = """
import shutil, sys
from pathlib import Path
while not Path(sys.argv[1], "end").exists():
    for folder in Path(sys.argv[1]).glob("?" * 32):
        shutil.rmtree(folder, ignore_errors=True)
"""


def test_what_another_process_removes_meanwhile_is_no_error(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", _REMOVES, str(tmp_path)])
    try:
        for number in range(300):
            with contextlib.suppress(RunError):  # its folder goes while it is written: said, and not what is tested
                _filled(tmp_path, number)
            assert len(kept_features(tmp_path)) <= number + 1
    finally:
        (tmp_path / "end").touch()
        assert other.wait(60) == 0


def _filled(root: Path, number: int) -> FeatureStore:
    store = FeatureStore(root, {"number": number}, 2)
    store.write(0, Chunk(torch.zeros(2, 100), torch.zeros(2, dtype=torch.int64), {}))
    return store


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_no_size_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ACTREC_ZOO_FEATURES_GB", text)
    with pytest.raises(ConfigError, match=f"ACTREC_ZOO_FEATURES_GB={text}"):
        limit_in_bytes()
