"""Whether a network takes its input: told without data and weights, with the setting that is in the way."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from actrec_zoo.config import parse_assignment
from actrec_zoo.errors import ConfigError, PluginError
from actrec_zoo.fitting import check_fit, meta_network
from actrec_zoo.registry import RegisteredModel, get_registry
from tests.distributions import Site, model_code


def check(name: str, frames: int | None = None, size: int | None = None, **options: Any) -> torch.nn.Module:
    model = get_registry().find(name)
    own = model.spec.input
    return check_fit(model, dataclasses.replace(own.with_size(size or own.size), frames=frames or own.frames), options)


@pytest.mark.parametrize("model", get_registry().models, ids=lambda model: model.id)
def test_every_model_fits_itself_without_memory(model: RegisteredModel) -> None:
    net = check_fit(model, model.spec.input, {})
    assert all(parameter.is_meta for parameter in net.parameters())


def test_a_builder_that_reads_values_is_tried_on_the_cpu() -> None:
    net = check("r2d18_attn", frames=2, size=32, backbone="regnet_x_400mf", heads=8)
    assert not any(parameter.is_meta for parameter in net.parameters())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 8}, ("16 frames of 8x8: ", "too small. It works with --size 224, the model's own")),
        ({"heads": 7}, ("heads=7 does not divide", "divisor. It works with --set options.heads=4, the model's own")),
        ({"frames": 3, "size": 8}, ("3 frames of 8x8: ", "It works with --size 224")),
        ({"layers": -1, "dropout": 0.2}, ("layers=-1", "It works with --set options.layers=1,")),
        ({"size": 8, "heads": 7}, ("heads=7", "`actrec-zoo info r2d_attn:squeezenet_attn` shows the model's own")),
        ({"readout": "first"}, ("unknown readout 'first'", "It works with --set 'options.readout=\"flatten\"'")),
        ({"backbone": "r3d_18"}, ("takes clips, not images", "It works with --set 'options.backbone=")),
    ],
    ids=str,
)
def test_the_setting_in_the_way_is_told(settings: Mapping[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        check("squeezenet_attn", **settings)
    for word in words:
        assert word in str(caught.value)


def test_either_setting_may_be_in_the_way() -> None:
    model = get_registry().find("r2d18_attn")
    with pytest.raises(ConfigError, match=r"works with --frames 8 or with no --set options\.frames, the model's own"):
        check_fit(model, dataclasses.replace(model.spec.input, frames=4), {"frames": 8})


@pytest.mark.parametrize("width", [0, -4])
def test_nothing_is_warned_of_twice(width: int, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(ConfigError, match=r"It works with --set options\.width=24"):
        check("tiny_conv3d", width=width)
    assert not recwarn.list


def test_whatever_a_network_raises_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from torch import nn
class Net(nn.Module):
    def forward(self, clips):
        raise KeyError()
build = lambda num_classes, pretrained, width: Net()
"""
    site = Site(tmp_path / "site", monkeypatch)
    plugin = model_code("odd_net").replace("actrec_zoo_plugins.tiny.model", "MODULE.parts")
    site.add("odd", plugin, parts=code)
    site.add("lost", model_code("lost_net").replace("actrec_zoo_plugins.tiny.model", "MODULE.parts"))
    registry = site.registry()
    odd, lost = registry.find("odd_net"), registry.find("lost_net")
    with pytest.raises(ConfigError, match=r"odd:odd_net cannot take 4 frames of 32x32: KeyError\. `actrec-zoo info"):
        check_fit(odd, odd.spec.input, {})
    with pytest.raises(PluginError, match="plugin 'lost' of model 'lost:lost_net' is broken"):
        check_fit(lost, lost.spec.input, {})


def test_a_network_of_shapes_alone() -> None:
    model = get_registry().find("tiny_conv3d")
    net = meta_network(model, num_classes=7, options={"width": 4})
    assert net.get_submodule("head.classifier").weight.shape == (7, 16)
    assert net.get_submodule("head.classifier").weight.is_meta


def test_the_advice_can_be_followed_as_it_is_printed() -> None:
    """Pasted behind the command, the flag leads to a network that fits."""
    model = get_registry().find("r3d_attn_adaptive")
    with pytest.raises(ConfigError) as caught:
        check_fit(model, model.spec.input, {"grid": [1, 2]})
    found = re.search(r"It works with (.*), the model's own", str(caught.value))
    assert found
    flag, assignment = shlex.split(found[1])
    assert flag == "--set"
    key, value = parse_assignment(assignment)
    check_fit(model, model.spec.input, {key.removeprefix("options."): value})


def test_an_option_of_none_is_left_out() -> None:
    model = get_registry().find("r3d_attn8")
    with pytest.raises(ConfigError, match=r"It works with no --set options\.grid, the model's own"):
        check_fit(model, model.spec.input, {"grid": "null"})


@pytest.mark.parametrize("error", ["KeyError('wide')", "AssertionError()", "AttributeError('x')", "OSError('disk')"])
def test_whatever_a_builder_raises_is_one_line(error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
def build(num_classes, pretrained, width):
    raise {error}
"""
    site = Site(tmp_path / "site", monkeypatch)
    plugin = model_code("odd_net").replace("actrec_zoo_plugins.tiny.model", "MODULE.parts")
    site.add("odd", plugin, parts=code)
    odd = site.registry().find("odd_net")
    with pytest.raises(ConfigError, match=r"odd:odd_net cannot be built with \{'width': 24\}: \S+"):
        check_fit(odd, odd.spec.input, {})


def test_frames_and_sizes_are_whole_numbers() -> None:
    model = get_registry().find("timesformer")
    for name in ("frames", "size"):
        with pytest.raises(ConfigError, match=rf"options\.{name} of timesformer must be of type int, not 'abc'"):
            check_fit(model, model.spec.input, {name: "abc"})
