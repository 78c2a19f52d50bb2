"""Video files of every kind that is hard to seek in."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from tests.conftest import Frames

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


def plain_decode(path: Path) -> Tensor:
    """Every frame of a video, from its start."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
