"""In which number format networks compute: float32, or mixed with bfloat16 or float16."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

from actrec_zoo.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 on a GPU that has it, fp16 on an older one, fp32 elsewhere.

    Raises:
        ConfigError: the device cannot compute so.
    """
    if name == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name not in get_args(Precision):
        raise ConfigError(f"unknown precision {name!r}: auto, {', '.join(get_args(Precision))}")
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs a GPU: bf16 and fp32 run on a CPU")
    return name  # type: ignore[return-value]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A block whose matrix products and convolutions are computed in a precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, _TYPES[precision])
