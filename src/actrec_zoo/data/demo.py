"""Motion shapes: a small generated data set whose classes differ in motion alone.

Place, size, colour and texture have the same distribution in every class, and motion wraps around, so a single
frame says nothing about the class. A group is a scene: one shape on one background, filmed once a class.
"""

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional

from actrec_zoo.data.layouts import MANIFEST_NAME
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.files import write_text

FRAMES = 24
SIDE = 64
JPEG_QUALITY = 90

FloatArray = NDArray[np.float64]
Motion = Callable[[FloatArray, float], tuple[FloatArray, FloatArray, FloatArray]]
"""Time (turns of the motion) and a scale to horizontal and vertical offset (shares of the frame) and size phase."""


def _still(turns: FloatArray) -> FloatArray:
    return np.zeros_like(turns)


MOTIONS: dict[str, Motion] = {
    "move_left": lambda t, s: (-t, _still(t), _still(t)),
    "move_right": lambda t, s: (t, _still(t), _still(t)),
    "move_up": lambda t, s: (_still(t), -t, _still(t)),
    "move_down": lambda t, s: (_still(t), t, _still(t)),
    "circle_clockwise": lambda t, s: (s * np.cos(6.2832 * t), s * np.sin(6.2832 * t), _still(t)),
    "circle_anticlockwise": lambda t, s: (s * np.cos(6.2832 * t), -s * np.sin(6.2832 * t), _still(t)),
    "grow": lambda t, s: (_still(t), _still(t), t),
    "shrink": lambda t, s: (_still(t), _still(t), -t),
}
"""The classes."""


def write_motion_shapes(folder: Path, *, scenes: int = 40, seed: int = 0) -> int:
    """Write the data set as JPEG frame folders, `<class>/<scene>/<frame>.jpg`, with a manifest.csv.

    Args:
        folder: made by this function; must not exist.
        scenes: groups; each gives one video a class.
        seed: the same seed writes the same bytes.

    Returns:
        The number of videos.

    Raises:
        DataError: the folder exists already.
        RunError: the folder cannot be written.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already: choose another folder, or delete it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            half_written = Path(name) / folder.name
            rows = [row for scene in range(scenes) for row in _write_scene(half_written, scene, seed)]
            write_text(half_written / MANIFEST_NAME, _manifest(rows))
            half_written.rename(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return len(rows)


def render(motion: str, scene: int, seed: int = 0) -> NDArray[np.uint8]:
    """Frames uint8[T, H, W, 3] of one scene under one motion."""
    look = np.random.default_rng((seed, scene))
    colour, is_square, background = look.uniform(0.5, 1.0, 3), bool(look.random() < 0.5), _background(look)
    draw = np.random.default_rng((seed, scene, 1 + list(MOTIONS).index(motion)))
    turns: FloatArray = draw.uniform(0, 1) + np.arange(FRAMES, dtype=np.float64) * draw.uniform(0.03, 0.05)
    across, down, growth = MOTIONS[motion](turns, 0.25)
    x, y = (across + draw.uniform()) % 1, (down + draw.uniform()) % 1
    radius = 0.08 + 0.14 * ((growth + draw.uniform()) % 1)
    masks = np.stack([_mask(*place, is_square) for place in zip(x, y, radius, strict=True)])[..., None]
    frames = masks * colour + (1 - masks) * background
    noise = draw.normal(0, 0.02, frames.shape)
    pixels: NDArray[np.uint8] = (np.clip(frames + noise, 0, 1) * 255).astype(np.uint8)
    return pixels


def _write_scene(folder: Path, scene: int, seed: int) -> list[tuple[str, str, str]]:
    rows = []
    for motion in MOTIONS:
        name = f"{motion}/scene{scene:03d}"
        (folder / name).mkdir(parents=True)
        for number, frame in enumerate(render(motion, scene, seed)):
            Image.fromarray(frame).save(folder / name / f"{number}.jpg", quality=JPEG_QUALITY)
        rows.append((name, motion, f"scene{scene:03d}"))
    return rows


def _manifest(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "group"))
    writer.writerows(rows)
    return text.getvalue()


def _background(generator: np.random.Generator) -> FloatArray:
    """A smooth dark texture, [H, W, 3]."""
    coarse = torch.from_numpy(generator.uniform(0, 0.45, (3, 4, 4)))
    smooth: FloatArray = functional.resize(coarse, [SIDE, SIDE]).permute(1, 2, 0).numpy()
    return smooth


def _mask(x: float, y: float, radius: float, is_square: bool) -> FloatArray:
    """Coverage of each pixel by the shape, [H, W]; the frame wraps around at its edges."""
    grid = (np.arange(SIDE) + 0.5) / SIDE
    dx, dy = (np.abs(((grid - centre + 0.5) % 1) - 0.5) for centre in (x, y))
    distance = np.maximum(dx[None], dy[:, None]) if is_square else np.hypot(dx[None], dy[:, None])
    coverage: FloatArray = np.clip((radius - distance) * SIDE + 0.5, 0, 1)
    return coverage
