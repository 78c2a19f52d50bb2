"""What trains."""

import dataclasses

import pytest
import torch

import actrec_zoo
from actrec_zoo.config import Layer, TrainConfig, resolve
from actrec_zoo.errors import ConfigError
from actrec_zoo.fitting import meta_network
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.training.parameters import only_head_trains, parameter_groups, set_trainable, set_training_mode

TINY = get_registry().find("tiny_conv3d")


def tiny() -> torch.nn.Module:
    return create(TINY, labels=["a", "b"], options={"width": 4}).net


def test_a_group_and_a_pattern_choose_parameters() -> None:
    net = tiny()
    assert set_trainable(net, TINY.spec, ["@classifier"]) == ["head.classifier.weight", "head.classifier.bias"]
    assert only_head_trains(net, TINY.spec)
    chosen = set_trainable(net, TINY.spec, ["@head", "backbone.0.0.*"])
    assert chosen == ["backbone.0.0.weight", "head.classifier.weight", "head.classifier.bias"]
    assert not only_head_trains(net, TINY.spec)


@pytest.mark.parametrize(
    ("pattern", "message"), [("@haed", "Did you mean @head"), ("nothing.*", "matches no parameter")]
)
def test_what_matches_nothing_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        set_trainable(tiny(), TINY.spec, [pattern])


def config(**settings: object) -> TrainConfig:
    return TrainConfig(model="m", data="d", **settings)  # type: ignore[arg-type]


def test_learning_rate_factors_by_group() -> None:
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    groups = {g.lr_factor: g.parameters for g in parameter_groups(net, TINY.spec, config(lr_factors={"backbone": 0.1}))}
    assert len(groups[1.0]) == 2
    assert len(groups[0.1]) == len(list(net.parameters())) - 2
    with pytest.raises(ConfigError, match="no parameter group '@stme'"):
        parameter_groups(net, TINY.spec, config(lr_factors={"stme": 0.1}))


@pytest.mark.parametrize("group", ["blok", "@blok"])
def test_a_recipe_that_names_no_group_is_a_clear_error(group: str) -> None:
    """A default of a plugin's model, which may be written with or without @."""
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    spec = dataclasses.replace(TINY.spec, defaults={"lr_factors": {group: 0.5}})
    with pytest.raises(ConfigError, match="no parameter group '@blok'"):
        parameter_groups(net, spec, config(lr_factors={group: 0.5}))


@pytest.mark.parametrize("group", ["later", "@later"])
def test_a_recipe_may_name_a_layer_that_options_leave_out(group: str) -> None:
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    changes = {"groups": {"later": ("layer9.*",)}, "defaults": {"lr_factors": {group: 0.5}}}
    spec = dataclasses.replace(TINY.spec, **changes)
    assert [g.lr_factor for g in parameter_groups(net, spec, config(lr_factors={group: 0.5}))] == [1.0]


def factors(name: str, settings: TrainConfig, options: dict[str, object] | None = None) -> dict[str, float]:
    """Factor on the learning rate of each parameter of a model."""
    model = get_registry().find(name)
    net = meta_network(model, options=options)
    of = {id(p): group.lr_factor for group in parameter_groups(net, model.spec, settings) for p in group.parameters}
    return {name: of[id(parameter)] for name, parameter in net.named_parameters()}


DEPTHS: dict[str, dict[str, int]] = {
    "tiny_conv3d": {"backbone.0.0.weight": 3, "backbone.1.3.weight": 2, "backbone.2.4.bias": 1},
    "r3d": {"backbone.stem.0.weight": 10, "backbone.layer1.0.conv1.0.weight": 9, "backbone.fc.weight": 1},
    "r3d_attn_adaptive": {"backbone.stem.1.bias": 9, "backbone.layer3.1.conv2.0.weight": 3, "head.classifier.bias": 0},
    "r2plus1d": {"backbone.stem.3.weight": 10, "backbone.layer4.0.downsample.0.weight": 3},
    "r2d_attn": {"backbone.bn1.weight": 17, "backbone.layer1.2.conv1.weight": 14, "backbone.layer4.2.conv3.weight": 1},
    "r2d18_attn": {"backbone.conv1.weight": 9, "backbone.layer4.1.bn2.bias": 1, "head.class_token": 0},
    "squeezenet_attn": {"backbone.features.0.weight": 9, "backbone.features.12.squeeze.weight": 1},
    "mobilenet_attn": {"backbone.features.0.0.weight": 19, "backbone.features.10.conv.0.0.weight": 9},
    "timesformer": {
        "timesformer.embeddings.cls_token": 14,
        "timesformer.encoder.layer.0.attention.attention.qkv.weight": 13,
        "timesformer.encoder.layer.11.output.dense.bias": 2,
        "timesformer.layernorm.weight": 1,
        "classifier.weight": 0,
    },
    "videomae": {
        "videomae.embeddings.patch_embeddings.projection.weight": 13,
        "videomae.encoder.layer.0.layernorm_before.weight": 12,
        "videomae.encoder.layer.10.output.dense.weight": 2,
        "fc_norm.weight": 0,
        "classifier.bias": 0,
    },
    "vivit": {"vivit.embeddings.cls_token": 14, "vivit.layers.11.mlp.fc1.weight": 2, "vivit.layernorm.bias": 1},
    "vjepa2": {
        "vjepa2.encoder.embeddings.patch_embeddings.proj.weight": 26,
        "vjepa2.encoder.layer.23.norm1.weight": 2,
        "pooler.query_tokens": 0,
        "classifier.weight": 0,
    },
    "x3d_s": {"backbone.blocks.0.conv.conv_t.weight": 6, "backbone.blocks.5.pool.post_conv.weight": 1},
    "slowfast_r50": {"backbone.blocks.0.multipathway_fusion.conv_fast_to_slow.weight": 5, "head.classifier.weight": 0},
    "mvit_base_16x4": {"backbone.cls_positional_encoding.cls_token": 18, "backbone.norm_embed.weight": 1},
    "videomae_hybrid": {"timesformer.embeddings.cls_token": 14, "stem.0.weight": 0, "head.norm.weight": 0},
}
"""Steps from the head, by model and parameter."""


@pytest.mark.parametrize("name", DEPTHS)
def test_the_rate_falls_from_the_head_to_the_input(name: str) -> None:
    found = factors(name, config(layer_decay=0.5))
    for parameter, depth in DEPTHS[name].items():
        assert found[parameter] == 0.5**depth, parameter
    assert set(factors(name, config()).values()) == {1.0}


def test_layers_follow_the_options() -> None:
    shallow = factors("videomae", config(layer_decay=0.5), {"layers": 2})
    assert shallow["videomae.embeddings.patch_embeddings.projection.weight"] == 0.5**3
    other = factors("r2d_attn", config(layer_decay=0.5), {"backbone": "resnet18"})
    assert other["backbone.conv1.weight"] == 0.5**9
    with pytest.raises(ConfigError, match=r"layer_decay: the layers that r2d_attn states leave out backbone\."):
        factors("r2d_attn", config(layer_decay=0.5), {"backbone": "densenet121"})


def test_layer_decay_and_factors_by_group_are_multiplied() -> None:
    found = factors("tiny_conv3d", config(layer_decay=0.5, lr_factors={"backbone": 0.1, "head": 3.0}))
    assert found["backbone.0.0.weight"] == pytest.approx(0.1 * 0.5**3)
    assert found["head.classifier.weight"] == 3.0


def test_layer_decay_of_a_model_that_states_no_layers_is_a_clear_error() -> None:
    spec = dataclasses.replace(TINY.spec, layers=())
    with pytest.raises(ConfigError, match=r"layer_decay: tiny_conv3d states no layers\. lr_factors gives"):
        parameter_groups(tiny(), spec, config(layer_decay=0.5))


def test_videomaes_rates_are_those_of_upstreams_recipe() -> None:
    """0.75 to the power of 13 - depth, where embeddings have depth 0, and the head the full rate."""
    spec = actrec_zoo.get_spec("videomae")
    settings = resolve(spec, [Layer("flag", {"model": "videomae", "data": "d"})]).config
    found = factors("videomae", settings)
    assert found["videomae.embeddings.patch_embeddings.projection.bias"] == pytest.approx(0.75**13)
    for block in range(12):
        assert found[f"videomae.encoder.layer.{block}.output.dense.weight"] == pytest.approx(0.75 ** (12 - block))
    assert settings.no_decay


def spared(name: str) -> set[str]:
    """Parameters without weight decay under `no_decay`."""
    model = get_registry().find(name)
    net = meta_network(model)
    groups = parameter_groups(net, model.spec, config(no_decay=True))
    without = {id(p) for group in groups if not group.decays for p in group.parameters}
    assert all(group.decays for group in parameter_groups(net, model.spec, config()))
    return {name for name, p in net.named_parameters() if id(p) in without}


def test_biases_norms_and_what_the_model_names_are_spared_weight_decay() -> None:
    assert spared("tiny_conv3d") == {
        *(f"backbone.{stage}.{norm}.{name}" for stage in range(3) for norm in (1, 4) for name in ("weight", "bias")),
        "head.classifier.bias",
    }
    of_timesformer = spared("timesformer")
    named = {f"timesformer.embeddings.{name}" for name in ("cls_token", "position_embeddings", "time_embeddings")}
    assert named < of_timesformer
    assert "timesformer.embeddings.patch_embeddings.projection.weight" not in of_timesformer
    assert "head.class_token" in spared("r2d_attn")


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    net = tiny()
    set_trainable(net, TINY.spec, ["@head"])
    set_training_mode(net)
    assert not any(module.training for module in net.get_submodule("backbone").modules())
    assert all(module.training for module in net.get_submodule("head").modules())
    assert net.get_submodule("head.dropout").training


def test_a_partly_trained_part_keeps_its_frozen_layers_and_dropout_in_evaluation_mode() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout())
    net[1].requires_grad_(False)
    set_training_mode(net)
    assert [module.training for module in net] == [True, False, False]
