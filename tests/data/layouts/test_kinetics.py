from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError
from tests.data.layouts.test_hmdb_ucf import entries, touch, write

HEADER = "label,youtube_id,time_start,time_end,split"


@pytest.fixture
def kinetics(tmp_path: Path) -> Path:
    """Lists in annotations/; videos in class folders, flat, with and without times; one is lost."""
    lists = tmp_path / "annotations"
    write(
        lists / "train.csv",
        HEADER,
        "abseiling,-0a_b,10,20,train",
        '"petting animal, (not cat)",xyz,3,13,train',
        "abseiling,gone,0,10,train",
    )
    write(lists / "val.csv", HEADER, "abseiling,q1,119,129,validate")
    write(lists / "test.csv", HEADER, ",hidden,1,11,test")
    touch(tmp_path / "train" / "abseiling" / "-0a_b_000010_000020.mp4", tmp_path / "train" / "xyz.mkv")
    touch(tmp_path / "val" / "q1_000119_000129" / "1.jpg")
    return tmp_path


def test_lists_of_a_folder_give_videos_and_splits(kinetics: Path) -> None:
    manifest = read_manifest(kinetics)
    assert entries(manifest) == [
        Entry("train/abseiling/-0a_b_000010_000020.mp4", "abseiling", "-0a_b", "train"),
        Entry("train/xyz.mkv", "petting animal, (not cat)", "xyz", "train"),
        Entry("val/q1_000119_000129", "abseiling", "q1", "val"),
    ]
    assert manifest.skipped == {"row without label": 1, "missing video": 1}


def test_one_list_beside_its_videos(tmp_path: Path) -> None:
    write(tmp_path / "mini.csv", HEADER.removesuffix(",split"), "run,a,0.0,10.0")
    touch(tmp_path / "a_000000_000010.mp4")
    assert entries(read_manifest(tmp_path / "mini.csv")) == [Entry("a_000000_000010.mp4", "run", "a")]


@pytest.mark.parametrize("time", ["zero", "nan", "inf", ""])
def test_bad_times_are_named(kinetics: Path, time: str) -> None:
    write(kinetics / "annotations" / "val.csv", HEADER, f"run,a,{time},10,val")
    with pytest.raises(DataError, match=r"val\.csv, line 2: time_start and time_end are not numbers"):
        read_manifest(kinetics)


def test_a_layout_asked_for_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no CSV file with the columns label,youtube_id"):
        read_manifest(tmp_path, layout="kinetics")
