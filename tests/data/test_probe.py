import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from actrec_zoo.data.decode import count_frames
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.video import VideoFile
from actrec_zoo.errors import DataError
from tests.conftest import moving_square, write_frames, write_video

CODECS = {
    "h264 with B-frames in mp4": ("v.mp4", "libx264", {"bf": "3", "g": "12"}),
    "h264 in a transport stream": ("v.ts", "libx264", {"bf": "2"}),
    "mpeg4 in avi": ("v.avi", "mpeg4", {}),
    "mpeg4 with B-frames in avi": ("v.avi", "mpeg4", {"bf": "2"}),
    "vp8": ("v.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    "vp9 with hidden frames": ("v.webm", "libvpx-vp9", {"cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "mpeg2 with B-frames": ("v.mpg", "mpeg2video", {"bf": "2"}),
    "hevc": ("v.mkv", "libx265", {"x265-params": "log-level=none", "preset": "ultrafast"}),
}


class Asked:
    """A progress display that remembers how many videos were counted."""

    def __init__(self) -> None:
        self.totals: list[int] = []

    def __call__(self, items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
        self.totals.append(total)
        return items


def decoded(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def without_first_packets(source: Path, target: Path, dropped: int) -> Path:
    """Cut a video where no keyframe is, as copying a part of a stream does."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.dts is not None and number >= dropped:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A video of 9 frames, a folder of 5, and a file that is no video."""
    write_video(tmp_path / "data" / "left" / "a.mp4", moving_square(9, step=2))
    write_frames(tmp_path / "data" / "left" / "b", moving_square(5, step=2))
    (tmp_path / "data" / "left" / "c.mp4").write_bytes(b"this is no video")
    return tmp_path / "data"


@pytest.mark.parametrize(("name", "codec", "options"), CODECS.values(), ids=CODECS.keys())
def test_count_is_what_decoding_gives(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    video = write_video(tmp_path / name, moving_square(37, step=1, side=64), codec, options)
    assert count_frames(video) == decoded(video) == 37


def test_count_of_motion_jpeg(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        for frame in moving_square(7, step=2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert count_frames(tmp_path / "v.avi") == decoded(tmp_path / "v.avi") == 7


@pytest.mark.parametrize("dropped", [5, 20])
def test_count_of_a_video_cut_between_keyframes(tmp_path: Path, dropped: int) -> None:
    whole = write_video(tmp_path / "whole.mp4", moving_square(40, step=1), options={"g": "20", "bf": "2"})
    cut = without_first_packets(whole, tmp_path / "cut.mp4", dropped)
    count = count_frames(cut)
    assert count == decoded(cut) == 20
    assert len(VideoFile(cut).read(np.arange(count))) == count


def test_nothing_to_count_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match=r"empty holds no frames"):
        count_frames(tmp_path / "empty")
    with pytest.raises(DataError, match=r"cannot read .*empty\.mp4: ."):
        count_frames(tmp_path / "empty.mp4")


def test_probe_counts_every_video_and_records_the_unreadable(three: Path) -> None:
    asked = Asked()
    manifest = probe(read_manifest(three), asked)
    assert manifest.frames.tolist() == [9, 5, 0]
    assert list(manifest.errors) == [2]
    assert str(three / "left" / "c.mp4") in manifest.errors[2]
    assert asked.totals == [3]


def test_a_count_is_remembered_and_a_failure_is_tried_again(three: Path) -> None:
    probe(read_manifest(three))
    asked = Asked()
    manifest = probe(read_manifest(three), asked)
    assert manifest.frames.tolist() == [9, 5, 0]
    assert list(manifest.errors) == [2]
    assert asked.totals == [1]


def test_nothing_is_opened_when_all_counts_are_remembered(squares: Path) -> None:
    first, asked = probe(read_manifest(squares)), Asked()
    again = probe(read_manifest(squares), asked)
    assert again.frames.tolist() == first.frames.tolist() == [12] * 20
    assert asked.totals == []


def test_a_changed_video_is_counted_again(three: Path) -> None:
    probe(read_manifest(three))
    write_video(three / "left" / "a.mp4", moving_square(6, step=2))
    (three / "left" / "b" / "5.jpg").unlink()
    assert probe(read_manifest(three)).frames.tolist() == [6, 4, 0]


@pytest.mark.parametrize("content", ["", "[9, 5", "{}", "[9, 5]", '[9, "5", 0]', "[9, -5, 0]", "[true, 5, 0]"])
def test_a_damaged_cache_is_ignored_and_mended(three: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "cache"
    probe(read_manifest(three), cache=cache)
    (file,) = cache.iterdir()
    file.write_text(content)
    assert probe(read_manifest(three), cache=cache).frames.tolist() == [9, 5, 0]
    assert json.loads(file.read_text()) == [9, 5, 0]


def test_a_cache_that_cannot_be_written_is_no_error(three: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert probe(read_manifest(three), cache=tmp_path / "file" / "cache").frames.tolist() == [9, 5, 0]


def test_an_interrupted_probe_remembers_nothing(three: Path, tmp_path: Path) -> None:
    def interrupt(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(read_manifest(three), interrupt, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
