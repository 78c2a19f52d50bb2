"""`actrec-zoo list`: the JSON contract and the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.registry import get_registry
from tests.conftest import Outcome
from tests.distributions import Site, model_code

Invoke = Callable[..., Outcome]


def test_json_has_exactly_the_keys_of_the_contract(invoke: Invoke) -> None:
    outcome = invoke("list", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    rows = json.loads(outcome.out)
    assert [row["id"] for row in rows] == [model.id for model in get_registry().models]
    for row in rows:
        assert list(row) == [
            *("id", "name", "plugin", "architecture", "summary", "parameters", "frames", "size", "trainable"),
            *("pretrained", "reference"),
        ]
        if row["reference"] is not None:
            assert list(row["reference"]) == ["top1", "top5", "dataset", "protocol"]
            assert 0 < row["reference"]["top1"] < 1


def test_json_values(invoke: Invoke) -> None:
    rows = {row["name"]: row for row in json.loads(invoke("list", "--json").out)}
    assert rows["r2d_attn"] == {
        "id": "r2d_attn:r2d_attn",
        "name": "r2d_attn",
        "plugin": "r2d_attn",
        "architecture": "2D ResNet-50 + encoder",
        "summary": actrec_zoo.get_spec("r2d_attn").summary,
        "parameters": 49_157_209,
        "frames": 8,
        "size": 224,
        "trainable": ["@head", "@stem"],
        "pretrained": ["imagenet"],
        "reference": {
            "top1": 0.7442,
            "top5": 0.923,
            "dataset": "HMDB_simp",
            "protocol": "8-frame blocks of the test split, clip-level",
        },
    }
    assert rows["r2d18_attn"]["reference"]["top5"] is None
    assert rows["tiny_conv3d"]["reference"] is None
    assert rows["tiny_conv3d"]["pretrained"] == []


def test_pattern(invoke: Invoke) -> None:
    rows = json.loads(invoke("list", "r2plus1d*", "--json").out)
    assert [row["name"] for row in rows] == ["r2plus1d", "r2plus1d_attn8"]


def test_pattern_that_matches_nothing(invoke: Invoke) -> None:
    assert invoke("list", "nothing*") == (0, "no model matches 'nothing*'\n", "")
    assert json.loads(invoke("list", "nothing*", "--json").out) == []


def test_table_has_a_line_a_model(invoke: Invoke) -> None:
    out = invoke("list").out
    for model in get_registry().models:
        (line,) = (text for text in out.splitlines() if text.split()[:1] == [model.spec.name])
        assert model.spec.architecture in line
        assert f"{model.spec.input.frames} x {model.spec.input.size}" in line
    assert "77.36 (HMDB_simp)" in out


def test_third_party_models_are_listed_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("extra", model_code("tiny_conv3d").replace("Tiny 3D CNN", "Net [/red] of [link]"))
    with site.installed():
        out = invoke("list").out
    assert "extra:tiny_conv3d" in out
    assert "Net [/red] of [link]" in out
