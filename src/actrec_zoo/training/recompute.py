"""Less memory for more computing: a backbone's blocks keep their inputs alone and run again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError
from actrec_zoo.training.parameters import is_of_head


def recompute_blocks(model: VideoClassifier) -> None:
    """Let the blocks of the backbone be computed again for their gradients, by torch.utils.checkpoint.

    Weights, names and results stay what they are, bit for bit: dropout draws the same numbers again, and statistics
    of batch norm move once.

    Raises:
        ConfigError: the backbone has no blocks.
    """
    found = blocks(model)
    if not found:
        raise ConfigError(f"checkpoint_activations: {model.id} has no repeated blocks, so it would save nothing")
    for block in found:
        if not isinstance(block.__dict__.get("forward"), _Recomputed):
            block.forward = _Recomputed(block)


def keep_activations(model: nn.Module) -> None:
    """Take back what `recompute_blocks` did."""
    for module in model.modules():
        if isinstance(module.__dict__.get("forward"), _Recomputed):
            del module.__dict__["forward"]


def blocks(model: VideoClassifier) -> list[nn.Module]:
    """The repeated parts of the backbone: composite members of its lists and sequences, the outermost ones."""
    found: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for name, module in model.net.named_modules():
        if module in inside or not isinstance(module, nn.Sequential | nn.ModuleList):
            continue
        if is_of_head(f"{name}.", model.spec):
            continue
        for child in module.children():
            composite = next(child.children(), None) is not None and next(child.parameters(), None) is not None
            if composite and not _holds_blocks(child):
                found.append(child)
                inside.update(child.modules())
    return found


def _holds_blocks(module: nn.Module) -> bool:
    """Whether a member is itself a sequence of composite members, such as a stage of blocks."""
    if not isinstance(module, nn.Sequential):
        return False
    return sum(next(child.children(), None) is not None for child in module.children()) > 1


class _Recomputed:
    """The forward pass of a block as a checkpoint."""

    def __init__(self, block: nn.Module) -> None:
        self._block = block

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = functools.partial(type(self._block).forward, self._block)
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        if torch.compiler.is_compiling():  # a graph writes into buffers at its end, once
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        contexts = functools.partial(_contexts, self._block)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def _contexts(block: nn.Module) -> tuple[Any, Any]:
    """What surrounds the first run of a block, and the second."""
    return nullcontext(), _buffers_spared(block)


@contextmanager
def _buffers_spared(block: nn.Module) -> Iterator[None]:
    """Let a block write into copies of its buffers: running statistics would move twice a step."""
    places = [(module._buffers, name) for module in block.modules() for name in module._buffers]
    own = [buffers[name] for buffers, name in places]
    for (buffers, name), buffer in zip(places, own, strict=True):
        buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for (buffers, name), buffer in zip(places, own, strict=True):
            buffers[name] = buffer
