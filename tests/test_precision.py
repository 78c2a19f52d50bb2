import pytest
import torch

from actrec_zoo.errors import ConfigError
from actrec_zoo.precision import autocast, resolve_precision

CPU = torch.device("cpu")


def test_the_precision_of_a_device() -> None:
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(ConfigError, match="needs a GPU"):
        resolve_precision("fp16", CPU)
    with pytest.raises(ConfigError, match="unknown precision 'fp8'"):
        resolve_precision("fp8", CPU)


def test_products_are_computed_in_the_precision() -> None:
    matrix = torch.randn(4, 4)
    with autocast(CPU, "bf16"):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (matrix @ matrix).dtype == torch.float32
