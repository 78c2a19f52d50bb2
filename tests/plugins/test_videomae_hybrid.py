"""The study's hybrid: each part takes part in the output and gets gradients, and the mask holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import actrec_zoo
from actrec_zoo.errors import ConfigError
from actrec_zoo.hub.packing import write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.testing import meta_network, randomise
from actrec_zoo.training.parameters import set_trainable, set_training_mode
from actrec_zoo_plugins.videomae.hybrid import HybridTimeSformer, build
from tests import upstream

SMALL: dict[str, Any] = {"frames": 4, "size": 32, "layers": 1}
PARTS = {
    "convolutional stem": "stem.0",
    "batch norm": "stem.1",
    "TimeSformer": "timesformer.encoder.layer.0.temporal_attention.attention.qkv",
    "layer norm": "head.norm",
    "masked linear layer": "head.classifier",
}


def small(**options: Any) -> HybridTimeSformer:
    torch.manual_seed(0)
    net = build(num_classes=3, **(SMALL | options))
    randomise(net)
    return net.eval()


def clips(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 4, 32, 32)


def test_parameters_and_what_trains() -> None:
    model = get_registry().find("videomae_hybrid")
    net = meta_network(model, 25)
    names = set_trainable(net, model.spec, model.spec.trainable)
    assert {name.partition(".")[0] for name in names} == {"stem", "head"}
    stem, norm, classifier = 64 * 3 * 9 + 64 + 2 * 64, 2 * (64 + 768), 25 * (64 + 768) + 25
    assert sum(p.numel() for n, p in net.named_parameters() if n in names) == stem + norm + classifier


@pytest.mark.parametrize("part", PARTS)
def test_part_takes_part_in_the_output(part: str) -> None:
    net, inputs = small(), clips()
    with torch.inference_mode():
        before = net(inputs)
        net.get_submodule(PARTS[part]).weight.mul_(1.5)
        assert (net(inputs) - before).abs().max() > 1e-4


@pytest.mark.parametrize("part", PARTS)
def test_part_gets_gradients(part: str) -> None:
    net = small().train()
    net(clips()).logsumexp(1).sum().backward()
    assert net.get_submodule(PARTS[part]).weight.grad.abs().sum() > 0


def test_features_are_combined_side_by_side() -> None:
    net, inputs = small(), clips()
    with torch.inference_mode():
        features = net.forward_features(inputs)
        assert features.shape == (2, 64 + 768)
        assert torch.equal(features[:, :64], net.stem(inputs))
        tokens = net.timesformer(inputs.transpose(1, 2)).last_hidden_state
        assert torch.equal(features[:, 64:], tokens[:, 0])


def test_stem_is_convolution_norm_rectifier_and_pooling_over_time_and_space() -> None:
    """Written out: the largest of each block of two frames and 2x2 pixels, then the mean."""
    net, inputs = small(), clips()
    convolution, norm = net.stem[0], net.stem[1]
    assert (convolution.kernel_size, convolution.out_channels) == ((1, 3, 3), 64)
    with torch.inference_mode():
        rectified = norm(convolution(inputs)).clamp(min=0)
        blocks = rectified.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
        expected = blocks.amax(dim=(3, 5, 7)).mean(dim=(2, 3, 4))
        assert torch.allclose(net.stem(inputs), expected, atol=1e-5)


def test_dropout_works_in_training_alone() -> None:
    net, features = small(), torch.randn(2, 832)
    assert net.head.dropout.p == 0.5
    assert not torch.equal(net.train().head(features), net.head(features))
    assert torch.equal(net.eval().head(features), net.head(features))


def test_new_parts_begin_as_xavier() -> None:
    torch.manual_seed(0)
    net = build(num_classes=25, **SMALL)
    for layer in (net.stem[0], net.head.classifier):
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        bound = (6 / (fan_in + fan_out)) ** 0.5
        assert 0.97 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert not layer.bias.any()


def test_mask_holds_through_training_and_travels_with_the_weights(tmp_path: Path) -> None:
    model = get_registry().find("videomae_hybrid")
    preprocessing = model.spec.input.with_size(32)
    classifier = create(model, labels=("a", "b", "c"), input=preprocessing, options={"layers": 1, "keep": 0.5})
    layer = classifier.net.head.classifier
    mask, before = layer.mask.clone(), layer.weight.detach().clone()
    assert 0.4 < mask.float().mean() < 0.6
    set_trainable(classifier.net, model.spec, model.spec.trainable)
    set_training_mode(classifier)
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        classifier(torch.randn(2, 3, 8, 32, 32)).logsumexp(1).sum().backward()
        assert not layer.weight.grad[~mask].any()
        optimizer.step()
    assert torch.equal(layer.mask, mask)
    assert torch.equal(layer.weight[~mask], before[~mask])
    assert not torch.equal(layer.weight[mask], before[mask])
    write_weights(tmp_path / "w.safetensors", classifier.net.state_dict())
    state = safetensors.torch.load_file(tmp_path / "w.safetensors")
    torch.manual_seed(99)
    other = create(model, labels=("a", "b", "c"), input=preprocessing, options={"layers": 1, "keep": 0.5})
    assert not torch.equal(other.net.head.classifier.mask, mask)
    other.net.load_state_dict(state)
    features = torch.randn(2, 832)
    with torch.inference_mode():
        layer.weight[~mask] = 1e6  # no masked weight reaches the output
        expected = classifier.net.eval().head(features)
        assert torch.allclose(other.net.eval().head(features), expected, atol=1e-5)


def test_pretrained_timesformer_has_no_classifier_left(hub_cache: Path) -> None:
    spec = actrec_zoo.get_spec("videomae_hybrid")
    reference = upstream.timesformer(400, num_hidden_layers=1)
    upstream.publish(hub_cache, upstream.weights_of(spec), reference, upstream.class_names(400))
    net = build(num_classes=3, pretrained="kinetics400", layers=1).eval()
    inputs = torch.randn(1, 3, 8, 224, 224)
    with torch.inference_mode():
        expected = reference.timesformer(inputs.transpose(1, 2)).last_hidden_state[:, 0]
        assert (net.forward_features(inputs)[:, 64:] - expected).abs().max() <= 1e-5
    assert not any("timesformer.classifier" in name for name in net.state_dict())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"frames": 1}, "frames=1 is too few for the temporal pooling"),
        ({"size": 100}, "size=100 is no multiple of the patch of 16 pixels"),
        ({"stem_width": 0}, "stem_width=0 must be 1 or more"),
        ({"keep": 0.0}, "keep=0.0 must be above 0 and at most 1"),
        ({"keep": 1.5}, "keep=1.5 must be above 0 and at most 1"),
        ({"dropout": 2.0}, "dropout"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        create(get_registry().find("videomae_hybrid"), labels=("a",), options={"layers": 1} | options)


def test_recipe_of_the_study() -> None:
    defaults = actrec_zoo.get_spec("videomae_hybrid").defaults
    assert (defaults["epochs"], defaults["batch_size"], defaults["lr"]) == (30, 8, 1e-4)
    assert defaults["augment"] == ("resize", "random_crop", "horizontal_flip", "rotation")
