"""The model contract, for every registered model: small among the quick tests, full size among the slow ones."""

from __future__ import annotations

import pytest

from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.testing import check_model
from tests.models import as_parameters

MODELS = [pytest.param(model, id=model.id) for model in get_registry().models]
SIZE = 32
FRAMES = 8
LAYERS = 2


def reduced(model: RegisteredModel) -> dict[str, object]:
    """Options that make a deep model shallow and leave its structure as it is."""
    options = model.spec.options
    layers = {name: LAYERS for name in ("layers", "probe_layers") if options.get(name, 0) > LAYERS}
    backbone = {"backbone": "resnet18"} if options.get("backbone") == "resnet50" else {}
    return layers | backbone


@pytest.mark.parametrize("model", as_parameters(get_registry().models))
def test_contract(model: RegisteredModel) -> None:
    check_model(model, size=SIZE, frames=min(model.spec.input.frames, FRAMES), options=reduced(model))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_contract_at_full_size(model: RegisteredModel) -> None:
    check_model(model)
