"""Images to RGB, and folders of them as videos: JPEG by libjpeg-turbo, all else by Pillow."""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from actrec_zoo.data.frames import MOST_PIXELS, Frame, Size, clip_of, reduction
from actrec_zoo.data.layouts import list_frames
from actrec_zoo.data.manifest import IntArray
from actrec_zoo.errors import DataError, first_line

_JPEG = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_EXIF_WITHIN = 1 << 12
_DIRECT = frozenset({"YCbCr", "Gray", "RGB"})
_MOST_BYTES = 8 * MOST_PIXELS  # the largest image of 16 bits, with transparency, not compressed at all


class FrameFolder:
    """A folder of images in natural order.

    Args:
        path: of the folder.
        least: size that frames may be shrunk to as they are decoded.
    """

    def __init__(self, path: Path, least: Size | None = None) -> None:
        self.path = path
        self.least = least
        self._folder = f"{path}{os.sep}"
        try:
            self._names = list_frames(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error

    def read(self, numbers: IntArray) -> Tensor:
        """See `Source.read`; a frame of another size than the first is resized to it."""
        return clip_of(numbers.tolist(), self._decode)

    def _decode(self, number: int, room: Frame | None) -> Frame:
        if number >= len(self._names):
            raise DataError(f"{self.path} has {len(self._names)} frames, no frame {number}")
        return read_image(f"{self._folder}{self._names[number]}", self.least, room)


def read_image(file: str | Path, least: Size | None = None, room: Frame | None = None) -> Frame:
    """The image in a file, turned as its EXIF data says, uint8[H, W, 3].

    The content decides, not the suffix. A JPEG with room to spare is decoded at a half, a quarter or an eighth of its
    size. Of 16 bits the upper 8 are kept, transparency is left out, CMYK becomes RGB.

    Args:
        file: JPEG, PNG or whatever else Pillow reads.
        least: size that the image may be shrunk to; None keeps its own.
        room: what the image may be decoded into, uint8[H, W, 3], where it has its size.

    Raises:
        DataError: the file cannot be read, is no image, is damaged, or is too large.
    """
    try:
        state = os.stat(file)  # noqa: PTH116
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is no regular file")
        if state.st_size > _MOST_BYTES:
            raise ValueError(f"{state.st_size} bytes are too many for an image")
        with open(file, "rb") as stream:  # noqa: PTH123
            return decode_image(stream.read(), least, room)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise DataError(f"cannot decode {file}: {reason}") from error


def decode_image(data: bytes, least: Size | None = None, room: Frame | None = None) -> Frame:
    """The image that is the content of a file, as `read_image` gives it.

    Raises:
        OSError, ValueError: it is no image, is damaged or has too many pixels.
    """
    try:
        direct = _libjpeg_turbo(data, least, room)
        return _pillow(data) if direct is None else direct
    except (SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(first_line(error)) from error


def image_size(file: Path) -> Size:
    """Height and width that an image states, before any turning; nothing is decoded.

    Raises:
        OSError, ValueError: it is no image, or states too many pixels.
    """
    if not file.is_file():
        raise ValueError("it is no regular file")
    try:
        with file.open("rb") as stream, _opened(stream) as image:
            return image.height, image.width
    except (SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(first_line(error)) from error


def _libjpeg_turbo(data: bytes, least: Size | None, room: Frame | None) -> Frame | None:
    """None where Pillow has to judge: no JPEG, unusual colours, a turned one, or a damaged one."""
    if not data.startswith(_JPEG) or _is_turned(data):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in _DIRECT:
            return None
        _refuse_enormous(height, width)
        by = reduction((height, width), least)
        size = -(-height // by), -(-width // by)
        buffer = room if room is not None and room.shape[:2] == size else None
        pixels: Frame = simplejpeg.decode_jpeg(data, "RGB", min_height=size[0], min_width=size[1], buffer=buffer)
    except ValueError:
        return None
    return pixels[: height // by, : width // by]  # not the last row and column, which fewer pixels make


def _is_turned(data: bytes) -> bool:
    if data.find(_EXIF, 0, _EXIF_WITHIN) < 0:
        return False
    with _opened(io.BytesIO(data)) as image:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _pillow(data: bytes) -> Frame:
    with _opened(io.BytesIO(data)) as image:
        return _rgb(ImageOps.exif_transpose(image))


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """Pillow's image, its header read; what Pillow would only warn of is refused, or of no concern."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # damaged EXIF data, for one
        with Image.open(file) as image:
            _refuse_enormous(image.height, image.width)
            yield image


def _rgb(image: Image.Image) -> Frame:
    if image.mode.startswith("I"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _refuse_enormous(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height} pixels are too many")
