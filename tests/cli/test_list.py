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
    assert [row["name"] for row in rows] == ["r2plus1d", "r2plus1d_attn8", "r2plus1d_r50"]


def test_pattern_that_matches_nothing(invoke: Invoke) -> None:
    assert invoke("list", "nothing*") == (0, "no model matches 'nothing*'\n", "")
    assert json.loads(invoke("list", "nothing*", "--json").out) == []


def names(outcome: Outcome) -> list[str]:
    """The names in the JSON list."""
    assert outcome.code == 0, outcome.err
    return [row["name"] for row in json.loads(outcome.out)]


def table(out: str) -> dict[str, list[str]]:
    """Heading of each group and the names below it."""
    groups: dict[str, list[str]] = {}
    for paragraph in out.split("\n\n")[1:-1]:
        heading, *lines = paragraph.splitlines()
        groups[heading] = [line.split()[0] for line in lines]
        assert all(line.startswith("  ") for line in lines)
    return groups


def test_models_are_grouped_by_architecture(invoke: Invoke) -> None:
    out = invoke("list").out
    expected: dict[str, list[str]] = {}
    for model in get_registry().models:
        expected.setdefault(model.spec.architecture, []).append(model.spec.name)
    assert table(out) == expected
    assert list(table(out)) == list(expected)
    (line,) = (text for text in out.splitlines() if "r3d_attn_adaptive" in text)
    assert line.split() == ["r3d_attn_adaptive", "36.37", "M", "8", "x", "112", "kinetics400", "77.36", "(HMDB_simp)"]


def test_models_of_one_architecture_stand_together_whatever_their_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("extra", model_code("extra_net"))
    with site.installed():
        assert table(invoke("list").out)["Tiny 3D CNN"] == ["tiny_conv3d", "extra:extra_net"]


def test_the_example_of_the_documentation(invoke: Invoke) -> None:
    outcome = invoke("list", "r3d*", "--max-params", "36.35M", "--pretrained", "--json")
    assert names(outcome) == ["r3d", "r3d_stem", "r3d_attn8", "r3d_attn16"]
    outcome = invoke("list", "r3d*", "--max-params", "36.35M", "--pretrained")
    assert list(table(outcome.out)) == ["R3D-18"]


@pytest.mark.parametrize(
    ("least", "most"), [("94753", "94753"), ("94.7k", "0.1M"), ("0", "0.0001g"), ("94753", "100K")]
)
def test_numbers_of_parameters(invoke: Invoke, least: str, most: str) -> None:
    outcome = invoke("list", "tiny_conv3d", "--min-params", least, "--max-params", most, "--json")
    assert names(outcome) == ["tiny_conv3d"]


def test_bounds_belong_to_the_range(invoke: Invoke) -> None:
    assert "tiny_conv3d" not in names(invoke("list", "--min-params", "94754", "--json"))
    assert "tiny_conv3d" not in names(invoke("list", "--max-params", "94752", "--json"))


@pytest.mark.parametrize("option", ["--max-params", "--min-params"])
@pytest.mark.parametrize("text", ["4x", "", "-5", "1e6", "M", "1.M", "nan", "40 M"])
def test_what_is_no_number_of_parameters_is_refused(invoke: Invoke, option: str, text: str) -> None:
    outcome = invoke("list", option, text)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"'{option}'" in outcome.err and "write it like 94753, 500k, 40M or 1.5G" in outcome.err


def test_pretrained(invoke: Invoke) -> None:
    having = names(invoke("list", "--pretrained", "--json"))
    assert having == [m.spec.name for m in get_registry().models if m.spec.weights]
    assert "tiny_conv3d" not in having and "r3d" in having


def test_architecture_and_plugin(invoke: Invoke) -> None:
    assert names(invoke("list", "--architecture", "*resnet-18*", "--json")) == ["r2d18_attn"]
    assert names(invoke("list", "--plugin", "tiny", "--json")) == ["tiny_conv3d"]
    outcome = invoke("list", "--plugin", "tinny")
    assert outcome.code == 2 and "there is no plugin 'tinny'. Did you mean tiny?" in outcome.err


def test_filters_that_nothing_passes(invoke: Invoke) -> None:
    assert invoke("list", "tiny*", "--pretrained").out == "no model matches 'tiny*' and passes all the filters\n"
    assert invoke("list", "--min-params", "900G").out == "no model passes all the filters\n"
    assert json.loads(invoke("list", "--min-params", "900G", "--json").out) == []


def test_third_party_models_are_listed_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("extra", model_code("tiny_conv3d").replace("Tiny 3D CNN", "Net [/red] of [link]"))
    with site.installed():
        out = invoke("list").out
    assert "extra:tiny_conv3d" in out
    assert "Net [/red] of [link]" in out


def test_a_limit_of_none_is_a_filter_too(invoke: Invoke) -> None:
    assert invoke("list", "--max-params", "0").out == "no model passes all the filters\n"
