"""Frame n is the n-th of a plain decode, whatever the file is like and wherever the request before it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from actrec_zoo.data import video
from actrec_zoo.data.decode import count_frames
from actrec_zoo.data.keyframes import _remembered
from actrec_zoo.data.video import VideoFile
from tests.conftest import turned, write_video
from tests.data.videos import FILES, LENGTH, X264, encode, plain_decode, scene

SEEKABLE = ("h264", "h264-mkv", "h264-ts", "h264-open-gop", "h264-vfr", "h264-late-start", "hevc", "vp9", "av1")
LEARNT = ("h264-avi", "mpeg4", "mpeg4-mp4", "mpeg2-ts", "vp8", "h264-twice")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every frame that any `VideoFile` decodes."""
    seen: list[int] = []
    original = video.decode_marked

    def count(*arguments: object) -> Iterator[av.VideoFrame]:
        for frame in original(*arguments):  # type: ignore[arg-type]
            seen.append(1)
            yield frame

    monkeypatch.setattr(video, "decode_marked", count)
    return seen


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_that_of_a_plain_decode(odd_videos: Callable[[str], Path], name: str) -> None:
    path = odd_videos(name)
    truth = plain_decode(path)
    assert count_frames(path) == len(truth) >= LENGTH // 2
    order = np.random.default_rng(1).permutation(len(truth))
    for _ in range(2):  # the second file knows what the first has learnt
        source = VideoFile(path)
        for number in [*order, len(truth) - 1, 0, len(truth) // 2]:
            assert torch.equal(source.read(np.array([number]))[0], truth[number]), number


@pytest.mark.parametrize("name", FILES)
def test_a_far_frame_of_a_fresh_file_is_that_of_a_plain_decode(odd_videos: Callable[[str], Path], name: str) -> None:
    path = odd_videos(name)
    truth = plain_decode(path)
    for first in (20, 21, 39, len(truth) - 8):
        numbers = np.array([first, first + 1, first + 7])
        _remembered.cache_clear()
        assert torch.equal(VideoFile(path).read(numbers), truth[torch.from_numpy(numbers)])


@pytest.mark.parametrize("name", SEEKABLE)
def test_a_far_frame_is_reached_from_a_key_frame(
    odd_videos: Callable[[str], Path], name: str, decoded: list[int]
) -> None:
    VideoFile(odd_videos(name)).read(np.array([75]))
    assert len(decoded) <= 40


@pytest.mark.parametrize("name", LEARNT)
def test_key_frames_seen_on_the_way_are_used_later(
    odd_videos: Callable[[str], Path], name: str, decoded: list[int]
) -> None:
    source = VideoFile(odd_videos(name))
    source.read(np.array([58]))
    decoded.clear()
    source.read(np.array([45]))
    assert len(decoded) <= 40


@pytest.mark.parametrize("name", ["h264", "h264-mkv", "h264-one-key", "hevc"])
def test_frames_that_nothing_is_decoded_from_are_left_out(
    odd_videos: Callable[[str], Path], name: str, decoded: list[int]
) -> None:
    VideoFile(odd_videos(name)).read(np.array([3, 38]))
    assert len(decoded) <= 30


def test_frames_near_each_other_are_decoded_once(odd_videos: Callable[[str], Path], decoded: list[int]) -> None:
    source = VideoFile(odd_videos("h264"))
    for first in range(0, 80, 8):
        source.read(np.arange(first, first + 8))
    assert len(decoded) == 80


def test_a_file_that_is_written_again_is_looked_at_again(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", "libx264", X264)
    VideoFile(path).read(np.array([80]))
    encode(path, "libx264", X264 | {"g": "33"})
    truth = plain_decode(path)
    assert torch.equal(VideoFile(path).read(np.array([70]))[0], truth[70])


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", scene(1))
    assert count_frames(path) == 1
    assert VideoFile(path).read(np.array([0, 0])).shape == (2, 3, 48, 64)


@pytest.mark.parametrize(("turn", "quarters"), [(90, -1), (180, 2), (270, 1)])
def test_a_video_is_turned_as_it_is_shown(tmp_path: Path, turn: int, quarters: int) -> None:
    path = write_video(tmp_path / "v.mp4", scene(3))
    upright = VideoFile(path).read(np.arange(3))
    shown = VideoFile(turned(path, turn)).read(np.arange(3))
    assert torch.equal(shown, torch.rot90(upright, quarters, (2, 3)))
