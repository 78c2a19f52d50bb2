from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.decode import open_source
from actrec_zoo.data.demo import FRAMES, MOTIONS, SIDE, render, write_motion_shapes
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.splits import refuse_leaks
from actrec_zoo.errors import DataError, RunError

SCENES, TRAINING_SCENES = 36, 24
CHANCE = 1 / len(MOTIONS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "shapes"
    assert write_motion_shapes(folder, scenes=4, seed=1) == 4 * len(MOTIONS)
    return folder


@pytest.fixture(scope="module")
def clips() -> NDArray[np.uint8]:
    """uint8[scene, class, T, H, W, 3]."""
    return np.stack([[render(motion, scene) for motion in MOTIONS] for scene in range(SCENES)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def motion_features(clip: NDArray[np.uint8]) -> list[float]:
    """Mean motion, mean turn and typical growth of the bright shape, over edges where it wraps around."""
    bright = clip.max(axis=-1).astype(float)
    mask = bright > 0.5 * (bright.max() + np.median(bright))
    wave = np.exp(2j * np.pi * np.arange(SIDE) / SIDE)
    places = np.stack([mask.sum(axis=1) @ wave, mask.sum(axis=2) @ wave])
    steps = np.angle(places[:, 1:] / places[:, :-1])
    turns = steps[0, :-1] * steps[1, 1:] - steps[1, :-1] * steps[0, 1:]
    growth = np.diff(np.sqrt(mask.sum(axis=(1, 2))))
    return [*np.median(steps, axis=1), 100 * float(np.median(turns)), float(np.median(growth))]


def accuracy(classifier: object, features: NDArray[np.float64]) -> float:
    """Top-1 on scenes that were not trained on; features [scene, class, sample, D]."""
    labels = np.broadcast_to(np.arange(len(MOTIONS))[:, None], features.shape[:3])
    train, test = slice(None, TRAINING_SCENES), slice(TRAINING_SCENES, None)
    width = features.shape[-1]
    classifier.fit(features[train].reshape(-1, width), labels[train].ravel())  # type: ignore[attr-defined]
    return float(classifier.score(features[test].reshape(-1, width), labels[test].ravel()))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(60, min_samples_leaf=3, random_state=0),
        KNeighborsClassifier(5),
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)),
    ],
    ids=["random forest", "nearest neighbours", "logistic regression"],
)
def test_a_single_frame_does_not_give_the_class_away(clips: NDArray[np.uint8], classifier: object) -> None:
    frames = clips[:, :, ::8].reshape(SCENES, len(MOTIONS), 3, 16, 4, 16, 4, 3).mean(axis=(4, 6))
    assert accuracy(classifier, frames.reshape(SCENES, len(MOTIONS), 3, -1)) < CHANCE + 0.08


def test_the_motion_gives_the_class_away(clips: NDArray[np.uint8]) -> None:
    features = np.array([[[motion_features(clip)] for clip in scene] for scene in clips])
    assert accuracy(RandomForestClassifier(60, random_state=0), features) > 0.9


def test_classes_look_alike_in_size_brightness_and_place(clips: NDArray[np.uint8]) -> None:
    bright = (clips[:, :, ::4].max(axis=-1) > 128).mean(axis=2)
    by_class = bright.mean(axis=(2, 3)).mean(axis=0)
    assert by_class == pytest.approx(by_class.mean(), rel=0.15)
    for axis in (2, 3):
        profile = bright.mean(axis=(0, axis))
        assert (profile.std(axis=1) / profile.mean(axis=1)).max() < 0.35


def test_layout_is_that_of_hmdb_simp_with_groups(demo: Path) -> None:
    manifest = probe(read_manifest(demo))
    assert manifest.classes == tuple(sorted(MOTIONS))
    assert len(manifest.classes) >= 6
    assert len(manifest) == 4 * len(MOTIONS)
    assert set(manifest.frames.tolist()) == {FRAMES}
    for index in range(len(manifest)):
        entry = manifest.entry(index)
        assert entry.path == f"{entry.label}/{entry.group}"
    without_csv = sorted(f"{c.name}/{v.name}" for c in demo.iterdir() if c.is_dir() for v in c.iterdir())
    assert sorted(manifest.paths) == without_csv


def test_frames_are_small_jpegs_that_show_what_was_rendered(demo: Path) -> None:
    with Image.open(demo / "grow" / "scene002" / "5.jpg") as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (SIDE, SIDE), "RGB")
    read = open_source(demo / "grow" / "scene002").read(np.arange(FRAMES)).permute(0, 2, 3, 1).numpy()
    assert np.abs(read.astype(int) - render("grow", 2, seed=1)).mean() < 6


def test_a_scene_is_never_in_two_splits(demo: Path) -> None:
    manifest = read_manifest(demo)
    splits = make_splits(manifest)
    refuse_leaks(manifest, splits, "demo")
    assert sorted(len(indices) for indices in splits.values()) == [8, 8, 16]


def test_the_seed_decides_every_byte(demo: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 1), ("other", 2)):
        write_motion_shapes(tmp_path / name, scenes=4, seed=seed)
    first, same, other = (contents(folder) for folder in (demo, tmp_path / "same", tmp_path / "other"))
    assert same == first
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name.endswith(".jpg"))


def test_more_scenes_leave_the_first_ones_as_they_are(demo: Path, tmp_path: Path) -> None:
    write_motion_shapes(tmp_path / "more", scenes=1, seed=1)
    fewer = {name: content for name, content in contents(tmp_path / "more").items() if name.endswith(".jpg")}
    assert len(fewer) == len(MOTIONS) * FRAMES
    assert fewer.items() <= contents(demo).items()


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="mine exists already: choose another folder"):
        write_motion_shapes(tmp_path / "mine", scenes=1)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/demo"):
        write_motion_shapes(tmp_path / "file" / "demo", scenes=1)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
