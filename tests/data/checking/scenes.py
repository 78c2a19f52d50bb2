"""Small videos with texture and motion, so that one is told from another."""

import numpy as np

from tests.conftest import Frames


def scene(seed: int, frames: int = 60, *, place: int | None = None, height: int = 72, width: int = 96) -> Frames:
    """Frames uint8[T, H, W, 3]: bright spots that wander over an uneven ground, which is that of `place`."""
    rng = np.random.default_rng(seed)
    ground = _smooth(np.random.default_rng(seed if place is None else place), height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    time = np.arange(frames)[:, None] / frames
    clip = np.broadcast_to(ground, (frames, height, width)).copy()
    for _ in range(4):
        frequency, phase = rng.uniform(0.5, 2, 2), rng.uniform(0, 2 * np.pi, 2)
        y, x = (0.5 + 0.45 * np.sin(2 * np.pi * frequency * time + phase)).T
        distance = (rows - y[:, None, None] * height) ** 2 + (columns - x[:, None, None] * width) ** 2
        clip += 120 * np.exp(-distance / (2 * (height / 8) ** 2))
    return np.repeat(clip.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def _smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A ground of soft patches, 20 to 120."""
    coarse = rng.uniform(20, 120, (6, 8))
    rows, columns = np.linspace(0, 5, height), np.linspace(0, 7, width)
    tall = np.array([np.interp(rows, range(6), column) for column in coarse.T]).T
    return np.array([np.interp(columns, range(8), row) for row in tall])
