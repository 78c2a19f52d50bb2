"""The model contract, for every registered model."""

from __future__ import annotations

import pytest

from actrec_zoo.registry import get_registry
from actrec_zoo.testing import check_model


@pytest.mark.parametrize("name", [model.id for model in get_registry().models])
def test_contract(name: str) -> None:
    check_model(name, size=64)


@pytest.mark.slow
@pytest.mark.parametrize("name", [model.id for model in get_registry().models])
def test_contract_at_full_size(name: str) -> None:
    check_model(name)
