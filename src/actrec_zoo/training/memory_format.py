"""The order in which the weights of convolutions lie in memory; clips come with their channels last."""

import torch
from torch import nn

from actrec_zoo.config import TrainConfig
from actrec_zoo.precision import resolve_precision

_FORMATS: dict[type[nn.Module], torch.memory_format] = {
    nn.Conv2d: torch.channels_last,
    nn.Conv3d: torch.channels_last_3d,
}


def wants_channels_last(config: TrainConfig, device: torch.device) -> bool:
    """`auto`: where a GPU computes in half precision, since its matrix units take the channels last."""
    if config.channels_last != "auto":
        return config.channels_last == "on"
    return device.type == "cuda" and resolve_precision(config.precision, device) != "fp32"


def arrange(net: nn.Module, *, channels_last: bool) -> None:
    """Put the weights of convolutions into one order; their values, names and shapes stay."""
    for module in net.modules():
        wanted = next((order for kind, order in _FORMATS.items() if isinstance(module, kind)), None)
        if wanted is not None and isinstance(module.weight, nn.Parameter):
            module.weight.data = module.weight.data.contiguous(
                memory_format=wanted if channels_last else torch.contiguous_format
            )
