"""Damaged, odd and hostile files: each gives the right pixels or a DataError that names it, soon, in little memory."""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import signal
import struct
import wave
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from actrec_zoo.data.decode import count_frames, open_source
from actrec_zoo.errors import DataError
from tests.conftest import Frames, numbered_frames, write_video

SECONDS = 20
MEMORY = 400 << 20
NOBODY = 65534
PICTURE = np.repeat(np.arange(0, 240, 10, np.uint8)[:, None, None], 32, axis=1).repeat(3, axis=2)
"""A grey ramp from the top down, uint8[24, 32, 3]."""


def jpeg(pixels: Frames = PICTURE, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(exif=exif)


def sixteen_bits() -> bytes:
    return png(Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 256 + 77))


def palette() -> bytes:
    image = Image.fromarray(PICTURE).quantize(64)
    return png(image, transparency=bytes(range(24)))


def video(path: Path, container: str = "mp4", codec: str = "libx264") -> bytes:
    return write_video(path.with_suffix(f".made.{container}"), numbered_frames(12), codec).read_bytes()


def gif(path: Path) -> bytes:
    file = io.BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in numbered_frames(12)]
    first.save(file, "GIF", save_all=True, append_images=rest, duration=40)
    return file.getvalue()


def sound(path: Path) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as stream:
        stream.setparams((1, 2, 8000, 0, "NONE", ""))
        stream.writeframes(bytes(1600))
    return file.getvalue()


def empty_video(path: Path) -> bytes:
    """A header, and not one frame."""
    made = path.with_suffix(".made.mkv")
    with av.open(str(made), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        container.start_encoding()
    return made.read_bytes()


def lies_about_its_length(path: Path) -> bytes:
    """An AVI whose headers promise 5 million frames."""
    data = bytearray(video(path, "avi", "mpeg4"))
    for chunk, offset in ((b"avih", 16), (b"strh", 32)):
        place = data.index(chunk) + 8 + offset
        data[place : place + 4] = struct.pack("<I", 5_000_000)
    return bytes(data)


def claims_enormous_frames(path: Path) -> bytes:
    """A Matroska file without a codec's own header, of 60000 x 60000 pixels."""
    made = path.with_suffix(".made.mkv")
    with av.open(str(made), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt, stream.codec_context.thread_count = "yuvj420p", 1
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frames(1)[0], format="rgb24")))
        container.mux(stream.encode())
    data = made.read_bytes()
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 60000, 60000) + data[place + 4 :]


def watched(use: Callable[[], object], user: int = 0) -> object:
    """What `use` gives, or its error, in a process of its own with a limit of memory and of time."""

    def run(answer: Connection) -> None:
        signal.alarm(SECONDS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
        if user:
            os.setuid(user)
        try:
            answer.send(use())
        except BaseException as error:
            answer.send((type(error), str(error)))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=run, args=(theirs,))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        pytest.fail(f"the process ended with {process.exitcode}")
    finally:
        process.join()


def read(path: Path, number: int = 0) -> Frames:
    frames = open_source(path).read(np.array([number]))
    return np.ascontiguousarray(frames[0].permute(1, 2, 0).numpy())


def folder_with(tmp_path: Path, data: bytes, name: str = "1.jpg") -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path


BAD_IMAGES = {
    "truncated": jpeg()[:-60],
    "truncated header": jpeg()[:30],
    "no bytes": b"",
    "zeros": bytes(4000),
    "text": b"no image at all",
    "truncated png": png(Image.fromarray(PICTURE))[:-40],
    "enormous jpeg": jpeg_that_claims(65000, 65000),
    "enormous png": png_that_claims(2**31 - 1, 2**31 - 1),
    "large png": png_that_claims(9000, 9000),
    "empty png": png_that_claims(0, 5),
    "pdf": b"%PDF-1.7\n" + bytes(100),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_named(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, BAD_IMAGES[name])
    kind, message = watched(lambda: read(folder))
    assert kind is DataError, message
    assert str(folder / "1.jpg") in message and "\n" not in message


ODD_IMAGES = {
    "png named jpg": png(Image.fromarray(PICTURE)),
    "greyscale": jpeg(mode="L"),
    "cmyk": jpeg(mode="CMYK"),
    "progressive": jpeg(progressive=True),
    "16 bits": sixteen_bits(),
    "palette": palette(),
    "greyscale with alpha": png(Image.fromarray(PICTURE).convert("LA")),
    "exif upright": turned(1),
    "junk behind": jpeg() + b"junk",
}


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_an_odd_image_gives_its_pixels(tmp_path: Path, name: str) -> None:
    pixels = watched(lambda: read(folder_with(tmp_path, ODD_IMAGES[name])))
    assert isinstance(pixels, np.ndarray), pixels
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).max() <= (8 if name == "palette" else 4)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (2, PICTURE[:, ::-1]),
        (3, PICTURE[::-1, ::-1]),
        (6, np.rot90(PICTURE, -1)),
        (8, np.rot90(PICTURE)),
    ],
)
def test_an_image_is_turned_as_its_exif_data_says(tmp_path: Path, orientation: int, shown: Frames) -> None:
    pixels = read(folder_with(tmp_path, turned(orientation)))
    assert pixels.shape == shown.shape
    assert np.abs(pixels.astype(int) - shown).max() <= 4


def test_an_image_of_one_pixel(tmp_path: Path) -> None:
    pixels = read(folder_with(tmp_path, jpeg(np.full((1, 1, 3), 90, np.uint8))))
    assert pixels.tolist() == [[[90, 90, 90]]]


BAD_VIDEOS: dict[str, Callable[[Path], bytes]] = {
    "no bytes": lambda path: b"",
    "zeros": lambda path: bytes(4000),
    "text": lambda path: b"no video at all",
    "no frames": empty_video,
    "sound alone": sound,
    "header alone": lambda path: video(path)[:40],
    "half": lambda path: video(path)[: len(video(path)) // 2],
    "enormous frames": claims_enormous_frames,
    "playlist": lambda path: b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("name", BAD_VIDEOS)
@pytest.mark.parametrize("use", [read, count_frames])
def test_a_bad_video_is_named(tmp_path: Path, name: str, use: Callable[[Path], object]) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(BAD_VIDEOS[name](path))
    outcome = watched(lambda: use(path))
    if name == "enormous frames" and use is count_frames:
        assert outcome == 1  # nothing is decoded to count
        return
    kind, message = outcome
    assert kind is DataError, message
    assert str(path) in message and "\n" not in message


ODD_VIDEOS: dict[str, Callable[[Path], bytes]] = {
    "webm": lambda path: video(path, "webm", "libvpx"),
    "avi": lambda path: video(path, "avi", "mpeg4"),
    "gif": gif,
    "header that lies": lies_about_its_length,
    "junk behind": lambda path: video(path) + bytes(1000),
}


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_an_odd_video_gives_its_pixels(tmp_path: Path, name: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(ODD_VIDEOS[name](path))
    assert watched(lambda: count_frames(path)) == 12
    for number in (11, 3):
        pixels = watched(lambda number=number: read(path, number))
        assert isinstance(pixels, np.ndarray), pixels
        assert abs(pixels.mean() - 8 * number) < 4


@pytest.mark.parametrize(
    "name", ["with spaces", "naïve 動画 🎬", "new\nline", "percent%20d", "file:x", "-dash", "a'b\"c"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / f"{name}.mp4", numbered_frames(12))
    assert count_frames(path) == 12
    assert abs(read(path, 7).mean() - 56) < 4
    (tmp_path / name).mkdir()
    assert read(folder_with(tmp_path / name, jpeg(), f"{name}.jpg")).shape == PICTURE.shape


def test_a_name_with_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "http:v.mp4", numbered_frames(12))
    monkeypatch.chdir(tmp_path)
    assert count_frames(Path("http:v.mp4")) == 12
    assert abs(read(Path("http:v.mp4"), 7).mean() - 56) < 4


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_file_that_disappears_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "image":
        path, file = folder_with(tmp_path, jpeg()), tmp_path / "1.jpg"
    else:
        path = file = write_video(tmp_path / "v.mp4", numbered_frames(12))
    source = open_source(path)
    file.unlink()
    with pytest.raises(DataError, match=str(file)):
        source.read(np.array([0]))


@pytest.mark.parametrize("kind", ["image", "folder", "video", "video in a folder"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, kind: str) -> None:
    if os.geteuid():
        pytest.skip("needs another user to be")
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    (tmp_path / "d").mkdir()
    if kind in ("image", "folder"):
        path = folder_with(tmp_path / "d", jpeg())
    else:
        path = write_video(tmp_path / "d" / "v.mp4", numbered_frames(3))
    locked = {"image": path / "1.jpg", "video": path}.get(kind, tmp_path / "d")
    locked.chmod(0)
    for use in (read, count_frames):
        if (kind, use) == ("image", count_frames):
            continue
        outcome = watched(lambda use=use: use(path), user=NOBODY)
        assert isinstance(outcome, tuple), outcome
        assert outcome[0] is DataError, outcome
        assert str(path) in outcome[1]


def test_a_pipe_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    for name in ("1.jpg", "v.mp4"):
        os.mkfifo(tmp_path / name)
    for path, name in ((tmp_path, "1.jpg"), (tmp_path / "v.mp4", "v.mp4")):
        kind, message = watched(lambda path=path: read(path))
        assert kind is DataError and name in message


def test_the_limit_of_memory_holds() -> None:
    kind, _ = watched(lambda: torch.zeros(2 * MEMORY, dtype=torch.uint8).sum().item())
    assert kind is not int
