"""The moving average: of what trains, of nothing else, and early steps count more."""

from __future__ import annotations

import pytest
import torch

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.training.average import MovingAverage
from actrec_zoo.training.parameters import set_trainable


@pytest.fixture
def model() -> VideoClassifier:
    made = actrec_zoo.load("tiny_conv3d", weights=None)
    set_trainable(made.net, made.spec, ["@head"])
    return made


def add_to_all(model: VideoClassifier, number: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(number)


def test_only_what_trains_is_kept_twice(model: VideoClassifier) -> None:
    average = MovingAverage(model, 0.9)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert average.state_dict().keys() == trained and trained
    averages = dict(average.model.named_parameters())
    for name, parameter in model.named_parameters():
        assert (averages[name] is parameter) == (name not in trained), name
    assert all(a is b for a, b in zip(average.model.buffers(), model.buffers(), strict=True))
    assert not any(averages[name].requires_grad for name in trained)


@pytest.mark.parametrize(("steps", "decay"), [(0, 0.1), (8, 0.5), (10**6, 0.9)])
def test_the_first_steps_count_more(model: VideoClassifier, steps: int, decay: float) -> None:
    average = MovingAverage(model, 0.9)
    before = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    add_to_all(model, 1.0)
    average.update(steps)
    for name, tensor in average.state_dict().items():
        assert torch.allclose(tensor, before[name] + (1 - decay), atol=1e-6), name


def test_it_goes_on_with_what_was_saved(model: VideoClassifier) -> None:
    average = MovingAverage(model, 0.9)
    add_to_all(model, 1.0)
    average.update(100)
    saved = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    other = MovingAverage(model, 0.9)
    other.load_state_dict(saved)
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in saved.items())
    answering = dict(other.model.named_parameters())
    assert all(torch.equal(answering[name], tensor) for name, tensor in saved.items())
