"""A data set with one of everything that can be wrong, in real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actrec_zoo.data.checking.check import check
from actrec_zoo.data.checking.findings import Finding, write_findings
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.packing import write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.splits import Splits
from actrec_zoo.data.transforms import Resize
from tests.conftest import Frames, write_frames, write_video
from tests.data.checking.scenes import scene


def found(data: Path, splits: dict[str, list[str]] | None = None, *, all_frames: bool = False) -> list[Finding]:
    """The findings of a folder, with splits given as paths."""
    manifest = read_manifest(data)
    index = {path: i for i, path in enumerate(manifest.paths)}
    divided: Splits | None = None
    if splits is not None:
        divided = {name: np.array(sorted(index[path] for path in paths)) for name, paths in splits.items()}
    return list(check(manifest, divided, all_frames=all_frames))


def kinds(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.kind, finding.path, finding.other) for finding in findings]


def resized(frames: Frames, width: int, height: int) -> Frames:
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames])


def cut_off(file: Path, share: float = 0.5) -> None:
    """Lose the end of a file."""
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def test_nothing_is_wrong_with_good_videos(squares: Path, videos: Path) -> None:
    assert found(squares) == found(videos) == found(videos, all_frames=True) == []


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("cut.avi", "mpeg4", {}),
        ("cut.mkv", "libx264", {}),
        ("cut.mp4", "libx264", {"movflags": "faststart"}),
        ("cut.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_truncated_files(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    options, container = {k: v for k, v in options.items() if k != "movflags"}, options
    write_video(tmp_path / "jump" / "whole.mp4", scene(2))
    file = write_video(tmp_path / "jump" / name, scene(1), codec, options)
    if "movflags" in container:
        file = faststart(file)
    assert found(tmp_path) == []
    cut_off(file)
    (finding,) = found(tmp_path)
    assert finding.kind == "truncated" and finding.path == f"jump/{name}"
    assert "frames are there" in finding.detail or "cut off" in finding.detail


def faststart(file: Path) -> Path:
    """Move the header of an MP4 file to its start, as files for the web have it."""
    import av

    moved = file.with_name("moved.mp4")
    with av.open(str(file)) as old, av.open(str(moved), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    moved.replace(file)
    return file


def test_unreadable_empty_and_one_frame(tmp_path: Path) -> None:
    folder = tmp_path / "jump"
    write_video(folder / "good.mp4", scene(1))
    (folder / "noise.mp4").write_bytes(b"this is no video")
    cut_off(write_video(folder / "headless.mp4", scene(2)))
    (folder / "nothing.mp4").touch()
    write_video(folder / "one.mp4", scene(3, 1))
    write_frames(folder / "single", scene(4, 1))
    write_frames(folder / "broken", scene(5, 9))
    (folder / "broken" / "5.jpg").write_bytes(b"no image")
    assert sorted(kinds(found(tmp_path))) == [
        ("empty", "jump/nothing.mp4", ""),
        ("one frame", "jump/one.mp4", ""),
        ("one frame", "jump/single", ""),
        ("unreadable", "jump/broken", ""),
        ("unreadable", "jump/headless.mp4", ""),
        ("unreadable", "jump/noise.mp4", ""),
    ]


def test_all_frames_are_decoded_where_that_is_asked_for(tmp_path: Path) -> None:
    write_frames(tmp_path / "jump" / "clip", scene(1, 9))
    (tmp_path / "jump" / "clip" / "3.jpg").write_bytes(b"no image")
    assert found(tmp_path) == []
    (finding,) = found(tmp_path, all_frames=True)
    assert finding.kind == "unreadable" and "3.jpg" in finding.detail


def test_videos_with_the_same_content(tmp_path: Path) -> None:
    write_video(tmp_path / "jump" / "a.mp4", scene(1))
    write_frames(tmp_path / "jump" / "b", scene(2, 6))
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "jump" / "a.mp4", tmp_path / "run" / "c.mp4")
    shutil.copytree(tmp_path / "jump" / "b", tmp_path / "run" / "d")
    shutil.copytree(tmp_path / "jump" / "b", tmp_path / "run" / "e")
    (tmp_path / "run" / "e" / "1.jpg").rename(tmp_path / "run" / "e" / "9.jpg")  # another order is another video
    assert kinds(found(tmp_path)) == [("duplicate", "run/c.mp4", "jump/a.mp4"), ("duplicate", "run/d", "jump/b")]
    findings = found(tmp_path, {"train": ["jump/a.mp4", "jump/b"], "test": ["run/c.mp4", "run/d"]})
    assert [f.detail for f in findings if f.kind == "duplicate"] == ["in train and test"] * 2
    assert "near-duplicate" not in {finding.kind for finding in findings}


def test_a_copy_of_a_file_leaks_what_the_file_is_like(tmp_path: Path) -> None:
    write_video(tmp_path / "jump" / "a.avi", scene(1), "mpeg4", {"b": "2000000"})
    write_video(tmp_path / "jump" / "again.mp4", scene(1))
    shutil.copy(tmp_path / "jump" / "a.avi", tmp_path / "jump" / "copy.avi")
    findings = found(tmp_path, {"train": ["jump/a.avi", "jump/again.mp4"], "test": ["jump/copy.avi"]})
    assert kinds(findings) == [
        ("duplicate", "jump/copy.avi", "jump/a.avi"),
        ("near-duplicate", "jump/copy.avi", "jump/again.mp4"),
    ]


def test_splits_that_share_and_lack(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("path,label,group\na.mp4,jump,beach\nb.mp4,jump,beach\nc.mp4,run,\n")
    for number, name in enumerate("abc"):
        write_video(tmp_path / f"{name}.mp4", scene(number))
    findings = found(tmp_path / "data.csv", {"train": ["a.mp4", "c.mp4"], "test": ["b.mp4", "a.mp4"]})
    assert [(f.kind, f.path, f.detail) for f in findings] == [
        ("shared video", "a.mp4", "in train and test"),
        ("shared group", "beach", "in train and test"),
        ("missing class", "run", "in test"),
    ]


def test_copies_that_were_encoded_again_resized_and_trimmed_are_found(tmp_path: Path) -> None:
    for seed in range(8):  # clips 0 to 3 are filmed in one place, as are 4 to 7
        write_video(tmp_path / "jump" / f"{seed}.avi", scene(seed, place=100 + seed // 4), "mpeg4", {"b": "2000000"})
    copies = {
        "again.mp4": (scene(0, place=100), "libx264", {"crf": "35"}),
        "small.webm": (resized(scene(1, place=100), 64, 48), "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        "trimmed.mp4": (scene(4, place=101)[12:], "libx264", {"crf": "23"}),
        "all.mp4": (resized(scene(5, place=101)[13:50], 80, 60), "libx264", {"crf": "35"}),
        "other.mp4": (scene(50, place=100), "libx264", {"crf": "23"}),
        "black.mp4": (np.zeros_like(scene(0)), "libx264", {"crf": "23"}),
        "still.mp4": (np.repeat(scene(6, place=101)[:1], 60, axis=0), "libx264", {"crf": "23"}),
    }
    for name, (frames, codec, options) in copies.items():
        write_video(tmp_path / "jump" / name, frames, codec, options)
    write_frames(tmp_path / "jump" / "frames", scene(2, place=100))
    train = [f"jump/{seed}.avi" for seed in (0, 2, 4, 6)]
    val = [f"jump/{seed}.avi" for seed in (1, 3, 5, 7)]
    test = [f"jump/{name}" for name in [*copies, "frames"]]
    findings = found(tmp_path, {"train": train, "val": val, "test": test})
    assert sorted(kinds(findings)) == [
        ("near-duplicate", "jump/again.mp4", "jump/0.avi"),
        ("near-duplicate", "jump/all.mp4", "jump/5.avi"),
        ("near-duplicate", "jump/frames", "jump/2.avi"),
        ("near-duplicate", "jump/small.webm", "jump/1.avi"),
        ("near-duplicate", "jump/trimmed.mp4", "jump/4.avi"),
    ]
    trimmed = next(f for f in findings if f.path == "jump/trimmed.mp4")
    assert trimmed.detail == "in train and test, likeness 1.00, from its frame 12 on"


def test_a_pack_is_decoded_too(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / "data" / "jump" / f"{number}.mp4", scene(number))
    write_pack(probe(read_manifest(tmp_path / "data")), tmp_path / "pack", Resize([24]), "jpeg")
    assert found(tmp_path / "pack", all_frames=True) == []
    frames = tmp_path / "pack" / "frames.bin"
    frames.write_bytes(bytes(frames.stat().st_size // 2) + frames.read_bytes()[frames.stat().st_size // 2 :])
    damaged = found(tmp_path / "pack", all_frames=True)
    assert {finding.kind for finding in damaged} == {"unreadable"}
    assert damaged[0].path == "jump/0.mp4" and len(damaged) == 2


def test_findings_are_written_as_a_table(tmp_path: Path) -> None:
    write_findings(tmp_path / "new" / "f.csv", [Finding("duplicate", "a,b.mp4", "caf\udce9.avi", "in train")])
    assert (tmp_path / "new" / "f.csv").read_bytes() == (
        b'kind,path,other,detail\nduplicate,"a,b.mp4",caf\xe9.avi,in train\n'
    )
