"""Networks built without their weights: nothing is initialised that a file will replace, and nothing outgrows it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from actrec_zoo.errors import WeightsError

_DRAWS = (Tensor.normal_, Tensor.uniform_)
_MORE_PARTS = 10_000
_MORE_ELEMENTS = 2**27


@dataclass
class Allowance:
    """How much a network may have while it is built, so that options of strangers cannot ask for the impossible.

    Builders may drop parts again, such as upstream's classifier, so it is wider than the network.

    Attributes:
        parts: modules and parameters.
        elements: of all parameters.
        source: names the weights in the error.
    """

    parts: int
    elements: int
    source: str

    @classmethod
    def around(cls, tensors: Iterable[Tensor], source: str) -> Allowance:
        """What a network may have that these tensors fill."""
        sizes = [tensor.numel() for tensor in tensors]
        return cls(parts=4 * len(sizes) + _MORE_PARTS, elements=4 * sum(sizes) + _MORE_ELEMENTS, source=source)

    def spend(self, elements: int = 0) -> None:
        """Count one part.

        Raises:
            WeightsError: there were too many.
        """
        self.parts -= 1
        self.elements -= elements
        if self.parts < 0 or self.elements < 0:
            raise WeightsError(f"{self.source}: the options ask for a network that is much larger than these weights")


class _Undrawn(TorchFunctionMode):
    """No random numbers are drawn for what has no memory: half of the time of building a network goes there."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func in _DRAWS and args[0].is_meta else func(*args, **(kwargs or {}))


@contextmanager
def bounded(allowance: Allowance, *, on_meta: bool) -> Iterator[None]:
    """Count what this thread's modules register and, with `on_meta`, let their parameters have shapes alone.

    Parameters lose their memory when a module registers them, which is before layers initialise theirs. Buffers and
    plain tensors are real, so that tables which a network computes for itself are whole. Tied parameters stay tied.

    Raises:
        WeightsError: the allowance is spent.
    """
    thread, known = threading.get_ident(), WeakIdKeyDictionary()

    def parameter_registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> Any:
        if parameter is None or threading.get_ident() != thread:
            return None
        allowance.spend(0 if is_lazy(parameter) else parameter.numel())
        if not on_meta or parameter.is_meta or is_lazy(parameter):
            return None
        if parameter not in known:
            known[parameter] = nn.Parameter(
                torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
            )
        return known[parameter]

    def module_registered(module: nn.Module, name: str, part: nn.Module | None) -> None:
        if part is not None and threading.get_ident() == thread:
            allowance.spend()

    hooks = (
        register_module_parameter_registration_hook(parameter_registered),
        register_module_module_registration_hook(module_registered),
    )
    try:
        with _Undrawn():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def twins(network: nn.Module) -> dict[str, str]:
    """Names under which a parameter or buffer is there once more, each with its first name."""
    first: dict[int, str] = {}
    named = (
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    )
    names = {name: first.setdefault(id(tensor), name) for name, tensor in named}
    return {name: kept for name, kept in names.items() if name != kept}


def untied_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict with each tensor once, under its first name."""
    again = twins(network)
    return {name: tensor for name, tensor in network.state_dict().items() if name not in again}


def tie(network: nn.Module, names: Mapping[str, str]) -> None:
    """Let each name mean the tensor of the other, as `twins` found them."""
    for name, kept in names.items():
        owner, _, attribute = name.rpartition(".")
        source, _, original = kept.rpartition(".")
        setattr(network.get_submodule(owner), attribute, getattr(network.get_submodule(source), original))


def left_on_meta(network: nn.Module) -> list[str]:
    """Names of parameters and buffers that nothing has filled."""
    named = (*network.named_parameters(), *network.named_buffers())
    return [name for name, tensor in named if tensor.is_meta]
