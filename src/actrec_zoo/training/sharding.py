"""Weights, gradients and the optimizer's state divided among processes, and made whole where they are used or saved.

This is torch's FSDP2. Between steps a process holds its part of each tensor, a `DTensor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from actrec_zoo import distributed
from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import ConfigError
from actrec_zoo.precision import Precision


def is_divided(config: TrainConfig, precision: Precision) -> bool:
    """Whether the processes of a run divide its weights; one process has nothing to divide.

    Raises:
        ConfigError: another setting does not go with that.
    """
    if config.parallel != "fsdp" or distributed.size() == 1:
        return False
    for other, given in (("ema", config.ema is not None), ("compile", config.compile)):
        if given:
            raise ConfigError(f"parallel=fsdp does not go with {other}: leave it out, or take parallel=ddp")
    if precision == "fp16":
        raise ConfigError("parallel=fsdp does not go with precision fp16: take bf16 or fp32, or parallel=ddp")
    return True


def divide(network: nn.Module, device: torch.device) -> None:
    """Divide the parameters of a network, in place; a block of it is made whole while it computes.

    Blocks are the modules with modules of their own that stand in a row: layers of a transformer, residual blocks.

    Raises:
        ConfigError: the network has a parameter that cannot be divided.
    """
    mesh = init_device_mesh(device.type, (distributed.size(),))
    try:
        for block in _blocks(network):
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
    except ValueError as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"parallel=fsdp cannot divide this network: {reason}. Take parallel=ddp") from error


@torch.no_grad()
def begin(network: nn.Module, inputs: Tensor) -> None:
    """Run a divided network once, from its outside on: before that, FSDP2 lets no block be run by itself.

    Args:
        network: is left in evaluation mode.
        inputs: any that it takes.
    """
    network.eval()(inputs)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def undivided(network: nn.Module) -> Iterator[None]:
    """Within, every process has the whole network and can run it as often as it likes, without the others."""
    parts = [module for module in network.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(part is not network, recurse=False)
            part.reshard()


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whole on the CPU in the first process, none in the others; all have to ask."""
    whole = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if distributed.is_first():
            whole[name] = full.detach().cpu().contiguous()
    return whole


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, as another one of its shape is divided; itself where that is not."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def own(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that is divided; another one itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def has_parts(network: nn.Module) -> bool:
    """Whether a parameter is divided."""
    return any(isinstance(parameter, DTensor) for parameter in network.parameters())


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        in_a_row = isinstance(module, nn.ModuleList | nn.Sequential)
        if in_a_row and next(child.children(), None) is not None and next(child.parameters(), None) is not None:
            yield child
        else:
            yield from _blocks(child)
