"""A trained run to evaluate."""

from pathlib import Path
from typing import Any

import pytest

import actrec_zoo

TINY: dict[str, Any] = {"options.width": 4, "size": 32, "frames": 4, "stride": 1, "workers": 0, "device": "cpu"}


@pytest.fixture
def trained(squares: Path, tmp_path: Path) -> Path:
    """A run of one epoch of the tiny CNN on `squares`."""
    return actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "trained", epochs=1, batch_size=4, **TINY).path
