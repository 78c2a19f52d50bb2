"""Registered models as parameters of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from actrec_zoo.registry import RegisteredModel

LIKE_OTHERS = (
    *("mc3_18", "mvit_v2_s", "swin3d_s", "swin3d_b"),
    *("x3d_xs", "x3d_m", "x3d_l", "c2d_r50", "i3d_r50", "slowfast_r101"),
)
"""Models that share builder and architecture with one that is tested each time, and take long."""


def as_parameters(models: Iterable[RegisteredModel]) -> list[Any]:
    """One parameter a model; those that are like others are slow."""
    return [
        pytest.param(model, id=model.id, marks=[pytest.mark.slow] if model.spec.name in LIKE_OTHERS else [])
        for model in models
    ]
