from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data.dataset import Clip, ClipDataset, EpochBatches, Failure, make_loader
from actrec_zoo.data.features import FeatureDataset, extract_features
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.spec import InputSpec
from tests.conftest import moving_square, write_frames

SPEC = InputSpec(frames=4, size=16)


def mean_colour(inputs: Tensor) -> Tensor:
    """Features float[B, T, 3] that tell clips apart."""
    return inputs.float().mean(dim=(3, 4))


@pytest.fixture
def clips(tmp_path: Path) -> ClipDataset:
    """5 videos with 3, 2, 1, 3 and 3 clips."""
    for number, frames in enumerate((12, 8, 5, 12, 13)):
        write_frames(tmp_path / "data" / f"class{number % 2}" / f"v{number}", moving_square(frames, step=number))
    manifest = probe(read_manifest(tmp_path / "data"))
    return ClipDataset(manifest, np.arange(5), ClipSampler("blocks", 4), ClipTransform(SPEC))


@pytest.fixture
def extract(clips: ClipDataset, tmp_path: Path) -> Callable[..., FeatureDataset]:
    def run(
        compute: Callable[[Tensor], Tensor] = mean_colour, file: Path = tmp_path / "cache" / "train.f32", **options: int
    ) -> FeatureDataset:
        return extract_features(clips, compute, file, batch_size=5, device=torch.device("cpu"), **options)

    return run


def break_frame(clips: ClipDataset, video: int, frame: int) -> Path:
    file = clips.manifest.path(video) / f"{frame}.jpg"
    file.write_bytes(file.read_bytes()[:200])
    return file


@pytest.mark.parametrize("workers", [0, 1])
def test_features_are_those_computed_directly(
    clips: ClipDataset, extract: Callable[..., FeatureDataset], workers: int
) -> None:
    features = extract(workers=workers)
    assert len(features) == len(clips) == 12
    for index in range(12):
        clip, stored = clips.clip(index, 0), features.clip(index, epoch=7)
        assert torch.equal(stored.frames, mean_colour(clip.frames[None])[0])
        assert stored[1:4] == clip[1:4] and stored.key == (7, index)


def test_features_are_stored_as_float32_whatever_computes_them(extract: Callable[..., FeatureDataset]) -> None:
    features = extract(lambda inputs: mean_colour(inputs).to(torch.bfloat16))
    assert features.clip(0, 0).frames.dtype == torch.float32


def test_features_need_no_frames_any_more(clips: ClipDataset, extract: Callable[..., FeatureDataset]) -> None:
    features = extract()
    for video in range(5):
        for file in clips.manifest.path(video).iterdir():
            file.unlink()
    (batch,) = make_loader(features, EpochBatches(12, 12), workers=0)
    assert batch.inputs.shape == (12, 4, 3)
    assert batch.failures == ()


def test_failed_clips_keep_their_place_and_their_reason(
    clips: ClipDataset, extract: Callable[..., FeatureDataset]
) -> None:
    bad = [break_frame(clips, video, frame) for video, frame in ((0, 6), (4, 4))]
    expected = [clips[0, index] for index in range(12)]
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


def test_a_whole_batch_may_fail(clips: ClipDataset, extract: Callable[..., FeatureDataset]) -> None:
    for video in (0, 1):
        for frame in range(1, len(list(clips.manifest.path(video).iterdir())) + 1):
            break_frame(clips, video, frame)
    features = extract()
    failed = [index for index in range(12) if isinstance(features[0, index], Failure)]
    assert failed == [i for i in range(12) if clips.locate(i)[0] in (0, 1)]
    assert len(failed) >= 4


def test_everything_may_fail(clips: ClipDataset, extract: Callable[..., FeatureDataset]) -> None:
    for video in range(5):
        for file in clips.manifest.path(video).iterdir():
            file.write_bytes(b"")
    features = extract()
    (batch,) = make_loader(features, EpochBatches(12, 12), workers=0)
    assert len(batch) == 0
    assert len(batch.failures) == 12
    with pytest.raises(DataError, match="cannot decode"):
        features.clip(0, 0)


def test_what_the_probe_could_not_read_is_still_reported(tmp_path: Path, clips: ClipDataset) -> None:
    (tmp_path / "data" / "class0" / "broken.mp4").write_bytes(b"no video")
    manifest = probe(read_manifest(tmp_path / "data"))
    clips = ClipDataset(manifest, np.arange(6), ClipSampler("blocks", 4), ClipTransform(SPEC))
    features = extract_features(clips, mean_colour, tmp_path / "f", batch_size=4, device=torch.device("cpu"))
    assert [failure.path for failure in features.failures] == ["class0/broken.mp4"]
    assert len(features) == 12


def test_a_full_disk_is_an_error_that_says_so(extract: Callable[..., FeatureDataset]) -> None:
    with pytest.raises(RunError, match="cannot write /dev/full: No space left on device"):
        extract(file=Path("/dev/full"))


def test_a_file_as_folder_is_an_error(tmp_path: Path, extract: Callable[..., FeatureDataset]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/train\.f32"):
        extract(file=tmp_path / "file" / "train.f32")
