"""Frame n is the n-th of a plain decode, whatever the file is like and wherever the request before it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data import video
from actrec_zoo.data.decode import count_frames
from actrec_zoo.data.keyframes import _remembered
from actrec_zoo.data.video import VideoFile
from tests.conftest import Frames, turned, write_video

LENGTH = 90


def scene(frames: int = LENGTH, height: int = 48, width: int = 64) -> Frames:
    """A textured picture that moves along, so that no two frames are alike."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 8, (width + 2 * frames) // 8 + 1, 3), dtype=np.uint8)
    ground = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([ground[:, 2 * n : 2 * n + width] for n in range(frames)])


def encode(
    path: Path, codec: str, options: dict[str, str], *, times: list[int] | None = None, base: Fraction = Fraction(1, 25)
) -> Path:
    """A video of `scene`, with times of one's own."""
    frames = scene()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = base
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (times[number] if times else number), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def without_start(path: Path, codec: str, options: dict[str, str]) -> Path:
    """A transport stream whose first third is cut off: it begins in the middle of a group of pictures."""
    encode(path, codec, options)
    whole = path.read_bytes()
    path.write_bytes(whole[len(whole) // 3 // 188 * 188 :])
    return path


def twice(path: Path) -> Path:
    """Two transport streams in one file: every time comes twice."""
    encode(path, "libx264", {"bf": "2", "g": "20"})
    path.write_bytes(path.read_bytes() * 2)
    return path


X264, SVT = {"bf": "3", "g": "20"}, {"preset": "12", "g": "20", "svtav1-params": "scd=0"}
UNEVEN = np.cumsum(np.random.default_rng(3).integers(1, 400, LENGTH)).tolist()
FILES: dict[str, Callable[[Path], Path]] = {
    "h264": lambda p: encode(p / "v.mp4", "libx264", X264),
    "h264-mkv": lambda p: encode(p / "v.mkv", "libx264", X264),
    "h264-ts": lambda p: encode(p / "v.ts", "libx264", X264),
    "h264-avi": lambda p: encode(p / "v.avi", "libx264", X264),
    "h264-open-gop": lambda p: encode(p / "v.mp4", "libx264", X264 | {"x264-params": "open-gop=1"}),
    "h264-open-gop-ts": lambda p: encode(p / "v.ts", "libx264", X264 | {"x264-params": "open-gop=1"}),
    "h264-intra-refresh": lambda p: encode(p / "v.mp4", "libx264", {"g": "20", "x264-params": "intra-refresh=1"}),
    "h264-intra-refresh-ts": lambda p: encode(p / "v.ts", "libx264", {"g": "20", "x264-params": "intra-refresh=1"}),
    "h264-one-key": lambda p: encode(p / "v.mp4", "libx264", {"bf": "3", "g": "1000", "sc_threshold": "0"}),
    "h264-intra": lambda p: encode(p / "v.mp4", "libx264", {"g": "1"}),
    "h264-odd-time-base": lambda p: encode(p / "v.mp4", "libx264", X264, base=Fraction(1001, 23976)),
    "h264-vfr": lambda p: encode(p / "v.mp4", "libx264", X264, times=UNEVEN, base=Fraction(1, 1000)),
    "h264-vfr-mkv": lambda p: encode(p / "v.mkv", "libx264", X264, times=UNEVEN, base=Fraction(1, 90000)),
    "h264-late-start": lambda p: encode(p / "v.mp4", "libx264", X264, times=list(range(500, 500 + LENGTH))),
    "h264-cut": lambda p: without_start(p / "v.ts", "libx264", X264),
    "h264-cut-open-gop": lambda p: without_start(p / "v.ts", "libx264", X264 | {"x264-params": "open-gop=1"}),
    "h264-twice": lambda p: twice(p / "v.ts"),
    "hevc": lambda p: encode(p / "v.mp4", "libx265", {"x265-params": "keyint=20:bframes=3:log-level=none"}),
    "hevc-open-gop": lambda p: encode(
        p / "v.mkv", "libx265", {"x265-params": "keyint=20:open-gop=1:bframes=4:log-level=none"}
    ),
    "vp9": lambda p: encode(p / "v.webm", "libvpx-vp9", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "vp9-alt-ref": lambda p: encode(
        p / "v.webm", "libvpx-vp9", {"g": "20", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"}
    ),
    "vp8": lambda p: encode(p / "v.webm", "libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "12"}),
    "av1": lambda p: encode(p / "v.mkv", "libsvtav1", SVT),
    "mpeg4": lambda p: encode(p / "v.avi", "mpeg4", {"bf": "2", "g": "20", "b": "2M"}),
    "mpeg4-mp4": lambda p: encode(p / "v.mp4", "mpeg4", {"bf": "2", "g": "20", "b": "2M"}),
    "mpeg4-intra": lambda p: encode(p / "v.avi", "mpeg4", {"g": "1", "b": "2M"}),
    "mpeg2": lambda p: encode(p / "v.mpg", "mpeg2video", {"bf": "2", "g": "20"}),
    "mpeg2-ts": lambda p: encode(p / "v.ts", "mpeg2video", {"bf": "2", "g": "20"}),
    "mjpeg": lambda p: encode(p / "v.avi", "mjpeg", {}),
}
SEEKABLE = ("h264", "h264-mkv", "h264-ts", "h264-open-gop", "h264-vfr", "h264-late-start", "hevc", "vp9", "av1")
LEARNT = ("h264-avi", "mpeg4", "mpeg4-mp4", "mpeg2-ts", "vp8", "h264-twice")


def plain_decode(path: Path) -> Tensor:
    """Every frame of a video, from its start."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files by name, written once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = FILES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


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
def test_every_frame_is_that_of_a_plain_decode(files: Callable[[str], Path], name: str) -> None:
    path = files(name)
    truth = plain_decode(path)
    assert count_frames(path) == len(truth) >= LENGTH // 2
    order = np.random.default_rng(1).permutation(len(truth))
    for _ in range(2):  # the second file knows what the first has learnt
        source = VideoFile(path)
        for number in [*order, len(truth) - 1, 0, len(truth) // 2]:
            assert torch.equal(source.read(np.array([number]))[0], truth[number]), number


@pytest.mark.parametrize("name", FILES)
def test_a_far_frame_of_a_fresh_file_is_that_of_a_plain_decode(files: Callable[[str], Path], name: str) -> None:
    path = files(name)
    truth = plain_decode(path)
    for first in (20, 21, 39, len(truth) - 8):
        numbers = np.array([first, first + 1, first + 7])
        _remembered.cache_clear()
        assert torch.equal(VideoFile(path).read(numbers), truth[torch.from_numpy(numbers)])


@pytest.mark.parametrize("name", SEEKABLE)
def test_a_far_frame_is_reached_from_a_key_frame(files: Callable[[str], Path], name: str, decoded: list[int]) -> None:
    VideoFile(files(name)).read(np.array([75]))
    assert len(decoded) <= 40


@pytest.mark.parametrize("name", LEARNT)
def test_key_frames_seen_on_the_way_are_used_later(files: Callable[[str], Path], name: str, decoded: list[int]) -> None:
    source = VideoFile(files(name))
    source.read(np.array([58]))
    decoded.clear()
    source.read(np.array([45]))
    assert len(decoded) <= 40


@pytest.mark.parametrize("name", ["h264", "h264-mkv", "h264-one-key", "hevc"])
def test_frames_that_nothing_is_decoded_from_are_left_out(
    files: Callable[[str], Path], name: str, decoded: list[int]
) -> None:
    VideoFile(files(name)).read(np.array([3, 38]))
    assert len(decoded) <= 30


def test_frames_near_each_other_are_decoded_once(files: Callable[[str], Path], decoded: list[int]) -> None:
    source = VideoFile(files("h264"))
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
