"""Damaged, odd and hostile files, made here."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.conftest import Frames, numbered_frames, write_video

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
"""Each is an error."""

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
"""Each shows `PICTURE`."""

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
"""Each is an error; a function of the path that the file is to have."""

ODD_VIDEOS: dict[str, Callable[[Path], bytes]] = {
    "webm": lambda path: video(path, "webm", "libvpx"),
    "avi": lambda path: video(path, "avi", "mpeg4"),
    "gif": gif,
    "header that lies": lies_about_its_length,
    "junk behind": lambda path: video(path) + bytes(1000),
}
"""Each has twelve frames, `numbered_frames`."""
