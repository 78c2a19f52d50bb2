from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError
from tests.data.layouts.test_hmdb_ucf import entries, touch, write


def test_jester(tmp_path: Path) -> None:
    write(tmp_path / "jester-v1-labels.csv", "Swiping Left", "No gesture")
    write(tmp_path / "jester-v1-train.csv", "34870;Swiping Left", "56557;No gesture")
    write(tmp_path / "jester-v1-validation.csv", "9223;No gesture")
    write(tmp_path / "jester-v1-test.csv", "1;", "2;")
    touch(*(tmp_path / "20bn-jester-v1" / name / "00001.jpg" for name in ("34870", "56557", "9223", "1", "2")))
    manifest = read_manifest(tmp_path)
    assert entries(manifest) == [
        Entry("20bn-jester-v1/34870", "Swiping Left", "", "train"),
        Entry("20bn-jester-v1/56557", "No gesture", "", "train"),
        Entry("20bn-jester-v1/9223", "No gesture", "", "val"),
    ]
    assert manifest.skipped == {"line without label": 2}


def test_moments_in_time(tmp_path: Path) -> None:
    write(tmp_path / "moments_categories.txt", "adult+female+singing,0", "juggling,1")
    write(tmp_path / "trainingSet.csv", "juggling/flickr-1.mp4,juggling,3,0", "juggling/flickr-2.mp4,juggling,2,1")
    write(tmp_path / "validationSet.csv", "adult+female+singing/yt-_X_9.mp4,adult+female+singing,3,0")
    touch(tmp_path / "training" / "juggling" / "flickr-1.mp4", tmp_path / "training" / "juggling" / "flickr-2.mp4")
    touch(tmp_path / "validation" / "adult+female+singing" / "yt-_X_9.mp4")
    assert [tuple(entry[:4]) for entry in entries(read_manifest(tmp_path))] == [
        ("training/juggling/flickr-1.mp4", "juggling", "", "train"),
        ("training/juggling/flickr-2.mp4", "juggling", "", "train"),
        ("validation/adult+female+singing/yt-_X_9.mp4", "adult+female+singing", "", "val"),
    ]


@pytest.mark.parametrize(
    "classes",
    [("run fast", "jump"), ("0 run fast", "1 jump"), ("jump,1", "run fast,0")],
    ids=["plain", "first", "last"],
)
def test_numbers_are_looked_up_in_a_file_of_classes(tmp_path: Path, classes: tuple[str, str]) -> None:
    write(tmp_path / "lists" / "classes.txt", *classes)
    write(tmp_path / "lists" / "train.txt", "some where/a b.mp4 0", "c.mp4 1")
    write(tmp_path / "lists" / "test_frames.txt", "frames/d 12 1")
    touch(tmp_path / "some where" / "a b.mp4", tmp_path / "x" / "c.mp4", tmp_path / "frames" / "d" / "1.jpg")
    assert [tuple(entry[:4]) for entry in entries(read_manifest(tmp_path))] == [
        ("frames/d", "jump", "", "test"),
        ("some where/a b.mp4", "run fast", "", "train"),
        ("x/c.mp4", "jump", "", "train"),
    ]


def test_one_list_states_no_split(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "a.mp4 0", "b.mp4 1")
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert entries(read_manifest(tmp_path / "train.txt")) == [Entry("a.mp4", "0"), Entry("b.mp4", "1")]


def test_a_number_without_a_name_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "run")
    write(tmp_path / "train.txt", "a.mp4 0", "b.mp4 1")
    with pytest.raises(DataError, match=r"train\.txt, line 2: the file of classes has no class 1"):
        read_manifest(tmp_path / "train.txt")


def test_split_files_and_notes_are_no_lists(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "path,label,group", "run/a.mp4,run,")
    write(tmp_path / "train.txt", "Notes on the training part")
    write(tmp_path / "test_scores.csv", "run/a.mp4,0.97")
    touch(tmp_path / "run" / "a.mp4")
    assert entries(read_manifest(tmp_path)) == [Entry("run/a.mp4", "run")]
    with pytest.raises(DataError, match="holds no list with lines such as"):
        read_manifest(tmp_path / "run", layout="list")


def test_a_number_of_thousands_of_digits_is_a_name(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "run", "jump " + "9" * 5000)
    write(tmp_path / "train.txt", "a.mp4 " + "9" * 5000)
    touch(tmp_path / "a.mp4")
    assert [entry.label for entry in entries(read_manifest(tmp_path / "train.txt"))] == ["9" * 5000]
