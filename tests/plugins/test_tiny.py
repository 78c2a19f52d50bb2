"""`tiny_conv3d`."""

from __future__ import annotations

import pytest
import torch

import actrec_zoo
from actrec_zoo.errors import WeightsError
from actrec_zoo_plugins.tiny.model import build


def test_size() -> None:
    spec = actrec_zoo.get_spec("tiny_conv3d")
    assert spec.parameters == 94_753 < 1_000_000
    assert spec.trainable == ("*",)


@pytest.mark.parametrize("shape", [(1, 3, 1, 32, 32), (2, 3, 8, 64, 64), (3, 3, 5, 40, 56)])
def test_any_frames_and_sizes(shape: tuple[int, ...]) -> None:
    net = build(num_classes=4, width=4).eval()
    assert net.forward_features(torch.randn(shape)).shape == (shape[0], 16)
    assert net(torch.randn(shape)).shape == (shape[0], 4)


def test_time_matters() -> None:
    """Reversed clips differ: the network sees motion, not only frames."""
    torch.manual_seed(0)
    net = build(num_classes=4, width=8).eval()
    clips = torch.randn(1, 3, 8, 32, 32)
    assert not torch.allclose(net(clips), net(clips.flip(2)), atol=1e-4)


def test_no_pretrained_weights() -> None:
    with pytest.raises(WeightsError, match="tiny_conv3d has no pretrained weights"):
        build(num_classes=4, pretrained="imagenet")
