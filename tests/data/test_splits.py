from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.manifest import Entry, Manifest, Span
from actrec_zoo.data.splits import find_leaks, read_splits, write_splits
from actrec_zoo.errors import DataError
from tests.data.manifests import as_lists, grouped, plain


def test_splits_are_read_as_they_were_written(tmp_path: Path) -> None:
    manifest = grouped([3] * 10, [4] * 8)
    splits = make_splits(manifest)
    write_splits(tmp_path / "splits", manifest, splits)
    again, read = read_splits(tmp_path / "splits", manifest)
    assert as_lists(read) == as_lists(splits)
    assert [again.entry(i) for i in range(len(again))] == [manifest.entry(i) for i in range(len(manifest))]
    first = (tmp_path / "splits" / "val.csv").read_text().splitlines()[:2]
    assert first[0] == "path,label,group"
    assert first[1].split(",") == list(manifest.entry(int(splits["val"][0]))[:3])


def test_names_with_commas_quotes_and_other_alphabets_survive(tmp_path: Path) -> None:
    odd = [Entry(f'a, "b"/ü{v} 日本', 'a, "b"', "x\ny") for v in range(4)]
    manifest = Manifest.from_entries(Path("data"), odd)
    write_splits(tmp_path, manifest, {"train": np.arange(4)})
    again, read = read_splits(tmp_path, manifest)
    assert read["train"].tolist() == [0, 1, 2, 3]
    assert again.entry(0) == odd[0]


def test_file_names_that_are_no_unicode_survive(tmp_path: Path) -> None:
    manifest = Manifest.from_entries(Path("data"), [Entry("run/caf\udce9.avi", "run")])
    write_splits(tmp_path, manifest, {"test": np.array([0])})
    assert b"caf\xe9.avi" in (tmp_path / "test.csv").read_bytes()
    assert read_splits(tmp_path, manifest)[1]["test"].tolist() == [0]


def test_groups_of_the_split_files_become_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label,group\nc0/v0,c0,beach\n")
    manifest, splits = read_splits(tmp_path, plain(2))
    assert [manifest.entry(i).group for i in range(2)] == ["beach", ""]
    assert list(splits) == ["train"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("c0/v0,c0,\nc0/gone,c0,", "c0/v1,c0,", r"train\.csv names 1 videos that are not in data: c0/gone"),
        ("c0/v0,c0,", "c0/v1,c1,", r"test\.csv, line 2: c0/v1 is 'c1' here and 'c0' in the data"),
        ("c0/v0,c0,\nc0/v1,c0,", "c0/v1,c0,", "train and test share the video c0/v1"),
        ("c0/v0,c0,\nc0/v1,c0,", "./c0/v1,c0,", "train and test share the video c0/v1"),
        ("c0/v0,c0,park", "c0/v1,c0,park", "train and test share the source group park"),
        ("c0/v0,c0,\nc0/v0,c0,", "c0/v1,c0,", r"train\.csv names c0/v0 more than once"),
    ],
    ids=["missing video", "other label", "shared video", "same video spelt otherwise", "shared group", "twice"],
)
def test_bad_split_files_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    (tmp_path / "train.csv").write_text(f"path,label,group\n{train}\n")
    (tmp_path / "test.csv").write_text(f"path,label,group\n{test}\n")
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path, plain(3, 3))


def test_groups_that_only_the_data_states_are_not_shared_either(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label\nc0/g0v0,c0\n")
    (tmp_path / "val.csv").write_text("path,label\nc0/g0v1,c0\n")
    with pytest.raises(DataError, match="train and val share the source group c0g0"):
        read_splits(tmp_path, grouped([2, 2]))


def test_leaks_that_are_allowed_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "train.csv").write_text("path,label,group\nc0/v0,c0,park\nc0/v1,c0,\n")
    (tmp_path / "test.csv").write_text("path,label,group\nc0/v1,c0,\nc0/v2,c0,park\n")
    manifest, splits = read_splits(tmp_path, plain(4), allow_leak=True)
    assert as_lists(splits) == {"train": [0, 1], "test": [1, 2]}
    assert list(find_leaks(manifest, splits)) == [
        ("video", "c0/v1", "train", "test"),
        ("source group", "park", "train", "test"),
    ]
    assert [message.removeprefix(f"warning: {tmp_path}: ") for message in caplog.messages] == [
        "train and test share the video c0/v1",
        "train and test share the source group park",
    ]


def test_a_leak_names_the_first_and_counts_the_others(tmp_path: Path) -> None:
    for name in ("train", "val"):
        rows = "".join(f"c0/v{v},c0\n" for v in range(5))
        (tmp_path / f"{name}.csv").write_text(f"path,label\n{rows}")
    with pytest.raises(DataError, match="share the video c0/v0, c0/v1, c0/v2 and 2 more"):
        read_splits(tmp_path, plain(5))


def test_folder_without_split_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of train\.csv, val\.csv and test\.csv"):
        read_splits(tmp_path / "nowhere", plain(3))


def test_parts_of_one_video_leak_whatever_their_groups(tmp_path: Path) -> None:
    entries = [
        Entry("a.mp4", "run"),
        Entry("a.mp4", "run", "a.mp4", "", Span(1, 2)),
        Entry("b.mp4", "run", "one", "", Span(0, 1)),
        Entry("b.mp4", "run", "two", "", Span(1, 2)),
        Entry("c.mp4", "run", "c.mp4", "", Span(0, 1)),
        Entry("c.mp4", "run", "c.mp4", "", Span(1, 2)),
    ]
    manifest = Manifest.from_entries(tmp_path, entries)
    leaks = list(find_leaks(manifest, {"train": np.array([0, 2, 4]), "test": np.array([1, 3, 5])}))
    assert leaks == [("video", f"{name}.mp4", "train", "test") for name in "abc"]
