"""VideoClassifier: labels, input and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import DataError
from tests.conftest import moving_square, numbered_frames, write_frames, write_video


@pytest.fixture(scope="module")
def model() -> VideoClassifier:
    torch.manual_seed(0)
    return actrec_zoo.load("tiny_conv3d", weights=None, num_classes=7)


def test_parts(model: VideoClassifier) -> None:
    assert model.labels == ("0", "1", "2", "3", "4", "5", "6")
    assert (model.id, model.spec.name, model.input) == ("tiny:tiny_conv3d", "tiny_conv3d", model.spec.input)
    assert model.device == torch.device("cpu")
    assert not model.training


def test_forward_is_head_of_features(model: VideoClassifier) -> None:
    clips = torch.randn(3, 3, 8, 64, 64)
    with torch.inference_mode():
        features = model.forward_features(clips)
        assert features.shape == (3, 96)
        assert torch.equal(model(clips), model.forward_head(features))
        assert model(clips).shape == (3, 7)


def test_predict_gives_the_best_labels_first(model: VideoClassifier) -> None:
    best = model.predict(moving_square(16, step=2))
    assert len(best) == 5
    assert all(label in model.labels and isinstance(p, float) for label, p in best)
    probabilities = [p for _, p in best]
    assert probabilities == sorted(probabilities, reverse=True)
    everything = model.predict(moving_square(16, step=2), top_k=100)
    assert len(everything) == 7
    assert sum(p for _, p in everything) == pytest.approx(1)
    assert everything[:5] == best


def test_predict_is_the_mean_over_the_clips_of_the_video(model: VideoClassifier) -> None:
    video = moving_square(8 * 2 * 11, step=1, side=64)  # 11 clips of 8 frames at stride 2: more than one chunk
    clips = torch.stack([torch.from_numpy(video[start : start + 16 : 2]) for start in range(0, 176, 16)])
    with torch.inference_mode():
        scores = model(model.preprocess(clips.permute(0, 1, 4, 2, 3))).softmax(1).mean(dim=0)
    predicted = dict(model.predict(video, top_k=7))
    assert [predicted[label] for label in model.labels] == pytest.approx(scores.tolist(), abs=1e-5)


def test_array_tensor_and_frame_folder_agree(model: VideoClassifier, tmp_path: Path) -> None:
    frames = moving_square(16, step=2)
    from_array = model.predict(frames)
    assert model.predict(torch.from_numpy(frames)) == from_array
    assert model.predict(write_frames(tmp_path / "frames", frames, ".png")) == from_array
    assert model.predict(str(tmp_path / "frames")) == from_array


def test_video_file_is_near_its_frames(model: VideoClassifier, tmp_path: Path) -> None:
    frames = numbered_frames(16)
    exact, compressed = (
        dict(model.predict(video, 7))
        for video in (frames, write_video(tmp_path / "v.mp4", frames, options={"crf": "1"}))
    )
    assert [compressed[label] for label in exact] == pytest.approx(list(exact.values()), abs=0.02)


@pytest.mark.parametrize("kind", ["read-only", "mirrored", "sliced"])
def test_arrays_that_torch_does_not_take(model: VideoClassifier, kind: str) -> None:
    frames = moving_square(16, step=2)
    if kind == "read-only":
        other = frames.copy()
        other.setflags(write=False)
    elif kind == "mirrored":
        other = frames[:, :, ::-1].copy()[:, :, ::-1]
    else:
        other = np.repeat(frames, 2, axis=0)[::2]
    assert model.predict(other) == model.predict(frames)


def test_short_video_repeats_its_last_frame(model: VideoClassifier) -> None:
    frames = moving_square(3, step=2)
    padded = np.concatenate([frames, np.repeat(frames[-1:], 40, axis=0)])[:15]
    assert model.predict(frames) == model.predict(padded)


@pytest.mark.parametrize(
    "video",
    [
        np.zeros((8, 32, 32), np.uint8),
        np.zeros((8, 32, 32, 4), np.uint8),
        np.zeros((8, 32, 32, 3), np.float32),
        np.zeros((8, 32, 32, 3), np.int64),
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((8, 0, 32, 3), np.uint8),
        torch.zeros(8, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(8, 32, 32, 3),
    ],
    ids=lambda video: f"{video.dtype}-{tuple(video.shape)}",
)
def test_other_arrays_are_refused(model: VideoClassifier, video: Tensor) -> None:
    with pytest.raises(DataError, match=r"frames must be uint8\[T, H, W, 3\], RGB, not "):
        model.predict(video)


def test_missing_video(model: VideoClassifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no video .*none\.mp4"):
        model.predict(tmp_path / "none.mp4")


def test_file_that_is_no_video(model: VideoClassifier, tmp_path: Path) -> None:
    file = tmp_path / "text.mp4"
    file.write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4"):
        model.predict(file)


def test_predict_leaves_each_module_in_its_mode() -> None:
    model = actrec_zoo.load("tiny_conv3d", weights=None, num_classes=2).train()
    model.net.backbone.eval()
    modes = [module.training for module in model.modules()]
    model.predict(moving_square(8, step=1))
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(DataError):
        model.predict("no such file")
    assert [module.training for module in model.modules()] == modes
