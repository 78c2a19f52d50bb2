from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

import actrec_zoo
from actrec_zoo.training.curves import Curves
from actrec_zoo.training.state import Callback, TrainingState
from tests.training.test_trainer import TINY


class Watch(Callback):
    """Notes the pictures that there are after each epoch, by size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: list[int] = []

    def on_epoch_end(self, state: TrainingState) -> None:
        self.sizes.append(self.path.stat().st_size if self.path.exists() else 0)


def watched(squares: Path, folder: Path, **settings: Any) -> list[int]:
    """What was there after each of three epochs."""
    picture = folder / "curves.png"
    watch = Watch(picture)
    callbacks = [Curves(picture, **settings), watch]
    actrec_zoo.train("tiny_conv3d", squares, out=folder / "run", epochs=3, callbacks=callbacks, **TINY)
    return watch.sizes


def test_the_curves_grow_while_the_run_goes_on(squares: Path, tmp_path: Path) -> None:
    sizes = watched(squares, tmp_path, every=0)
    assert all(sizes) and len(set(sizes)) == 3
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 100


def test_they_are_not_drawn_all_the_time(squares: Path, tmp_path: Path) -> None:
    assert watched(squares, tmp_path, every=3600) == [0, 0, 0]
