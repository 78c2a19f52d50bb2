"""What is special about this architecture: channels move between frames, so the order of the frames matters."""

import pytest
import torch

from actrec_zoo.plugin import ConfigError, WeightsError
from actrec_zoo_tsm.model import build, temporal_shift


def test_channels_move_by_one_frame() -> None:
    frames = torch.arange(1.0, 5.0).reshape(1, 4, 1, 1, 1).expand(1, 4, 8, 2, 2)  # each frame holds its number
    shifted = temporal_shift(frames, 2)[0, :, :, 0, 0]
    assert shifted[:, :2].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert shifted[:, 2:4].tolist() == [[2, 2], [3, 3], [4, 4], [0, 0]]
    assert torch.equal(shifted[:, 4:], frames[0, :, 4:, 0, 0])


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips(frames: int) -> None:
    assert temporal_shift(torch.ones(2, frames, 8, 3, 3), 1).shape == (2, frames, 8, 3, 3)


def test_the_order_of_the_frames_matters_because_of_the_shift() -> None:
    clips = torch.randn(2, 3, 4, 32, 32)
    for share, matters in ((0.125, True), (0.0, False)):
        torch.manual_seed(0)
        net = build(num_classes=3, frames=4, share=share).eval()
        with torch.inference_mode():
            there, back = net(clips), net(clips.flip(2))
        assert torch.allclose(there, back, atol=1e-5) is not matters


def test_no_clip_sees_another() -> None:
    net = build(num_classes=3, frames=4).eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(net(clips)[:1], net(clips[:1]), atol=1e-5)


def test_parameters_keep_the_names_of_torchvision() -> None:
    names = build(num_classes=3, backbone="resnet18").backbone.state_dict().keys()
    assert {"conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.running_var"} <= names


@pytest.mark.parametrize("options", [{"share": 0.6}, {"share": -0.1}, {"backbone": "vgg11"}, {"backbone": "resnet17"}])
def test_options_that_do_not_fit_are_named(options: dict[str, float | str]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        build(num_classes=3, **options)  # type: ignore[arg-type]


def test_another_number_of_frames_than_built_for() -> None:
    with pytest.raises(ConfigError, match="built for 4 frames and got 8"):
        build(num_classes=3, frames=4)(torch.zeros(1, 3, 8, 32, 32))


def test_the_small_backbone_has_no_pretrained_weights() -> None:
    with pytest.raises(WeightsError, match="--weights none"):
        build(num_classes=3, pretrained="imagenet")
