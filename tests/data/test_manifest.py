import os
from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.errors import DataError
from tests.conftest import numbered_frames, write_frames

ENTRIES = (Entry("run/b", "run", "park"), Entry("jump/a", "jump", "gym"), Entry("run/a", "run"))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.from_entries(tmp_path, ENTRIES, {"other file": 2})


def test_classes_are_sorted_and_videos_keep_their_order(manifest: Manifest) -> None:
    assert manifest.classes == ("jump", "run")
    assert manifest.labels.tolist() == [1, 0, 1]
    assert [manifest.entry(i) for i in range(len(manifest))] == list(ENTRIES)
    assert manifest.groups.tolist() == [0, 1, -1]
    assert manifest.frames.tolist() == [-1, -1, -1]
    assert manifest.skipped == {"other file": 2}


def test_no_entries_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos. Expected CLASS/"):
        Manifest.from_entries(tmp_path, [])


def test_groups_are_set_for_some_videos_and_kept_for_the_others(manifest: Manifest) -> None:
    grouped = manifest.with_groups(np.array([2, 1]), PackedStrings(["beach", ""]))
    assert [grouped.entry(i).group for i in range(3)] == ["park", "gym", "beach"]
    assert grouped.labels.tolist() == manifest.labels.tolist()


def test_labels_follow_the_classes_of_a_model(manifest: Manifest) -> None:
    known = manifest.with_classes(["walk", "run", "jump"])
    assert known.classes == ("walk", "run", "jump")
    assert [known.entry(i) for i in range(3)] == list(ENTRIES)
    assert known.labels.tolist() == [1, 2, 1]


def test_a_class_that_the_model_does_not_know_is_named(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="does not know: run"):
        manifest.with_classes(["jump", "walk"])


def test_content_hash_changes_with_the_files(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "run" / "b", numbered_frames(2))
    video = tmp_path / "jump" / "a"
    video.parent.mkdir()
    video.write_bytes(b"one")
    manifest = Manifest.from_entries(tmp_path, ENTRIES)
    before = manifest.content_hash()
    assert manifest.content_hash() == before

    (folder / "3.jpg").write_bytes((folder / "1.jpg").read_bytes())
    frame_added = manifest.content_hash()
    video.write_bytes(b"longer")
    os.utime(video, ns=(0, 0))
    rewritten = manifest.content_hash()
    os.utime(video, ns=(1, 1))
    touched = manifest.content_hash()
    assert len({before, frame_added, rewritten, touched}) == 4
    assert Manifest.from_entries(tmp_path, ENTRIES[:2]).content_hash() != touched
