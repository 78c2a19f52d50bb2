"""TimeSformer: agreement with transformers, fused attention, frames and sizes, the study's and upstream's recipes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.models.timesformer.modeling_timesformer import TimesformerSelfAttention

import actrec_zoo
from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.testing import meta_network
from actrec_zoo.training.parameters import set_trainable
from actrec_zoo_plugins.timesformer.attention import FusedSelfAttention
from actrec_zoo_plugins.timesformer.model import TimeSformer, build
from tests import upstream

NAMES = ("timesformer", "timesformer_k600", "timesformer_ssv2")
CLASSES = {"timesformer": 400, "timesformer_k600": 600, "timesformer_ssv2": 174}


def test_parameters_and_what_trains() -> None:
    for name, trained in (("timesformer", 19_225), ("timesformer_k600", 19_225), ("timesformer_ssv2", 121_277_977)):
        model = get_registry().find(name)
        net = meta_network(model, 25)
        names = set_trainable(net, model.spec, model.spec.trainable)
        assert sum(p.numel() for n, p in net.named_parameters() if n in names) == trained


@pytest.mark.parametrize("shape", [(6, 197, 768), (196, 8, 768), (3, 1, 768)])
def test_fused_attention_is_upstreams(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    eager = TimesformerSelfAttention(upstream.TimesformerConfig()).eval()
    for parameter in eager.parameters():
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    fused = FusedSelfAttention(copy.deepcopy(eager)).eval()
    assert fused.state_dict().keys() == eager.state_dict().keys()
    tokens = [torch.randn(shape, requires_grad=True)]
    tokens.append(tokens[0].detach().clone().requires_grad_())
    (expected,), (output,) = eager(tokens[0]), fused(tokens[1])
    assert (output - expected).abs().max() <= 1e-5
    seed = torch.randn_like(expected)
    (expected * seed).sum().backward()
    (output * seed).sum().backward()
    assert (tokens[1].grad - tokens[0].grad).abs().max() <= 1e-5
    gradient, reference = fused.qkv.weight.grad, eager.qkv.weight.grad
    assert (gradient - reference).abs().max() <= 1e-5 * reference.abs().max().clamp(min=1)


def test_fused_attention_drops_in_training_alone() -> None:
    config = upstream.TimesformerConfig(attention_probs_dropout_prob=0.5)
    fused = FusedSelfAttention(TimesformerSelfAttention(config))
    tokens = torch.randn(1, 8, 768)
    torch.manual_seed(0)
    assert not torch.equal(fused.train()(tokens)[0], fused(tokens)[0])
    assert torch.equal(fused.eval()(tokens)[0], fused(tokens)[0])
    with pytest.raises(NotImplementedError, match="no scores"):
        fused(tokens, output_attentions=True)


def test_every_attention_is_fused_and_keeps_its_keys() -> None:
    with torch.device("meta"):
        reference = upstream.TimesformerForVideoClassification(upstream.TimesformerConfig(num_labels=25))
        net = build(num_classes=25)
    kinds = [type(module) for module in net.modules()]
    assert kinds.count(FusedSelfAttention) == 2 * 12
    assert TimesformerSelfAttention not in kinds
    assert {k: v.shape for k, v in net.state_dict().items()} == {k: v.shape for k, v in reference.state_dict().items()}


def test_whole_network_is_upstreams() -> None:
    """Also on frames that are not square multiples of what the weights were made for: 16 frames of 64 pixels."""
    for frames, size in ((8, 224), (16, 64)):
        reference = upstream.timesformer(5, num_hidden_layers=2, num_frames=frames, image_size=size)
        net = TimeSformer(copy.deepcopy(reference)).eval()
        clips = torch.randn(2, 3, frames, size, size)
        with torch.inference_mode():
            difference = (net(clips) - reference(clips.transpose(1, 2)).logits).abs().max()
        assert difference <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_upstream_checkpoint(name: str, hub_cache: Path) -> None:
    model = get_registry().find(name)
    labels = upstream.class_names(CLASSES[name])
    reference = upstream.timesformer(len(labels), num_hidden_layers=2)
    upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, labels)
    net = create(model, labels=None, options={"layers": 2}, weights="pretrained").eval()
    assert net.labels == tuple(labels)
    clips = torch.randn(1, 3, 8, 224, 224)
    with torch.inference_mode():
        assert (net(clips) - reference(clips.transpose(1, 2)).logits).abs().max() <= 1e-5


@pytest.mark.parametrize(("frames", "size"), [(16, 112), (4, 224), (2, 320)])
def test_pretrained_positions_are_fitted_as_upstream_does(frames: int, size: int, hub_cache: Path) -> None:
    """transformers' layers interpolate shorter position tables in every forward pass; here it is done once."""
    model = get_registry().find("timesformer")
    reference = upstream.timesformer(400, num_hidden_layers=1)
    upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, upstream.class_names(400))
    input = model.spec.input.with_size(size)  # noqa: A001
    net = build(num_classes=None, pretrained="kinetics400", frames=frames, size=size, layers=1).eval()
    reference.config.num_frames, reference.config.image_size = frames, size
    clips = torch.randn(1, 3, frames, input.size, input.size)
    with torch.inference_mode():
        assert (net(clips) - reference(clips.transpose(1, 2)).logits).abs().max() <= 1e-5


def test_new_classifier_on_upstreams_backbone(hub_cache: Path) -> None:
    model = get_registry().find("timesformer")
    reference = upstream.timesformer(400, num_hidden_layers=1)
    upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, upstream.class_names(400))
    net = create(model, labels=("a", "b"), options={"layers": 1}, weights="pretrained").net
    state = reference.state_dict()
    own = net.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own if not key.startswith("classifier."))
    assert own["classifier.weight"].shape == (2, 768)
    assert 0 < own["classifier.weight"].std() < 0.05
    assert not any(tensor.is_meta for tensor in own.values())


def test_checkpoint_that_does_not_fit_is_refused_with_the_list(hub_cache: Path) -> None:
    model = get_registry().find("timesformer")
    reference = upstream.timesformer(400, num_hidden_layers=2)
    folder = upstream.publish(hub_cache, upstream.weights_of(model.spec), reference, upstream.class_names(400))
    with pytest.raises(WeightsError, match=r"hf:facebook/.* does not fit the model\. 20 unexpected: .*layer\.1\."):
        create(model, labels=("a", "b"), options={"layers": 1}, weights="pretrained")
    state = torch.load(folder / "pytorch_model.bin")
    del state["timesformer.layernorm.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"1 missing: timesformer\.layernorm\.weight"):
        create(model, labels=("a", "b"), options={"layers": 2}, weights="pretrained")


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("timesformer.embeddings.time_embeddings", (1, 7, 768)),
        ("timesformer.embeddings.time_embeddings", (8, 768)),
        ("timesformer.embeddings.position_embeddings", (1, 101, 768)),
        ("timesformer.embeddings.position_embeddings", (197,)),
    ],
)
def test_positions_of_another_shape_are_refused(key: str, shape: tuple[int, ...], hub_cache: Path) -> None:
    reference = upstream.timesformer(400, num_hidden_layers=1)
    weights = upstream.weights_of(actrec_zoo.get_spec("timesformer"))
    folder = upstream.publish(hub_cache, weights, reference, upstream.class_names(400))
    state = torch.load(folder / "pytorch_model.bin") | {key: torch.zeros(shape)}
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=f"1 of another shape: {key}"):
        build(num_classes=2, pretrained="kinetics400", layers=1)


def test_as_many_classes_as_upstream_has_make_a_new_classifier_too(hub_cache: Path) -> None:
    reference = upstream.timesformer(400, num_hidden_layers=1)
    weights = upstream.weights_of(actrec_zoo.get_spec("timesformer"))
    upstream.publish(hub_cache, weights, reference, upstream.class_names(400))
    net = build(num_classes=400, pretrained="kinetics400", layers=1)
    assert not torch.equal(net.classifier.weight, reference.classifier.weight)
    assert not net.classifier.bias.any()


def test_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsError, match="TimeSformer has no weights 'imagenet': kinetics400, kinetics600, ssv2"):
        build(num_classes=2, pretrained="imagenet")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"size": 100}, "size=100 is no multiple of the patch of 16 pixels: take 96"),
        ({"size": 8}, "size=8 is no multiple of the patch of 16 pixels: take 16"),
        ({"layers": 0}, "layers=0 must be 1 or more"),
        ({"num_classes": None}, "give num_classes"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, int], complaint: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=complaint):
        build(**({"num_classes": 3} | options))


def test_recipe_of_the_study() -> None:
    for name, frames in (("timesformer", None), ("timesformer_k600", 16)):
        defaults = actrec_zoo.get_spec(name).defaults
        assert (defaults["epochs"], defaults["batch_size"], defaults["lr"]) == (30, 8, 1e-4)
        assert (defaults["optimizer"], defaults["weight_decay"], defaults["sampling"]) == ("adam", 1e-4, "blocks")
        assert (defaults["stride"], defaults.get("frames")) == (1, frames)


def test_recipe_of_upstream() -> None:
    defaults = actrec_zoo.get_spec("timesformer_ssv2").defaults
    assert defaults["lr"] / defaults["batch_size"] == 0.005 / 64
    assert (defaults["epochs"], defaults["milestones"], defaults["gamma"]) == (15, (11, 14), 0.1)


@pytest.mark.parametrize(
    ("name", "top1", "top5"), [("timesformer", 0.8426, 0.9577), ("timesformer_k600", 0.8017, None)]
)
def test_figures_of_the_study_are_quoted_as_printed(name: str, top1: float, top5: float | None) -> None:
    reference = actrec_zoo.get_spec(name).reference
    assert reference is not None
    assert (reference.top1, reference.top5, reference.dataset) == (top1, top5, "HMDB_simp")


def test_preprocessing_is_that_of_the_weights() -> None:
    for name in NAMES:
        spec = actrec_zoo.get_spec(name).input
        assert (spec.frames, spec.size, spec.resize, spec.interpolation) == (8, 224, 224, "bilinear")
        assert (spec.mean, spec.std) == ((0.45,) * 3, (0.225,) * 3)
        expected = ("uniform", 1) if name == "timesformer_ssv2" else ("blocks", 32)
        assert (spec.sampling, spec.stride) == expected
