"""Fixtures: real files in temporary folders, and a store and cache that are the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's store, cache or plugins settings."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ACTREC_ZOO_HOME", str(folder / "home"))
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(folder / "cache"))
    for variable in ("ACTREC_ZOO_PLUGINS", "ACTREC_ZOO_DISABLE_PLUGINS", "ACTREC_ZOO_INDEX"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def empty_index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights come along: a name leads to the local store."""
    file = tmp_path_factory.mktemp("index") / "index.json"
    file.write_text('{"format": 1, "models": {}}')
    monkeypatch.setattr("actrec_zoo.hub.index._FILE", file)


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> Iterator[None]:
    """One thread: the tests' networks are small, and bit-exact comparisons need a fixed number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Outcome(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process: `invoke("train", "tiny_conv3d", ...)`."""
    from actrec_zoo import cli

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["actrec-zoo", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), out, err)

    return run


def moving_square(frames: int, *, step: int, start: int = 0, side: int = 32) -> Frames:
    """Frames uint8[T, side, side, 3]: a bright square on a dark ground that moves `step` pixels a frame."""
    clip = np.full((frames, side, side, 3), 30, dtype=np.uint8)
    for number in range(frames):
        left = (start + number * step) % side
        clip[number, 8:24, left : left + 8] = (220, 200, 180)
    return clip


def numbered_frames(frames: int, side: int = 32) -> Frames:
    """Frames whose grey value tells their number, 8 levels apart; exact enough to survive compression."""
    values = (np.arange(frames) * 8 % 248).astype(np.uint8)
    return np.broadcast_to(values[:, None, None, None], (frames, side, side, 3)).copy()


def write_frames(folder: Path, frames: Frames, suffix: str = ".jpg") -> Path:
    """Write a frame folder: 1.jpg, 2.jpg, ... without leading zeros, so that only natural order is right."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"{number}{suffix}", quality=95)
    return folder


def write_video(path: Path, frames: Frames, codec: str = "libx264", options: dict[str, str] | None = None) -> Path:
    """Encode a video file with PyAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # threads of an encoder do not survive the fork of a worker
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def turned(path: Path, degrees: int) -> Path:
    """Let an MP4 file say that it is shown turned clockwise by a quarter, a half or three quarters."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = np.array([cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = matrix
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in the HMDB_simp layout: `left` and `right`, 10 frame folders each, 12 JPEG frames of 32x32."""
    root = tmp_path_factory.mktemp("data") / "squares"
    for label, step in (("left", -2), ("right", 2)):
        for number in range(10):
            write_frames(root / label / f"clip{number}", moving_square(12, step=step, start=3 * number))
    return root


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision has no copy of any weights, and every connection is refused at once."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # an earlier request's, which knows other proxies


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classes as video files, 4 a class."""
    root = tmp_path_factory.mktemp("data") / "videos"
    for label, step in (("left", -2), ("right", 2)):
        for number in range(4):
            write_video(root / label / f"clip{number}.mp4", moving_square(12, step=step, start=3 * number))
    return root


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real clips and weights that are not in the repository, at ACTREC_ZOO_TEST_DATA."""
    folder = os.environ.get("ACTREC_ZOO_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ACTREC_ZOO_TEST_DATA does not name a folder with real clips and weights")
    return Path(folder)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub's client that is the test's own; nothing can be pulled."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of torchvision's downloads that is the test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


SMALL = ("--set", "options.width=4", "--size", "32", "--frames", "4", "--set", "stride=1")
"""Flags that make tiny_conv3d a matter of a second."""
