"""`actrec-zoo info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from actrec_zoo.registry import get_registry
from tests.conftest import Outcome
from tests.distributions import Site, model_code

Invoke = Callable[..., Outcome]


@pytest.mark.parametrize("name", [model.id for model in get_registry().models])
def test_every_model_has_its_sections(invoke: Invoke, name: str) -> None:
    code, out, err = invoke("info", name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: ")
    for heading in ("Model", "Input", "Options", "Parameter groups", "Training defaults", "Pretrained weights"):
        assert f"\n{heading}" in out


def test_facts_of_a_model(invoke: Invoke) -> None:
    out = invoke("info", "r3d_attn_adaptive").out
    assert "parameters: 36,373,465 with 25 classes" in out
    assert "grid = (1, 2, 2)" in out
    assert "@stem: backbone.stem.0.*" in out
    assert "https://download.pytorch.org/models/r3d_18-b3b3357e.pth" in out
    assert "top-1 77.36 %, top-5 95.67 % on HMDB_simp" in out
    assert "not measured by this zoo" in out


def test_model_without_weights_or_reference(invoke: Invoke) -> None:
    out = invoke("info", "tiny_conv3d").out
    assert "none: training starts from random weights" in out
    assert "Published result\n  none" in out


@pytest.mark.parametrize("name", [model.id for model in get_registry().models])
def test_json(invoke: Invoke, name: str) -> None:
    values = json.loads(invoke("info", name, "--json").out)
    spec = get_registry().find(name).spec
    assert (values["id"], values["name"], values["parameters"]) == (name, spec.name, spec.parameters)
    assert values["input"]["frames"] == spec.input.frames
    assert set(values["options"]) == set(spec.options)
    assert list(values["weights"]) == list(spec.weights)


def test_unknown_model_is_one_line_and_exit_code_2(invoke: Invoke) -> None:
    code, out, err = invoke("info", "r3d_atn8")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: there is no model 'r3d_atn8'. Did you mean ")


def test_aliases_and_options_that_json_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("extra", model_code("net", aliases=("web",)).replace('"width": 24', '"width": {1, 2}'))
    with site.installed():
        assert "aliases: web" in invoke("info", "web").out
        code, out, _ = invoke("info", "web", "--json")
    assert code == 0
    assert json.loads(out)["options"] == {"width": "{1, 2}"}


def test_upstreams_weights_tell_their_classes_and_figure(invoke: Invoke) -> None:
    out = invoke("info", "videomae_ssv2").out
    assert "ssv2: hf:MCG-NJU/videomae-base-finetuned-ssv2@873e7dfcd91479c8e10d75f7e402573dbdb6f98e, trained on" in out
    assert "with upstream's classifier of 174 classes" in out
    assert "top-1 70.80 %, top-5 92.40 % on Something-Something v2 (16 frames spread over the video" in out
    assert "upstream's classifier" not in invoke("info", "r3d_attn8").out
