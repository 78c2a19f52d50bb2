"""`actrec-zoo data check` as a user types it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Outcome, write_frames, write_video
from tests.data.checking.scenes import scene

Invoke = Callable[..., Outcome]


def test_good_data(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("data", "check", squares, "--out", tmp_path / "f.csv")
    assert code == 0 and "20 videos in 2 classes, 0 findings" in out
    assert (tmp_path / "f.csv").read_text() == "kind,path,other,detail\n"


def test_findings_are_summarised_and_written(tmp_path: Path, invoke: Invoke) -> None:
    for number in range(7):
        (tmp_path / "data" / "jump").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "jump" / f"{number}.mp4").write_bytes(b"no video" * (number + 1))
    write_frames(tmp_path / "data" / "run" / "a", scene(1, 9))
    shutil.copytree(tmp_path / "data" / "run" / "a", tmp_path / "data" / "run" / "b")
    code, out, err = invoke("data", "check", tmp_path / "data", "--decode", "all", "--out", tmp_path / "f.csv")
    assert code == 1 and err.splitlines() == [f"{tmp_path / 'data'} is read as folders"]
    lines = out.splitlines()
    assert "9 videos in 2 classes, 8 findings" in lines[0]
    assert "unreadable: 7 (a frame cannot be decoded)" in lines and lines.count("  ...") == 1
    assert "  run/b = run/a" in lines
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["unreadable"] * 7 + ["duplicate"]


def test_splits_are_made_and_checked(tmp_path: Path, invoke: Invoke) -> None:
    for number in range(6):
        write_video(tmp_path / "data" / "jump" / f"seq{number // 2}_{number}.mp4", scene(number, 30))
    data, splits = tmp_path / "data", tmp_path / "splits"
    assert invoke("data", "split", data, "--out", splits, "--group-by", r"seq\d").code == 0
    command = ("data", "check", data, "--out", tmp_path / "f.csv", "--splits")
    assert invoke(*command, splits).code == 0
    shutil.copy(splits / "val.csv", splits / "test.csv")
    code, out, err = invoke(*command, splits)
    assert code == 1 and "shared video: 2" in out and "shared group: 1" in out
    assert "val and test share" in err


def test_bad_input_is_told_in_a_line(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "file").touch()
    for arguments, words in {
        (tmp_path / "absent", "--out", tmp_path / "f.csv"): "absent",
        (squares, "--splits", tmp_path / "absent", "--out", tmp_path / "f.csv"): "holds none of train.csv",
        (squares, "--out", tmp_path / "file" / "f.csv"): "is a file",
    }.items():
        code, _, err = invoke("data", "check", *arguments)
        assert code == 2 and err.splitlines()[-1].startswith("error: ") and words in err and "Traceback" not in err
    assert not (tmp_path / "f.csv").exists()


def test_groups_that_names_tell_are_looked_at(tmp_path: Path, invoke: Invoke) -> None:
    for film in range(6):
        for number in range(2):
            name = f"Film{film}_wave_u_nm_np1_ba_goo_{number}.avi"
            write_video(tmp_path / "data" / "wave" / name, scene(2 * film + number, 12))
    names = sorted(path.name for path in (tmp_path / "data" / "wave").iterdir())
    for split, videos in {"train": names[:7], "val": names[7:9], "test": names[9:]}.items():
        rows = "".join(f"wave/{name},wave\n" for name in videos)
        (tmp_path / f"{split}.csv").write_text(f"path,label\n{rows}")
    code, out, _ = invoke("data", "check", tmp_path / "data", "--splits", tmp_path, "--out", tmp_path / "f.csv")
    assert code == 1 and "shared group: 2" in out


def test_parts_without_frames_are_found(tmp_path: Path, invoke: Invoke) -> None:
    write_video(tmp_path / "a.mp4", scene(1, 20))
    table = tmp_path / "data.csv"
    table.write_text("path,label,start_frame,end_frame\na.mp4,run,0,10\na.mp4,jump,30,40\na.mp4,hop,10,11\n")
    code, _, _ = invoke("data", "check", table, "--out", tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(newline="") as file:
        found = [(row["kind"], row["path"]) for row in csv.DictReader(file)]
    assert code == 1 and found == [("empty", "a.mp4#frames=30-40"), ("one frame", "a.mp4#frames=10-11")]
