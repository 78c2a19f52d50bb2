"""The model contract, for every registered model: small among the quick tests, full size among the slow ones."""

from __future__ import annotations

import pytest

from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.testing import check_model

MODELS = [pytest.param(model, id=model.id) for model in get_registry().models]
SIZE = 32
FRAMES = 8
LAYERS = 2
LIKE_OTHERS = ("mc3_18", "mvit_v2_s", "swin3d_s", "swin3d_b")
"""Models that differ from another one of their architecture in sizes, and take long: they are tested at full size."""
QUICK = [
    pytest.param(model, id=model.id, marks=[pytest.mark.slow] if model.spec.name in LIKE_OTHERS else [])
    for model in get_registry().models
]


def reduced(model: RegisteredModel) -> dict[str, object]:
    """Options that make a deep model shallow and leave its structure as it is."""
    options = model.spec.options
    layers = {"layers": LAYERS} if options.get("layers", 0) > LAYERS else {}
    backbone = {"backbone": "resnet18"} if options.get("backbone") == "resnet50" else {}
    return layers | backbone


@pytest.mark.parametrize("model", QUICK)
def test_contract(model: RegisteredModel) -> None:
    check_model(model, size=SIZE, frames=min(model.spec.input.frames, FRAMES), options=reduced(model))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_contract_at_full_size(model: RegisteredModel) -> None:
    check_model(model)
