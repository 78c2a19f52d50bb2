from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from actrec_zoo.data.layouts import list_frames, read_csv, read_manifest
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.errors import DataError, UnknownNameError
from tests.conftest import numbered_frames, write_frames


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def entries(manifest: Manifest) -> list[Entry]:
    return [manifest.entry(i) for i in range(len(manifest))]


def write_csv(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    touch(folder / "run" / "a.mp4", folder / "run" / "b.mp4", folder / "jump" / "c.mp4")
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_frame_folders_of_the_hmdb_simp_layout(squares: Path) -> None:
    manifest = read_manifest(squares)
    assert manifest.classes == ("left", "right")
    assert len(manifest) == 20
    assert manifest.entry(2) == Entry("left/clip2", "left")
    assert manifest.path(2) == squares / "left" / "clip2"
    assert manifest.skipped == {}


def test_video_files(videos: Path) -> None:
    manifest = read_manifest(videos)
    assert [manifest.paths[i] for i in (0, 7)] == ["left/clip0.mp4", "right/clip3.mp4"]
    assert manifest.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_frame_folders_and_video_files_beside_each_other(tmp_path: Path) -> None:
    touch(tmp_path / "run" / "10.AVI", tmp_path / "run" / "2.webm", tmp_path / "run" / "9" / "1.PNG")
    assert list(read_manifest(tmp_path).paths) == ["run/2.webm", "run/9", "run/10.AVI"]


def test_junk_is_passed_over_and_counted(tmp_path: Path) -> None:
    touch(tmp_path / "run" / "a" / "1.jpg", tmp_path / "run" / "b.mp4")
    touch(tmp_path / ".DS_Store", tmp_path / "readme.txt", tmp_path / "__MACOSX" / "run" / "a.mp4")
    touch(*(tmp_path / "run" / name for name in (".DS_Store", "Thumbs.db", "notes.txt", "._b.mp4", "cover.jpg")))
    touch(tmp_path / "run" / "only_text" / "notes.txt", tmp_path / "run" / "only_junk" / "._1.jpg")
    (tmp_path / "run" / "empty").mkdir()
    (tmp_path / "empty_class").mkdir()
    manifest = read_manifest(tmp_path)
    assert list(manifest.paths) == ["run/a", "run/b.mp4"]
    assert manifest.classes == ("run",)
    assert manifest.skipped == {"other file": 8, "folder without frames": 3, "class folder without videos": 1}


def test_frames_are_listed_in_natural_order_without_junk(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", numbered_frames(12))
    touch(folder / "Thumbs.db", folder / "._1.jpg", folder / ".DS_Store", folder / "notes.txt", folder / "13.JPEG")
    assert list_frames(folder) == [f"{i}.jpg" for i in range(1, 13)] + ["13.JPEG"]


@pytest.mark.parametrize("name", ["manifest.csv", "mine.csv"])
def test_csv_file_with_groups(tmp_path: Path, name: str) -> None:
    file = write_csv(tmp_path, "path,label,group\nrun/b.mp4,run,park\njump/c.mp4,jumping high,\n", name)
    manifest = read_manifest(file)
    assert entries(manifest) == [Entry("run/b.mp4", "run", "park"), Entry("jump/c.mp4", "jumping high")]
    assert manifest.root == tmp_path


def test_folder_with_manifest_csv_is_read_from_the_file_alone(tmp_path: Path) -> None:
    write_csv(tmp_path, "label,path\nrun,run/a.mp4\n")
    assert entries(read_manifest(tmp_path)) == [Entry("run/a.mp4", "run")]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    file = write_csv(tmp_path, '\ufeffpath,label,group\r\n"run/a.mp4","run, fast",x\r\n./jump/c.mp4,jump,y\r\n')
    assert entries(read_manifest(file)) == [Entry("run/a.mp4", "run, fast", "x"), Entry("jump/c.mp4", "jump", "y")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\nrun/a.mp4,x\n", r"manifest\.csv lacks the column label"),
        ("", "lacks the column label, path"),
        ("path,label\nrun/a.mp4,run\nrun/gone.mp4,run\n", r"manifest\.csv, line 3: there is no .*run/gone\.mp4"),
        ("path,label\nrun/a.mp4,run\nrun/b.mp4,run\n./run/a.mp4,jump\n", r"lists 'run/a\.mp4' more than once"),
        ("path,label\nrun/a.mp4\n", "line 2: path or label is empty"),
        ("path,label\n,run\n", "line 2: path or label is empty"),
        ("path,label\n", "holds no videos"),
    ],
    ids=["no label column", "empty file", "missing video", "same video twice", "short row", "empty path", "no row"],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(write_csv(tmp_path, text))


def test_csv_that_is_a_folder_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("folder.csv", "gone.csv"):
        with pytest.raises(DataError, match=f"cannot read .*{name}"):
            list(read_csv(tmp_path / name))


def test_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfep\0a\0t\0h\0,\0l\0a\0b\0e\0l\0\n\0")
    with pytest.raises(DataError, match=r"a\.csv lacks the column"):
        read_manifest(tmp_path / "a.csv")


def test_missing_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data at .*nowhere: give a folder"):
        read_manifest(tmp_path / "nowhere")


def test_empty_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos. Expected CLASS/VIDEO_FOLDER"):
        read_manifest(tmp_path)


def test_single_video_file_is_no_data_set(videos: Path) -> None:
    with pytest.raises(DataError, match="has no known layout"):
        read_manifest(videos / "left" / "clip0.mp4")


def test_reader_of_a_plugin_goes_first(squares: Path) -> None:
    class OneClass:
        def matches(self, path: Path) -> bool:
            return path.is_dir()

        def root(self, path: Path) -> Path:
            return path / "left"

        def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
            skipped["other class"] += 1
            yield Entry("clip0", "leftwards")

    manifest = read_manifest(squares, {"one": OneClass()})
    assert manifest.classes == ("leftwards",)
    assert manifest.path(0) == squares / "left" / "clip0"
    assert manifest.skipped == {"other class": 1}


def test_a_layout_is_chosen_by_name(tmp_path: Path) -> None:
    write_csv(tmp_path, "path,label\nrun/a.mp4,walk\n")
    assert read_manifest(tmp_path).classes == ("walk",)
    assert read_manifest(tmp_path, layout="folders").classes == ("jump", "run")


def test_an_unknown_layout_tells_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no data format 'folder'\. Did you mean folders"):
        read_manifest(tmp_path, layout="folder")


def test_a_layout_asked_for_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no manifest\.csv"):
        read_manifest(tmp_path, layout="table")
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        read_manifest(tmp_path / "nowhere", layout="folders")


def test_some_classes_are_kept(tmp_path: Path) -> None:
    touch(*(tmp_path / name / f"{number}.mp4" for name in ("run", "jump", "walk") for number in range(2)))
    manifest = read_manifest(tmp_path, classes=("walk", "run"))
    assert manifest.classes == ("run", "walk")
    assert list(manifest.paths) == ["run/0.mp4", "run/1.mp4", "walk/0.mp4", "walk/1.mp4"]
    assert manifest.skipped == {"video of another class": 2}


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "brush_hair" / "a.mp4")
    with pytest.raises(
        DataError, match=r"no video of 1 of the classes asked for: brush hair\. Did you mean brush_hair"
    ):
        read_manifest(tmp_path, classes=("brush_hair", "brush hair"))


def test_an_odd_split_of_a_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the split of a is 'dev', not one of"):
        Manifest.from_entries(tmp_path, [Entry("a", "run", "", "dev")])


def test_folders_of_splits_with_folders_of_classes(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("train/run/a.mp4", "train/jump/b/1.jpg", "validation/run/a.mp4", "notes.txt")))
    assert entries(read_manifest(tmp_path)) == [
        Entry("train/jump/b", "jump", "", "train"),
        Entry("train/run/a.mp4", "run", "", "train"),
        Entry("validation/run/a.mp4", "run", "", "val"),
    ]


@pytest.mark.parametrize("folders", [("train", "bus"), ("train",)])
def test_a_class_may_be_called_train(tmp_path: Path, folders: tuple[str, ...]) -> None:
    touch(*(tmp_path / name / "a.mp4" for name in folders))
    assert read_manifest(tmp_path).classes == tuple(sorted(folders))
