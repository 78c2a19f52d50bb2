"""Every network of the zoo can be divided among processes, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import ConfigError
from actrec_zoo.fitting import meta_network
from actrec_zoo.precision import Precision
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.training.sharding import divide, is_divided
from tests.models import as_parameters

CPU = torch.device("cpu")
_MOST_AT_ONCE = 0.75


class Whole(nn.Module):
    """What is run: the network within another module, as `TrainedNetwork` has it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("model", as_parameters(get_registry().models))
def test_every_network_can_be_divided(model: RegisteredModel) -> None:
    network = Whole(meta_network(model))
    divide(network, CPU)
    parameters = list(network.parameters())
    assert all(isinstance(parameter, DTensor) for parameter in parameters)
    blocks = [module for module in network.modules() if isinstance(module, FSDPModule) and module is not network]
    largest = max(sum(p.numel() for p in block.parameters()) for block in blocks)
    assert largest <= _MOST_AT_ONCE * sum(p.numel() for p in parameters)


@pytest.mark.usefixtures("group")
def test_a_parameter_without_dimensions_is_refused() -> None:
    network = nn.Linear(2, 2)
    network.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ConfigError, match=r"parallel=fsdp cannot divide this network.*Take parallel=ddp"):
        divide(network, CPU)


@pytest.mark.parametrize(
    ("other", "precision", "named"),
    [({"ema": 0.9}, "fp32", "ema"), ({"compile": True}, "fp32", "compile"), ({}, "fp16", "precision fp16")],
)
def test_what_does_not_go_with_divided_weights_is_refused_where_there_are_several_processes(
    other: dict[str, Any], precision: Precision, named: str
) -> None:
    config = TrainConfig(model="tiny_conv3d", data="data", parallel="fsdp", **other)
    assert not is_divided(config, precision), "one process ignores the setting"
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        with pytest.raises(ConfigError, match=f"parallel=fsdp does not go with {named}"):
            is_divided(config, precision)
    finally:
        dist.destroy_process_group()
