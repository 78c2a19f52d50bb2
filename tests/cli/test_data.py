"""`actrec-zoo data`: what it prints, writes and exits with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Outcome

Invoke = Callable[..., Outcome]


def test_inspect_prints_what_was_found(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    outcome = invoke("data", "inspect", squares, "--plot", tmp_path / "classes.png")
    assert outcome.code == 0, outcome.err
    assert "20 videos in 2 classes, 240 frames" in outcome.out
    assert "frames a video: 12 to 12, median 12" in outcome.out
    assert "width: 32 to 32, median 32 pixels" in outcome.out
    assert "more than 1.5 times, or less than 0.5 times, what the median class has" in outcome.out
    assert (tmp_path / "classes.png").is_file()


def test_inspect_names_classes_that_stand_out_and_unreadable_videos(
    tmp_path: Path, videos: Path, invoke: Invoke
) -> None:
    for label, count in (("few", 1), ("some", 4), ("more", 4)):
        (tmp_path / label).mkdir()
        for number in range(count):
            (tmp_path / label / f"{number}.mp4").symlink_to(videos / "left" / "clip0.mp4")
    (tmp_path / "few" / "broken.mp4").touch()
    outcome = invoke("data", "inspect", tmp_path)
    assert outcome.code == 0
    assert "under-represented in videos: few" in outcome.out and "under in videos, under in frames" in outcome.out
    assert f"unreadable: cannot read {tmp_path / 'few' / 'broken.mp4'}" in outcome.out
    found = json.loads(invoke("data", "inspect", tmp_path, "--json").out)
    assert found["balance"]["frames"] == {"over": [], "under": ["few"]}
    assert [item["path"] for item in found["unreadable"]] == ["few/broken.mp4"]


def test_inspect_of_some_classes_in_a_layout_by_name(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "classes.txt").write_text("left\n")
    flags = ("--classes", tmp_path / "classes.txt", "--data-format", "folders", "--json")
    found = json.loads(invoke("data", "inspect", squares, *flags).out)
    assert [item["label"] for item in found["classes"]] == ["left"]
    assert found["skipped"] == {"video of another class": 10}
    outcome = invoke("data", "inspect", squares, "--data-format", "hmdb51:1")
    assert outcome.code == 2 and "official lists of HMDB51" in outcome.err and "Traceback" not in outcome.err


def test_extract_writes_a_data_set_of_frames(videos: Path, tmp_path: Path, invoke: Invoke) -> None:
    outcome = invoke("data", "extract", videos, tmp_path / "frames", "--quality", "80", "--size", "16")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("frames: 8 videos extracted, 0 were there, 0 failed\n")
    found = json.loads(invoke("data", "inspect", tmp_path / "frames", "--json").out)
    assert [item["frames"] for item in found["classes"]] == [48, 48] and found["sizes"] == {"16x16": 8}


def test_extract_exits_with_1_when_a_video_fails(videos: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.mp4").symlink_to(videos / "left" / "clip0.mp4")
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    outcome = invoke("data", "extract", tmp_path / "in", tmp_path / "out")
    assert outcome.code == 1 and str(tmp_path / "in" / "bad.mp4") in outcome.err
    assert "1 videos extracted, 0 were there, 1 failed" in outcome.out
    assert invoke("data", "extract", tmp_path / "nowhere", tmp_path / "out").code == 2
