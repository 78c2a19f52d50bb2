"""The loss, whatever the labels and however much each class counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import Batch
from actrec_zoo.training.objective import Classification

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 1, 2, 0])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0])
NONE = torch.zeros(6, dtype=torch.int64)
BATCH = Batch(LOGITS, LABELS, NONE, NONE)
SOFT = functional.one_hot(LABELS, 4).float()


def loss(batch: Batch, smoothing: float = 0.0) -> float:
    objective = Classification(TrainConfig(model="m", data="d", label_smoothing=smoothing))
    return float(objective(lambda inputs: inputs, batch)[0])


def written_out(shares: torch.Tensor, weights: torch.Tensor, smoothing: float) -> float:
    """Cross-entropy as its definition says."""
    smoothed = (1 - smoothing) * shares + smoothing / 4
    return float(-(smoothed * weights * LOGITS.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_smoothing_and_weights_compose(weights: torch.Tensor | None, smoothing: float) -> None:
    expected = torch.ones(4) if weights is None else weights
    for labels in (LABELS, SOFT):
        batch = replace(BATCH, labels=labels, class_weights=weights)
        assert loss(batch, smoothing) == pytest.approx(written_out(SOFT, expected, smoothing), abs=1e-6)
    mixed = 0.7 * SOFT + 0.3 * SOFT.roll(1, 0)
    batch = replace(BATCH, labels=mixed, class_weights=weights)
    assert loss(batch, smoothing) == pytest.approx(written_out(mixed, expected, smoothing), abs=1e-6)


@pytest.mark.parametrize("labels", [LABELS, 0.6 * SOFT + 0.4 * SOFT.roll(1, 0)], ids=["classes", "shares"])
def test_parts_of_a_batch_add_up_to_it(labels: torch.Tensor) -> None:
    whole = replace(BATCH, labels=labels, class_weights=WEIGHTS)
    parts = [
        replace(whole, inputs=LOGITS[places], labels=labels[places])
        for places in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    total = sum(loss(part, 0.1) * len(part.inputs) / 6 for part in parts)
    assert total == pytest.approx(loss(whole, 0.1), abs=1e-6)


def test_the_larger_share_is_the_class_that_counts_as_right() -> None:
    shares = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0], [0.4, 0.0, 0.0, 0.6]])
    logits = torch.eye(4)[[0, 0, 3]]
    none = torch.zeros(3, dtype=torch.int64)
    objective = Classification(TrainConfig(model="m", data="d"))
    _, figures = objective(lambda inputs: inputs, Batch(logits, shares, none, none))
    assert float(figures["top1"]) == pytest.approx(2 / 3)
