"""What a model costs: parameters, those that train, and floating-point operations of a clip."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from actrec_zoo.fitting import check_fit
from actrec_zoo.registry import RegisteredModel
from actrec_zoo.spec import InputSpec
from actrec_zoo.training.parameters import set_trainable


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts of a model at its own input, options and number of classes.

    Attributes:
        parameters: all of them.
        trained: those that train by default.
        flops: floating-point operations of a forward pass over one clip; see `count_flops`.
    """

    parameters: int
    trained: int
    flops: int


def measure(model: RegisteredModel) -> Cost:
    """Count on the meta device, without weights; a network that cannot be built there is built in memory.

    Raises:
        ConfigError: the network cannot take its own input.
        PluginError: the builder cannot be imported.
    """
    spec = model.spec
    net = check_fit(model, spec.input, {})
    flops = count_flops(net, spec.input)
    trained = set(set_trainable(net, spec, spec.trainable))
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    return Cost(parameters=sum(sizes.values()), trained=sum(sizes[name] for name in trained), flops=flops)


def count_flops(net: nn.Module, spec: InputSpec) -> int:
    """Floating-point operations of a forward pass over one clip, in evaluation mode.

    A multiplication and an addition count as two. Convolutions, matrix products and attention are counted;
    normalisation, activations, pooling and other operations on single values are not.
    """
    device = next(net.parameters()).device
    clips = torch.zeros(1, 3, spec.frames, spec.size, spec.size, device=device)
    net.eval().requires_grad_(True)  # without gradients, encoder layers take a fused kernel that is not counted
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        net(clips)
    return int(counter.get_total_flops())
