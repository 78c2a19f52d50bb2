"""What a network costs: parameters, those that train, and floating-point operations of a clip."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from actrec_zoo.spec import InputSpec


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts of a network.

    Attributes:
        parameters: all of them.
        trained: those that train.
        flops: floating-point operations of a forward pass over one clip; see `count_flops`.
    """

    parameters: int
    trained: int
    flops: int

    @property
    def macs(self) -> int:
        """Multiply-adds, which papers often call FLOPs."""
        return self.flops // 2


def measure(net: nn.Module, spec: InputSpec) -> Cost:
    """Count a network, on the meta device or any other; `count_flops` tells what that does to it."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in net.parameters()]
    return Cost(
        parameters=sum(size for size, _ in sizes),
        trained=sum(size for size, trains in sizes if trains),
        flops=count_flops(net, spec),
    )


def count_flops(net: nn.Module, spec: InputSpec) -> int:
    """Floating-point operations of a forward pass over one clip, in evaluation mode.

    A multiplication and an addition count as two. Convolutions, matrix products and attention are counted;
    normalisation, activations, pooling and other operations on single values are not.

    The network is left in evaluation mode, with every parameter trainable: without gradients, encoder layers take a
    fused kernel that torch's counter does not know.
    """
    device = next(net.parameters()).device
    clips = torch.zeros(1, 3, spec.frames, spec.size, spec.size, device=device)
    net.eval().requires_grad_(True)
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        net(clips)
    return int(counter.get_total_flops())
