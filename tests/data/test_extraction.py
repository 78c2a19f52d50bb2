from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actrec_zoo.data.decode import FrameFolder, count_frames, open_source
from actrec_zoo.data.extraction import extract_frames
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.errors import ConfigError, DataError, RunError
from tests.conftest import moving_square, numbered_frames, turned, write_video


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def test_frames_are_those_of_the_video_and_classes_are_kept(videos: Path, tmp_path: Path) -> None:
    done = extract_frames(videos, tmp_path / "out")
    assert (done.written, done.kept, done.failures) == (8, 0, {})
    manifest, source = read_manifest(tmp_path / "out"), read_manifest(videos)
    assert [f"{path}.mp4" for path in manifest.paths] == list(source.paths)
    numbers = np.arange(12)
    frames = FrameFolder(manifest.path(3)).read(numbers).float()
    expected = open_source(source.path(3)).read(numbers).float()
    assert (frames - expected).abs().mean() < 2


def test_an_extraction_is_continued(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop_after_two(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        extract_frames(videos, out, track=stop_after_two)
    complete = [folder for folder in out.glob("*/*") if not folder.name.startswith(".")]
    assert all(count_frames(folder) == 12 for folder in complete)
    (out / "left" / ".clip0.part").mkdir(exist_ok=True)
    times = {folder: folder.stat().st_mtime_ns for folder in complete}
    done = extract_frames(videos, out)
    assert (done.written, done.kept) == (8 - len(complete), len(complete))
    assert {folder: folder.stat().st_mtime_ns for folder in complete} == times
    assert sum(count_frames(folder) for folder in out.glob("*/*") if not folder.name.startswith(".")) == 96
    assert extract_frames(videos, out).kept == 8


def test_a_video_that_cannot_be_read_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "in" / "run" / "a.mkv", numbered_frames(40, side=128), options={"g": "5"})
    (tmp_path / "in" / "run" / "b.mp4").write_bytes(whole.read_bytes()[:40])
    done = extract_frames(tmp_path / "in", tmp_path / "out")
    assert done.written == 1
    assert list(done.failures) == [str(tmp_path / "in" / "run" / "b.mp4")]
    assert "cannot decode" in next(iter(done.failures.values()))
    assert [path.name for path in (tmp_path / "out" / "run").iterdir()] == ["a"]


def test_one_file_quality_and_size(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_square(3, step=2, side=64)[:, :48])
    for name, quality in (("fine", 95), ("coarse", 5)):
        extract_frames(video, tmp_path / name, quality=quality, size=24)
    assert files(tmp_path / "fine") == ["a", "a/000001.jpg", "a/000002.jpg", "a/000003.jpg"]
    fine, coarse = (tmp_path / name / "a" / "000001.jpg" for name in ("fine", "coarse"))
    assert size(fine) == (32, 24)
    assert coarse.stat().st_size < fine.stat().st_size
    extract_frames(video, tmp_path / "large", size=100)
    assert size(tmp_path / "large" / "a" / "000001.jpg") == (64, 48)


def test_frames_are_turned_as_the_video_is_shown(tmp_path: Path) -> None:
    video = turned(write_video(tmp_path / "in" / "a.mp4", moving_square(3, step=2, side=64)[:, :48]), 90)
    extract_frames(tmp_path / "in", tmp_path / "out")
    shown, written = open_source(video).read(np.arange(3)), FrameFolder(tmp_path / "out" / "a").read(np.arange(3))
    assert shown.shape == written.shape == (3, 3, 64, 48)
    assert (shown.float() - written.float()).abs().mean() < 2


def test_videos_that_differ_in_their_suffix_alone_keep_it(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.avi", "b.mp4"):
        write_video(tmp_path / "in" / name, moving_square(2, step=2), "mpeg4")
    extract_frames(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.avi", "a.mp4", "b"]


def test_bad_folders_are_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing at"):
        extract_frames(tmp_path / "gone", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no video files"):
        extract_frames(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ConfigError, match="frames would be taken for further videos"):
        extract_frames(videos, videos / "frames")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file"):
        extract_frames(videos, tmp_path / "file" / "out")
    assert not (tmp_path / "out").exists()
