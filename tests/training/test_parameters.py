"""What trains."""

import dataclasses

import pytest
import torch

from actrec_zoo.errors import ConfigError
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


def test_learning_rate_factors_by_group() -> None:
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    groups = dict(parameter_groups(net, TINY.spec, {"backbone": 0.1}))
    assert len(groups[1.0]) == 2
    assert len(groups[0.1]) == len(list(net.parameters())) - 2
    with pytest.raises(ConfigError, match="no parameter group '@stme'"):
        parameter_groups(net, TINY.spec, {"stme": 0.1})


@pytest.mark.parametrize("group", ["blok", "@blok"])
def test_a_recipe_that_names_no_group_is_a_clear_error(group: str) -> None:
    """A default of a plugin's model, which may be written with or without @."""
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    spec = dataclasses.replace(TINY.spec, defaults={"lr_factors": {group: 0.5}})
    with pytest.raises(ConfigError, match="no parameter group '@blok'"):
        parameter_groups(net, spec, {group: 0.5})


@pytest.mark.parametrize("group", ["later", "@later"])
def test_a_recipe_may_name_a_layer_that_options_leave_out(group: str) -> None:
    net = tiny()
    set_trainable(net, TINY.spec, ["*"])
    changes = {"groups": {"later": ("layer9.*",)}, "defaults": {"lr_factors": {group: 0.5}}}
    spec = dataclasses.replace(TINY.spec, **changes)
    assert [factor for factor, _ in parameter_groups(net, spec, {group: 0.5})] == [1.0]


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
