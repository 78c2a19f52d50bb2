from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.videos import FILES


@pytest.fixture(scope="session")
def odd_videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of `FILES` by name, written once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = FILES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get
