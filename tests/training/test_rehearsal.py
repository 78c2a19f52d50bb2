"""A rehearsed step takes what a real one takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from actrec_zoo.config import TrainConfig
from actrec_zoo.cost import count_flops
from actrec_zoo.data.dataset import Batch, blank_batch
from actrec_zoo.errors import RunError
from actrec_zoo.registry import get_registry
from actrec_zoo.training.objective import Classification
from actrec_zoo.training.recompute import recompute_blocks
from actrec_zoo.training.rehearsal import count_step_flops, rehearse
from tests.training.test_recompute import small

CPU = torch.device("cpu")


class Blank:
    """Black clips of a shape, in the place of a data set."""

    def __init__(self, frames: int, size: int) -> None:
        self.shape = (1, frames, 3, size, size)

    def blank(self, device: torch.device) -> Batch:
        return blank_batch(torch.zeros(self.shape, dtype=torch.uint8, device=device))


def settings(model: Any, **values: Any) -> TrainConfig:
    return TrainConfig(model=model.id, data="none", device="cpu", **values)


def saved_by_a_real_step(model: Any, data: Blank, clips: int) -> int:
    """Bytes that a real forward pass keeps for the backward pass, beside the weights."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    inputs = torch.zeros(clips, *data.shape[1:], dtype=torch.uint8)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(model(model.preprocess(inputs)), torch.zeros(clips, dtype=torch.int64))
    del loss
    return sum(size for place, size in kept.items() if place not in weights)


@pytest.mark.parametrize("name", ["tiny_conv3d", "r3d_attn8", "timesformer", "mobilenet_attn"])
def test_the_memory_is_what_a_real_step_keeps_gradients_and_a_third_at_most(name: str) -> None:
    model = small(get_registry().find(name))
    data = Blank(model.input.frames, model.input.size)
    config = settings(model, optimizer="sgd", momentum=0)
    rehearsed = rehearse(model, data, config, Classification(config), 32)
    kept, gradients = saved_by_a_real_step(model, data, 32), sum(p.nbytes for p in model.parameters())
    assert kept <= rehearsed <= 1.35 * kept + gradients, (rehearsed, kept, gradients)


def test_gradients_state_and_average_count_for_what_trains() -> None:
    model = small(get_registry().find("r3d"), trainable=("*",))
    data = Blank(4, 32)
    trained = sum(p.nbytes for p in model.parameters())

    def memory(**values: Any) -> int:
        config = settings(model, **values)
        return rehearse(model, data, config, Classification(config), 1)

    adam, average = memory(optimizer="adam"), memory(optimizer="adam", ema=0.9)
    assert average - adam == pytest.approx(trained, rel=0.01)
    assert adam - memory(optimizer="sgd") == pytest.approx(trained, rel=0.01), "two moments and one"
    assert adam > 3 * trained, "the gradient and two moments"
    head = small(get_registry().find("r3d"), trainable=("@head",))
    config = settings(head)
    assert rehearse(head, data, config, Classification(config), 1) < 0.3 * trained


def test_recomputing_takes_less_memory_and_counts_as_no_work() -> None:
    plain, again = (small(get_registry().find("r3d_attn8")) for _ in range(2))
    recompute_blocks(again)
    data = Blank(4, 64)
    config = settings(plain, optimizer="sgd", momentum=0)
    kept, less = (rehearse(model, data, config, Classification(config), 32) for model in (plain, again))
    assert less < 0.85 * kept
    counts = [count_step_flops(model, data, config, Classification(config)) for model in (plain, again)]
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("trainable", [("*",), ("@head",), ("@stem", "@head"), ("backbone.layer4.*", "@head")])
def test_operations_are_those_of_a_real_step(trainable: tuple[str, ...]) -> None:
    model = small(get_registry().find("r3d_attn8"), trainable)
    data = Blank(4, 64)
    config = settings(model)
    counted = count_step_flops(model, data, config, Classification(config))
    from actrec_zoo.training.update import TrainedNetwork

    with FlopCounterMode(display=False) as real:
        batch = data.blank(CPU)
        Classification(config)(TrainedNetwork(model, data), batch)[0].backward()
    assert counted == real.get_total_flops()
    forward = count_flops(small(get_registry().find("r3d_attn8")).net, dataclasses.replace(model.input))
    assert forward < counted < 3 * forward


def test_a_network_that_reads_its_tensors_is_named() -> None:
    class Reads(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips if clips.sum().item() else -clips

    model = small(get_registry().find("tiny_conv3d"))
    model.net.backbone.insert(0, Reads())
    config = settings(model)
    with pytest.raises(RunError, match="a step of tiny:tiny_conv3d cannot be rehearsed"):
        rehearse(model, Blank(4, 32), config, Classification(config), 1)
