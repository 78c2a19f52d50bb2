"""torchcodec gives the frames of `VideoFile`, or leaves the file to it. Skipped where torchcodec cannot be loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data import torchcodec_video
from actrec_zoo.data.decode import DECODER_VARIABLE, open_source, video_reader
from actrec_zoo.data.torchcodec_video import TorchcodecFile, video_decoder_class
from actrec_zoo.data.video import VideoFile
from actrec_zoo.errors import ConfigError, DataError
from tests.conftest import turned, write_video
from tests.data.videos import FILES, X264, encode, plain_decode, scene

ROUNDING = 2
"""Levels that the colours of two builds of FFmpeg may differ by."""

BY_PYAV = frozenset(
    name
    for name in FILES
    if name.startswith(("mpeg", "mjpeg", "vp8")) or name.endswith(("-ts", "-avi", "-cut", "-cut-open-gop", "-twice"))
) | {"h264-vfr-mkv", "h264-intra-refresh"}


@pytest.fixture(autouse=True)
def torchcodec() -> None:
    """Nothing here can be seen without torchcodec and its FFmpeg."""
    try:
        video_decoder_class()
    except ConfigError as error:
        pytest.skip(str(error))


def same(frames: Tensor, truth: Tensor) -> bool:
    return frames.shape == truth.shape and int((frames.int() - truth.int()).abs().max()) <= ROUNDING


def is_read_by_torchcodec(source: TorchcodecFile) -> bool:
    return source._timeline is not None and source._timeline.holds


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_that_of_a_plain_decode(odd_videos: Callable[[str], Path], name: str) -> None:
    path = odd_videos(name)
    truth = plain_decode(path)
    order = np.random.default_rng(1).permutation(len(truth))
    torchcodec_video._timeline.cache_clear()
    for _ in range(2):  # the second file knows what the first has learnt
        source = TorchcodecFile(path)
        for number in [*order, len(truth) - 1, 0, len(truth) // 2]:
            assert same(source.read(np.array([number]))[0], truth[number]), number
    assert is_read_by_torchcodec(source) == (name not in BY_PYAV)


@pytest.mark.parametrize("name", FILES)
def test_a_far_frame_of_a_fresh_file_is_that_of_a_plain_decode(odd_videos: Callable[[str], Path], name: str) -> None:
    path = odd_videos(name)
    truth = plain_decode(path)
    for first in range(len(truth) - 8):
        numbers = np.array([first + 7, first, first + 1, first])
        torchcodec_video._timeline.cache_clear()
        assert same(TorchcodecFile(path).read(numbers), truth[torch.from_numpy(numbers)]), first


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_video_is_turned_as_it_is_shown(tmp_path: Path, degrees: int) -> None:
    path = turned(write_video(tmp_path / "v.mp4", scene(3)), degrees)
    source = TorchcodecFile(path)
    assert same(source.read(np.arange(3)), VideoFile(path).read(np.arange(3)))
    assert is_read_by_torchcodec(source)


@pytest.mark.parametrize(("pixels", "by_torchcodec"), [("yuv420p", True), ("yuv444p", True), ("yuv420p10le", False)])
def test_colours_are_those_of_pyav(tmp_path: Path, pixels: str, by_torchcodec: bool) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        stream.codec_context.thread_count = 1
        for frame in scene(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    source = TorchcodecFile(path)
    assert same(source.read(np.arange(5)), plain_decode(path))
    assert is_read_by_torchcodec(source) == by_torchcodec


def test_the_first_of_two_video_streams_is_read(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for scale in (1, 2):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48 * scale, 64 * scale, "yuv420p"
            stream.codec_context.thread_count = 1
            streams.append(stream)
        for stream in streams:
            for frame in scene(5, stream.height, stream.width):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    source = TorchcodecFile(path)
    assert source.read(np.arange(2)).shape == (2, 3, 48, 64)
    assert is_read_by_torchcodec(source)


def test_a_file_that_is_written_again_is_looked_at_again(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", "libx264", X264)
    TorchcodecFile(path).read(np.array([80]))
    encode(path, "libx264", X264 | {"g": "33"}, base=Fraction(1, 50))
    source = TorchcodecFile(path)
    assert same(source.read(np.array([70]))[0], plain_decode(path)[70])
    assert is_read_by_torchcodec(source)


def test_a_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "http:v.mp4", scene(3))
    monkeypatch.chdir(tmp_path)
    source = TorchcodecFile(Path("http:v.mp4"))
    assert source.read(np.arange(3)).shape == (3, 3, 48, 64)
    assert is_read_by_torchcodec(source)


@pytest.mark.parametrize("seed", range(12))
def test_damage_ends_as_with_pyav(odd_videos: Callable[[str], Path], tmp_path: Path, seed: int) -> None:
    """The same frames, or the same error."""
    data = bytearray(odd_videos("h264").read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(200, len(data), 1 + seed % 4):
        data[place] ^= int(random.integers(1, 256))
    path = tmp_path / "v.mp4"
    path.write_bytes(data[: len(data) // 2] if seed % 4 == 0 else data)
    for numbers in (np.arange(8), np.arange(40, 48), np.array([85])):
        try:
            truth = VideoFile(path).read(numbers)
        except DataError as error:
            with pytest.raises(DataError) as ours:
                TorchcodecFile(path).read(numbers)
            assert str(ours.value) == str(error)
        else:
            assert same(TorchcodecFile(path).read(numbers), truth)


def test_a_file_that_does_not_tell_its_colours(odd_videos: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    content = bytearray(odd_videos("h264").read_bytes())
    place = content.index(b"avcC") + 12
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot decode"):
        TorchcodecFile(path).read(np.array([0]))


def test_no_such_frame_and_no_such_file(odd_videos: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ends after 90 frames, frame 90 was expected"):
        TorchcodecFile(odd_videos("h264")).read(np.array([3, 90]))
    with pytest.raises(DataError, match="there is no video"):
        TorchcodecFile(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot decode"):
        TorchcodecFile(tmp_path / "text.mp4").read(np.array([0]))


def test_ffmpeg_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    for version in range(56, 62):
        (tmp_path / f"libavutil.so.{version}").touch()
    code = "from actrec_zoo.data.torchcodec_video import video_decoder_class; video_decoder_class()"
    environ = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environ)
    assert "ConfigError: the decoder torchcodec finds no FFmpeg that it can load" in done.stderr


def test_the_variable_chooses(odd_videos: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DECODER_VARIABLE, "torchcodec")
    assert video_reader() is TorchcodecFile
    assert isinstance(open_source(odd_videos("h264")), TorchcodecFile)
