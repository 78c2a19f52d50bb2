import logging
from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.layouts.official import VideoFinder, walk_videos
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.stated import stated_splits
from actrec_zoo.errors import DataError

FILMS = (("April_9", 0), ("April_9", 1), ("Joe", 0))
HMDB = {
    "brush_hair": tuple(f"{film}_brush_hair_u_nm_np1_ba_goo_{n}" for film, n in FILMS),
    "climb": ("Show_#1_climb_f_cm_np1_ba_bad_3", "Film [2]_climb_l_nm_np1_le_med_0", "Left_climb_f_cm_np1_ri_goo_11"),
}


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def entries(manifest: Manifest) -> list[Entry]:
    return [manifest.entry(i) for i in range(len(manifest))]


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    """Two classes of HMDB51 as the archive unpacks them, with lists of two folds whose lines end in a space."""
    for label, names in HMDB.items():
        touch(*(tmp_path / "videos" / label / f"{name}.avi" for name in names))
        for fold, flags in ((1, "112"), (2, "201")):
            lines = [f"{name}.avi {flag} " for name, flag in zip(names, flags, strict=True)]
            write(tmp_path / "testTrainMulti_7030_splits" / f"{label}_test_split{fold}.txt", *lines)
    return tmp_path


def test_official_lists_of_hmdb51_are_found_and_give_splits(hmdb: Path) -> None:
    manifest = read_manifest(hmdb)
    folder, label = "videos/brush_hair", "brush_hair"
    assert entries(manifest)[:3] == [
        Entry(f"{folder}/{HMDB[label][0]}.avi", label, "brush_hair/April_9", "train"),
        Entry(f"{folder}/{HMDB[label][1]}.avi", label, "brush_hair/April_9", "train"),
        Entry(f"{folder}/{HMDB[label][2]}.avi", label, "brush_hair/Joe", "test"),
    ]
    assert [manifest.entry(i).group for i in (3, 4)] == ["climb/Show_#1", "climb/Film [2]"]


def test_another_fold_by_name(hmdb: Path) -> None:
    manifest = read_manifest(hmdb, layout="hmdb51:2")
    assert manifest.skipped == {"video in no split of this fold": 2}
    splits = stated_splits(manifest)
    assert splits and {name: len(videos) for name, videos in splits.items()} == {"train": 2, "test": 2}
    with pytest.raises(DataError, match=r"holds no <class>_test_split3\.txt: put the official lists of HMDB51 beside"):
        read_manifest(hmdb, layout="hmdb51:3")


def test_frame_folders_of_hmdb51(tmp_path: Path) -> None:
    touch(tmp_path / "climb" / "a_climb_f_cm_np1_ba_bad_3" / "1.jpg")
    write(tmp_path / "splits" / "climb_test_split1.txt", "a_climb_f_cm_np1_ba_bad_3.avi 1")
    assert list(read_manifest(tmp_path).paths) == ["climb/a_climb_f_cm_np1_ba_bad_3"]


def test_missing_videos_are_counted_and_named(hmdb: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in HMDB:
        (hmdb / "videos" / label / f"{HMDB[label][0]}.avi").unlink()
    with caplog.at_level(logging.WARNING):
        manifest = read_manifest(hmdb)
    assert (len(manifest), manifest.skipped) == (4, {"missing video": 2})
    assert f"2 of 6 listed videos are missing: {HMDB['brush_hair'][0]}.avi" in caplog.text


def test_no_video_at_all_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "climb_test_split1.txt", "a.avi 1")
    with pytest.raises(DataError, match=r"none of the 1 videos that the lists of .* name is below it: a\.avi"):
        read_manifest(tmp_path)


def test_a_film_in_training_and_test_is_no_group(hmdb: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{name}.avi {flag}" for name, flag in zip(HMDB["brush_hair"], "121", strict=True)]
    write(hmdb / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt", *lines)
    manifest = read_manifest(hmdb)
    assert [manifest.entry(i).group for i in range(3)] == ["", "", "brush_hair/Joe"]
    assert "1 source groups are in two of the official splits, such as brush_hair/April_9" in caplog.text
    assert stated_splits(manifest)


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "1"])
def test_a_bad_line_of_hmdb51_is_named(hmdb: Path, line: str) -> None:
    write(hmdb / "testTrainMulti_7030_splits" / "climb_test_split1.txt", "", line)
    with pytest.raises(DataError, match=r"climb_test_split1\.txt, line 2: .* is not a video name and 0, 1 or 2"):
        read_manifest(hmdb)


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    names = [f"{c}/v_{c}_g0{g}_c0{n}.avi" for c in ("Archery", "Biking") for g in (1, 8) for n in (1, 2)]
    touch(*(tmp_path / "UCF-101" / name for name in names))
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Archery", "2 Biking")
    write(lists / "trainlist01.txt", *(f"{name} {1 + ('Bik' in name)}" for name in names if "_g08" in name))
    write(lists / "testlist01.txt", *(name for name in names if "_g01" in name))
    return tmp_path


def test_official_lists_of_ucf101(ucf: Path) -> None:
    manifest = read_manifest(ucf)
    first, last = manifest.entry(0), manifest.entry(7)
    assert first == Entry("UCF-101/Archery/v_Archery_g08_c01.avi", "Archery", "Archery/v_Archery_g08", "train")
    assert last == Entry("UCF-101/Biking/v_Biking_g01_c02.avi", "Biking", "Biking/v_Biking_g01", "test")


def test_bad_or_missing_lists_of_ucf101_are_named(ucf: Path) -> None:
    with pytest.raises(DataError, match=r"holds no trainlist02\.txt"):
        read_manifest(ucf, layout="ucf101:2")
    write(ucf / "ucfTrainTestlist" / "testlist01.txt", "v_Biking_g01_c01.avi")
    with pytest.raises(DataError, match=r"testlist01\.txt, line 1: .* is not of the form Class/video"):
        read_manifest(ucf)
    (ucf / "ucfTrainTestlist" / "testlist01.txt").unlink()
    with pytest.raises(DataError, match=r"cannot read .*testlist01\.txt"):
        read_manifest(ucf)


def test_videos_are_found_by_folder_class_or_name_alone(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a/x.mp4", "b/x.webm", "b/y.mp4", "b/cover.jpg", "z/v.1/1.jpg", ".git/q.mp4")))
    assert list(walk_videos(tmp_path)) == ["a/x.mp4", "b/x.webm", "b/y.mp4", "z/v.1"]
    finder = VideoFinder(tmp_path)
    assert finder.find("a/x.avi", "run") == "a/x.mp4"
    assert finder.find("x", "b") == "b/x.webm"
    assert finder.find("x", "run") is None
    assert finder.find("elsewhere/y.avi", "run") == "b/y.mp4"
    assert finder.find("v.1", "run") == "z/v.1"
    assert finder.find("gone", "run") is None
