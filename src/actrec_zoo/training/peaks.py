"""What a device could compute at most: the peak that model FLOPs are a share of."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import torch

from actrec_zoo.precision import Precision

_TERA = 1e12

_HALF: tuple[Precision, Precision] = ("bf16", "fp16")
_TABLE: tuple[tuple[str, float, float, str], ...] = (
    (r"H100 PCIe", 378, 756, "H100 data sheet"),
    (r"H100 NVL", 417.5, 835.5, "H100 data sheet"),
    (r"H100", 494.5, 989.5, "H100 data sheet, SXM"),
    (r"H200 NVL", 417.5, 835.5, "H200 data sheet"),
    (r"H200", 494.5, 989.5, "H200 data sheet, SXM"),
    (r"A100", 156, 312, "A100 data sheet"),
    (r"A30", 82, 165, "A30 data sheet"),
    (r"A10", 62.5, 125, "A10 data sheet"),
    (r"L40S", 183, 362, "L40S data sheet"),
    (r"L4", 60, 121, "L4 data sheet"),
    (r"V100-SXM\w*", 15.7, 125, "V100 data sheet"),
    (r"T4", 8.1, 65, "T4 data sheet"),
)
"""Name, peak in fp32 and in half precision (tera operations a second) and source, NVIDIA's data sheets.

Dense: half of what the sheets state with sparsity. fp32 is TF32 where there is such: torch lets convolutions use it.
"""

_SIDE = {"cuda": 8192}
_CPU_SIDE = 1024
_TRIES = 3


@dataclass(frozen=True)
class Peak:
    """Floating-point operations a second, and where the figure is from."""

    flops: float
    source: str


def peak_of(device: torch.device, precision: Precision) -> Peak:
    """The stated peak of a known GPU, of another device what a large matrix product reaches."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return stated_peak(name, precision) or measured_peak(device, precision)


def stated_peak(name: str, precision: Precision) -> Peak | None:
    """The dense peak of a GPU by its name; None where it is not in the table, or is a slice of a GPU."""
    for pattern, full, half, source in _TABLE:
        if re.search(rf"\b{pattern}\b", name) and "MIG" not in name:
            return Peak((half if precision in _HALF else full) * _TERA, source)
    return None


def measured_peak(device: torch.device, precision: Precision) -> Peak:
    """The best of a few products of two large matrices."""
    side = _SIDE.get(device.type, _CPU_SIDE)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    fastest = min(_product(matrix) for _ in range(_TRIES))
    return Peak(2 * side**3 / fastest, f"measured here: a product of two {side}x{side} matrices in {precision}")


def _product(matrix: torch.Tensor) -> float:
    wait_for(matrix.device)
    begun = time.perf_counter()
    matrix @ matrix
    wait_for(matrix.device)
    return time.perf_counter() - begun


def wait_for(device: torch.device) -> None:
    """Let a GPU finish its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
