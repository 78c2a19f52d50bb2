"""The order of weights in memory changes neither values nor files nor what a resumed run needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.errors import InterruptedRun
from actrec_zoo.registry import get_registry
from actrec_zoo.training.memory_format import arrange, wants_channels_last
from tests.training.test_recompute import small
from tests.training.test_trainer import TINY, InterruptAt, rows

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_values_names_and_shapes_stay() -> None:
    for name, order in (("r3d", torch.channels_last_3d), ("squeezenet_attn", torch.channels_last)):
        model = small(get_registry().find(name))
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        arrange(model, channels_last=True)
        after = model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
        convolution = next(m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Conv3d)))
        assert convolution.weight.is_contiguous(memory_format=order) and not convolution.weight.is_contiguous()
        arrange(model, channels_last=False)
        assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_auto_is_for_matrix_units() -> None:
    def wanted(device: torch.device, **values: object) -> bool:
        return wants_channels_last(TrainConfig.model_validate({"model": "m", "data": "d", **values}), device)

    assert not wanted(CPU) and not wanted(CPU, precision="bf16")
    assert wanted(GPU, precision="bf16") and not wanted(GPU, precision="fp32")
    assert wanted(CPU, channels_last="on") and not wanted(GPU, precision="bf16", channels_last="off")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_run_in_another_order_trains_alike_and_resumes_exactly(squares: Path, tmp_path: Path, optimizer: str) -> None:
    settings = TINY | {"epochs": 2, "optimizer": optimizer}
    first, last = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / order, channels_last=order, **settings)
        for order in ("off", "on")
    )
    for one, other in zip(first.result.history, last.result.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)
    with pytest.raises(InterruptedRun):
        actrec_zoo.train(
            "tiny_conv3d", squares, out=tmp_path / "cut", channels_last="on", callbacks=[InterruptAt(6)], **settings
        )
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True)
    assert (cut.path / "model.safetensors").read_bytes() == (last.path / "model.safetensors").read_bytes()
    assert rows(cut.path) == rows(last.path)
