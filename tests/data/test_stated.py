from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.splits import Splits
from actrec_zoo.data.stated import stated_splits, with_validation
from actrec_zoo.errors import DataError

RATIOS = (0.8, 0.1, 0.1)


def official(groups: int = 10, videos: int = 3) -> Manifest:
    """Two classes; in each, groups of videos for training, and as many without a group for testing."""
    entries = [
        Entry(f"{label}/{split}{g}v{v}", label, f"{label}{g}" if split == "train" else "", split)
        for label in ("jump", "run")
        for split in ("train", "test")
        for g in range(groups)
        for v in range(videos)
    ]
    return Manifest.from_entries(Path("data"), entries)


def stated(manifest: Manifest) -> Splits:
    splits = stated_splits(manifest)
    assert splits is not None
    return splits


def test_no_split_is_stated() -> None:
    assert stated_splits(Manifest.from_entries(Path("data"), [Entry("a", "run")])) is None


def test_stated_splits_are_taken_as_they_are() -> None:
    entries = [Entry(f"v{i}", "run", "", split) for i, split in enumerate(("test", "train", "", "val", "train"))]
    splits = stated(Manifest.from_entries(Path("data"), entries))
    assert {name: videos.tolist() for name, videos in splits.items()} == {"train": [1, 4], "val": [3], "test": [0]}


def test_a_group_in_two_stated_splits_is_refused() -> None:
    entries = [Entry("a", "run", "film", "train"), Entry("b", "run", "film", "test")]
    with pytest.raises(DataError, match="train and test share the source group film"):
        stated_splits(Manifest.from_entries(Path("data"), entries))


def test_validation_is_taken_from_training_in_whole_groups() -> None:
    manifest = official()
    before = stated(manifest)
    after = with_validation(manifest, before, RATIOS, seed=0)
    assert after["test"].tolist() == before["test"].tolist()
    assert sorted([*after["train"], *after["val"]]) == before["train"].tolist()
    assert np.bincount(manifest.labels[after["val"]]).tolist() == [3, 3]
    assert not set(manifest.groups[after["val"]]) & set(manifest.groups[after["train"]])
    again = with_validation(manifest, before, RATIOS, seed=0)
    assert again["val"].tolist() == after["val"].tolist()
    assert with_validation(manifest, before, RATIOS, seed=1)["val"].tolist() != after["val"].tolist()


def test_a_stated_validation_split_is_left_alone() -> None:
    splits: Splits = {"train": np.array([0]), "val": np.array([1])}
    assert with_validation(official(), splits, RATIOS, seed=0) is splits


def test_a_class_of_one_group_gives_no_validation_videos() -> None:
    manifest = official(groups=1)
    with pytest.raises(DataError, match="class 'jump' has too few source groups to take validation videos"):
        with_validation(manifest, stated(manifest), RATIOS, seed=0)
