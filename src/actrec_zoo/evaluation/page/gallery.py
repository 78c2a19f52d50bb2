"""The most confident errors as short films: frames side by side in one picture, which the page moves past a window."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from actrec_zoo.data.decode import open_source
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.errors import DataError
from actrec_zoo.evaluation.predictions import Predictions

MOST_FILMS = 24
MOST_BYTES = 3_000_000
"""Of all films together; base64 makes 4 MB of them."""

FRAMES = 8
WIDTH, HEIGHT = 192, 144
_QUALITY = 70


@dataclass(frozen=True)
class Footage:
    """Where the frames of the evaluated videos are.

    Attributes:
        manifest: of the data, with frame counts.
        videos: numbers in it of those that were evaluated, int64[N].
    """

    manifest: Manifest
    videos: IntArray

    def frames(self, place: int, count: int) -> NDArray[np.uint8]:
        """Frames spread over one of the videos, uint8[count, 3, H, W].

        Raises:
            DataError: the video cannot be read.
        """
        video = int(self.videos[place])
        length, first = int(self.manifest.frames[video]), int(self.manifest.offsets[video])
        numbers = first + (2 * np.arange(count) + 1) * length // (2 * count)
        frames: NDArray[np.uint8] = open_source(self.manifest.path(video), (HEIGHT, WIDTH)).read(numbers).numpy()
        return frames


@dataclass(frozen=True)
class Film:
    """A video of the gallery.

    Attributes:
        place: of the video among the predictions.
        strip: WebP, `FRAMES` pictures of `WIDTH` by `HEIGHT` side by side; None where there is none.
        missing: why there is none.
    """

    place: int
    strip: bytes | None = None
    missing: str = ""


def by_interest(predictions: Predictions) -> IntArray:
    """Places of all videos, int64[N]: the most confident errors first, failed ones, then those that are right."""
    wrong = predictions.predicted != predictions.truth
    kind = np.select([wrong & predictions.used, ~predictions.used], [0, 1], 2)
    confidence = predictions.probabilities.max(axis=1, initial=0)
    order: IntArray = np.lexsort((-confidence, kind))
    return order


def films(predictions: Predictions, footage: Footage | None) -> Iterator[Film]:
    """The most confident errors, as many as fit.

    Args:
        predictions: of a model.
        footage: where the videos are; None where that is not known.
    """
    wrong = predictions.used & (predictions.predicted != predictions.truth)
    left = MOST_BYTES
    for place in by_interest(predictions)[: min(MOST_FILMS, int(wrong.sum()))].tolist():
        film = _film(place, footage, left)
        left -= len(film.strip or b"")
        yield film


def _film(place: int, footage: Footage | None, most_bytes: int) -> Film:
    if footage is None:
        return Film(place, missing="the scores do not say where the video is")
    try:
        strip = _strip(footage.frames(place, FRAMES))
    except (DataError, OSError):
        return Film(place, missing="the video cannot be read now")
    if len(strip) > most_bytes:
        return Film(place, missing="those above take all the room there is")
    return Film(place, strip)


def _strip(frames: NDArray[np.uint8]) -> bytes:
    """Frames uint8[T, 3, H, W] side by side, as WebP."""
    whole = Image.new("RGB", (len(frames) * WIDTH, HEIGHT))
    for number, frame in enumerate(frames):
        picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
        whole.paste(ImageOps.pad(picture, (WIDTH, HEIGHT)), (number * WIDTH, 0))
    file = io.BytesIO()
    whole.save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()
