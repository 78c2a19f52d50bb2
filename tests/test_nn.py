"""Parts that plugins share."""

from __future__ import annotations

import math

import pytest
import torch

from actrec_zoo.errors import ConfigError
from actrec_zoo.nn import (
    FeatureNetwork,
    LinearHead,
    MaskedLinear,
    TokenHead,
    require_multiple,
    sinusoidal_positions,
    transformer_classifier,
)


@pytest.mark.parametrize("width", [1, 2, 7, 8])
def test_positions_are_those_of_the_paper(width: int) -> None:
    codes = sinusoidal_positions(5, width, torch.zeros(1))
    assert codes.shape == (5, width)
    for position in range(5):
        for i in range(width):
            angle = position / 10000 ** (2 * (i // 2) / width)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert codes[position, i].item() == pytest.approx(expected, abs=1e-5)


def test_positions_take_dtype_and_device() -> None:
    assert sinusoidal_positions(3, 4, torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert sinusoidal_positions(3, 4, torch.zeros(1, device="meta")).is_meta


def head(**options: object) -> TokenHead:
    torch.manual_seed(0)
    return TokenHead(16, 3, **({"tokens": 4, "heads": 4} | options)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("readout", ["flatten", "cls", "mean"])
@pytest.mark.parametrize("options", [{}, {"class_token": True, "positions": True}, {"project": 8}, {"center": True}])
def test_logits_have_a_row_a_clip(readout: str, options: dict[str, object]) -> None:
    assert head(readout=readout, **options)(torch.randn(5, 4, 16)).shape == (5, 3)


@pytest.mark.parametrize("readout", ["flatten", "cls", "mean"])
def test_attention_stays_within_a_clip(readout: str) -> None:
    net = head(readout=readout)
    tokens = torch.randn(3, 4, 16)
    changed = tokens.clone()
    changed[1] += 1
    assert torch.equal(net(tokens)[0], net(changed)[0])
    assert not torch.allclose(net(tokens)[1], net(changed)[1])


def test_attention_reaches_every_token_of_a_clip() -> None:
    net = head(readout="cls")
    tokens = torch.randn(1, 4, 16, requires_grad=True)
    net.train()(tokens).sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad.abs().sum(dim=2) > 0).all()


def test_order_matters_only_with_positions() -> None:
    tokens = torch.randn(1, 4, 16)
    swapped = tokens.flip(1)
    assert torch.allclose(head(readout="mean")(tokens), head(readout="mean")(swapped), atol=1e-6)
    with_positions = head(readout="mean", positions=True)
    assert not torch.allclose(with_positions(tokens), with_positions(swapped), atol=1e-4)


def test_center_ignores_what_does_not_change_over_the_clip() -> None:
    net = head(readout="mean", center=True, positions=True)
    still = torch.randn(1, 1, 16).expand(1, 4, 16)
    other = torch.randn(1, 1, 16).expand(1, 4, 16)
    assert torch.allclose(net(still), net(other), atol=1e-5)


@pytest.mark.parametrize("readout", ["cls", "mean"])
def test_any_number_of_tokens(readout: str) -> None:
    net = head(readout=readout, tokens=None)
    assert net(torch.randn(2, 9, 16)).shape == net(torch.randn(2, 1, 16)).shape == (2, 3)


def test_flatten_fixes_the_number_of_tokens() -> None:
    with pytest.raises(ConfigError, match=r"built for 5 tokens and got 7: use as many frames .* 'cls' or 'mean'"):
        head(class_token=True)(torch.randn(2, 6, 16))
    with pytest.raises(ConfigError, match="'flatten' needs a fixed number of tokens"):
        head(tokens=None)


@pytest.mark.parametrize("heads", [5, 0, -4])
def test_heads_that_do_not_divide_the_width(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"heads={heads} does not divide the token width 16"):
        head(heads=heads)


def test_unknown_readout() -> None:
    with pytest.raises(ConfigError, match="unknown readout 'max': flatten, cls or mean"):
        head(readout="max")


def test_sizes() -> None:
    net = head(layers=2, feedforward=32, project=8, class_token=True)
    assert len(net.encoder) == 2
    assert net.encoder[0].linear1.out_features == 32
    assert net.classifier.in_features == 8 * 5
    assert head().encoder[0].linear1.out_features == 16


class Means(FeatureNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.head = LinearHead(3, 5, dropout=0.5)

    def forward_features(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean(dim=(2, 3, 4))


def test_feature_network_is_its_head_after_its_features() -> None:
    net, clips = Means().eval(), torch.randn(2, 3, 4, 8, 8)
    assert torch.equal(net(clips), net.forward_head(net.forward_features(clips)))
    assert net(clips).shape == (2, 5)
    assert set(net.state_dict()) == {"head.classifier.weight", "head.classifier.bias"}


def test_feature_network_has_to_say_what_its_features_are() -> None:
    with pytest.raises(TypeError, match="abstract"):
        FeatureNetwork()  # type: ignore[abstract]


def test_layers_cannot_be_negative() -> None:
    with pytest.raises(ConfigError, match="layers=-1 must be 0 or more"):
        head(layers=-1)


def test_masked_weights_neither_count_nor_train() -> None:
    torch.manual_seed(0)
    layer = MaskedLinear(400, 50, keep=0.9)
    assert layer.mask.float().mean().item() == pytest.approx(0.9, abs=0.01)
    inputs = torch.randn(3, 400)
    expected = inputs @ (layer.weight * layer.mask).T + layer.bias
    assert torch.allclose(layer(inputs), expected, atol=1e-6)
    layer(inputs).square().sum().backward()
    assert not layer.weight.grad[~layer.mask].any()
    assert layer.weight.grad[layer.mask].all()
    assert "mask" in layer.state_dict()


@pytest.mark.parametrize("keep", [0, -0.1, 1.01])
def test_share_that_a_mask_keeps(keep: float) -> None:
    assert MaskedLinear(4, 2, keep=1).mask.all()
    with pytest.raises(ConfigError, match=f"keep={keep} must be above 0 and at most 1"):
        MaskedLinear(4, 2, keep=keep)


def test_transformer_classifier_begins_small() -> None:
    layer = transformer_classifier(300, 40)
    assert layer.weight.shape == (40, 300)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not layer.bias.any()


@pytest.mark.parametrize(("value", "nearest"), [(0, 16), (1, 16), (100, 96), (105, 112), (-3, 16)])
def test_nearest_multiple_is_named(value: int, nearest: int) -> None:
    require_multiple("size", 48, 16, "the patch")
    with pytest.raises(ConfigError, match=rf"size={value} is no multiple of the patch: take {nearest}$"):
        require_multiple("size", value, 16, "the patch")


@pytest.mark.parametrize("option", ["project", "feedforward"])
def test_widths_of_nothing_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}=0 must be 1 or more"):
        TokenHead(8, 2, tokens=1, heads=2, **{option: 0})
