from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry, Manifest, Span
from actrec_zoo.data.splits import read_splits, write_splits
from actrec_zoo.errors import DataError


def write(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    for video in ("a.mp4", "b.mp4"):
        (folder / video).touch()
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def entries(manifest: Manifest) -> list[Entry]:
    return [manifest.entry(i) for i in range(len(manifest))]


@pytest.mark.parametrize("name", ["manifest.tsv", "mine.tsv"])
def test_tsv_with_a_split_column(tmp_path: Path, name: str) -> None:
    text = "label\tpath\tsplit\nrun, fast\ta.mp4\ttrain\njump\tb.mp4\tValidation\n"
    file = write(tmp_path, text, name)
    expected = [Entry("a.mp4", "run, fast", "", "train"), Entry("b.mp4", "jump", "", "val")]
    assert entries(read_manifest(file)) == expected


def test_semicolons_as_spreadsheets_of_some_countries_write_them(tmp_path: Path) -> None:
    file = write(tmp_path, "path;label;split\na.mp4;run, fast;test\n")
    assert entries(read_manifest(file)) == [Entry("a.mp4", "run, fast", "", "test")]


def test_parts_of_a_video_in_frames_and_in_seconds(tmp_path: Path) -> None:
    rows = "a.mp4,run,,0,10,,\na.mp4,jump,,10,,,\nb.mp4,run,g,,,0.5,1.25\nb.mp4,jump,g,,,,\n"
    manifest = read_manifest(write(tmp_path, "path,label,group,start_frame,end_frame,start,end\n" + rows))
    assert entries(manifest) == [
        Entry("a.mp4", "run", "a.mp4", "", Span(0, 10)),
        Entry("a.mp4", "jump", "a.mp4", "", Span(10)),
        Entry("b.mp4", "run", "g", "", Span(0.5, 1.25, seconds=True)),
        Entry("b.mp4", "jump", "g"),
    ]
    assert [e.name for e in entries(manifest)] == ["a.mp4#frames=0-10", "a.mp4#frames=10-", "b.mp4#t=0.5,1.25", "b.mp4"]


def test_parts_of_a_video_are_found_again_in_split_files(tmp_path: Path) -> None:
    rows = "".join(f"a.mp4,run,{i}.25,{i + 1}\n" for i in range(4))
    manifest = read_manifest(write(tmp_path, "path,label,start,end\n" + rows))
    write_splits(tmp_path / "splits", manifest, {"test": np.arange(4)})
    again, read = read_splits(tmp_path / "splits", manifest)
    assert read["test"].tolist() == [0, 1, 2, 3]
    assert entries(again) == entries(manifest)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("split", "trian", r"manifest\.csv, line 2: the split is 'trian', not one of train, val, test"),
        ("start,end", "x,2", "line 2: start is 'x', not a number of seconds"),
        ("start,end", "2,2", "line 2: end 2 is not after start 2"),
        ("start,end", "-1,2", "line 2: start is '-1'"),
        ("start,end", "0,nan", "line 2: end is 'nan'"),
        ("start_frame,end_frame", "0.5,2", "line 2: start_frame is '0.5', not a whole number"),
        ("start,end_frame", "0,2", "line 2: give start and end in seconds, or start_frame and end_frame, not both"),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(write(tmp_path, f"path,label,{header}\na.mp4,run,{row}\n"))


def test_the_same_part_twice_is_refused(tmp_path: Path) -> None:
    text = "path,label,start_frame,end_frame\na.mp4,run,0,5\na.mp4,jump,0,5\n"
    with pytest.raises(DataError, match=r"lists 'a\.mp4#frames=0-5' more than once"):
        read_manifest(write(tmp_path, text))


def test_a_whole_video_and_its_parts_are_one_source(tmp_path: Path) -> None:
    text = "path,label,group,start,end\na.mp4,run,,,\na.mp4,jump,,0,5\nb.mp4,run,,,\nb.mp4,jump,g,0,5\n"
    assert [entry.group for entry in entries(read_manifest(write(tmp_path, text)))] == ["a.mp4", "a.mp4", "b.mp4", "g"]


def test_null_characters_and_blanks_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"path,label\nv\x00.mp4,run\n")
    with pytest.raises(DataError, match=r"a\.csv, line 2: the path holds a null character"):
        read_manifest(tmp_path / "a.csv")
    (tmp_path / "v.mp4").touch()
    (tmp_path / "b.csv").write_text("path, label\nv.mp4,run\n")
    assert read_manifest(tmp_path / "b.csv").classes == ("run",)
