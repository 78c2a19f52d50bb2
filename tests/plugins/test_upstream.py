"""Every model with pretrained weights, at full size, against the network that the weights were made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec_zoo.registry import get_registry
from tests import upstream

PRETRAINED = [model.spec.name for model in get_registry().models if model.spec.weights]


@pytest.mark.slow
@pytest.mark.parametrize("name", PRETRAINED)
def test_checkpoint_at_full_size(name: str, hub_cache: Path, torch_home: Path) -> None:
    assert upstream.largest_difference(name, hub_cache, torch_home) <= 1e-5
