"""Cards of models."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import yaml

from actrec_zoo.cost import Cost
from actrec_zoo.hub.markdown import front_matter, percent, plain, table, written
from actrec_zoo.hub.model_card import code_license, giga, render_model_card, render_model_table, usual_name
from actrec_zoo.hub.prose import SECTIONS, read_prose
from actrec_zoo.plugin_manager import Plugin
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import as_published

COST = Cost(parameters=1_000_000, trained=250, flops=2_500_000_000)
MODELS = get_registry().models


def card_of(model: RegisteredModel) -> str:
    return render_model_card(model, read_prose(model.spec), COST)


def head_of(card: str) -> dict[str, Any]:
    """The YAML head, which the Hub reads."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.S)
    assert found
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values


def section(card: str, heading: str) -> str:
    found = re.search(rf"^## {heading}$\n(.*?)(?=^## |\Z)", card, re.M | re.S)
    assert found, heading
    return found[1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_card_has_its_sections_and_no_measured_result(model: RegisteredModel) -> None:
    card = card_of(model)
    headings = re.findall(r"^## (.*)$", card, re.M)
    assert headings == [
        *("Architecture", "Origin", "Intended use", "Limits", "Input", "Options", "Parameters and compute"),
        *("Training recipe", "Pretrained weights", "Published figure", "Use", "Licence", "Citation"),
    ]
    prose = read_prose(model.spec)
    assert all(section(card, heading).strip() == prose[heading] for heading in SECTIONS)
    assert "model-index" not in head_of(card)
    assert all(f"- {note}\n" in card for note in model.spec.notes)
    assert not any(line != line.rstrip() for line in card.splitlines())


def test_the_head_is_what_the_hub_reads() -> None:
    find = get_registry().find
    assert head_of(card_of(find("tiny_conv3d"))) == {
        "library_name": "actrec-zoo",
        "pipeline_tag": "video-classification",
        "license": "apache-2.0",
        "tags": ["action-recognition", "tiny"],
    }
    torchvision = head_of(card_of(find("r3d")))
    assert torchvision["license"] == "other"
    assert torchvision["license_name"] == "not-stated-by-torchvision-its-code-bsd-3-clause"
    upstream = head_of(card_of(find("timesformer")))
    assert upstream["license"] == "cc-by-nc-4.0"
    assert upstream["base_model"] == ["facebook/timesformer-base-finetuned-k400"]


def test_preprocessing_is_there_in_full() -> None:
    text = section(card_of(get_registry().find("r3d")), "Input")
    for fact in ("8 RGB frames of 112x112", "`blocks`", "to 128x171", "bilinear", "0.43216, 0.394666", "0.22803"):
        assert fact in text
    uniform = section(card_of(get_registry().find("squeezenet_attn")), "Input")
    assert "`uniform`: 16 frames spread over the video, 2 times, each shifted" in uniform


def test_counts_and_their_convention() -> None:
    text = section(card_of(get_registry().find("r3d")), "Parameters and compute")
    for fact in ("| 1,000,000 |", "| 250 (0.025 %) |", "| GFLOPs a clip | 2.500 |", "| GMACs a clip | 1.250 |"):
        assert fact in text
    assert "A multiply-add is two" in text
    assert [giga(n) for n in (53_383_872, 391_659_984_384, 10**9, 1.2345e12)] == ["0.05338", "391.7", "1.000", "1234"]


def test_the_recipe_is_what_a_run_without_flags_trains_with() -> None:
    text = section(card_of(get_registry().find("r3d_stem")), "Training recipe")
    assert "`@head`, `@stem`, 250 of 1,000,000 parameters" in text
    for row in ("| `lr` | 3e-06 | this model |", "| `schedule` | constant | every model |"):
        assert row in text
    assert not any(f"`{key}`" in text for key in ("momentum", "milestones", "gamma", "data", "workers", "seed"))
    assert not any(f"`{key}`" in text for key in ("mixup", "balance", "betas", "layer_decay", "nesterov", "min_lr"))
    ssv2 = section(card_of(get_registry().find("timesformer_ssv2")), "Training recipe")
    assert "| `momentum` | 0.9 | this model |" in ssv2 and "| `milestones` | 11, 14 | this model |" in ssv2
    videomae = section(card_of(get_registry().find("videomae")), "Training recipe")
    assert "| `layer_decay` | 0.75 | this model |" in videomae and "| `no_decay` | true | this model |" in videomae


def test_weights_are_pinned_and_their_figure_is_upstreams() -> None:
    model = get_registry().find("videomae")
    reference = model.spec.weights["kinetics400"]
    text = section(card_of(model), "Pretrained weights")
    for fact in (reference.source.partition("@")[2], reference.url, "upstream's 400 classes", "CC-BY-NC-4.0"):
        assert fact in text
    assert "| upstream's figure | top-1 81.50 %, top-5 95.10 % on Kinetics-400 (16 frames" in text
    without = section(card_of(get_registry().find("tiny_conv3d")), "Pretrained weights")
    assert without.strip() == "None: training starts from random weights."


def test_published_figures_are_quoted_as_such() -> None:
    text = section(card_of(get_registry().find("r3d_attn_adaptive")), "Published figure")
    assert "top-1 77.36 %, top-5 95.67 % on HMDB_simp (8-frame blocks" in text
    assert "as published by the 2023 study. Quoted, not measured with this code." in text
    assert "top-5" not in section(card_of(get_registry().find("r2d18_attn")), "Published figure")
    assert section(card_of(get_registry().find("tiny_conv3d")), "Published figure").strip().startswith("None")


def test_a_model_of_a_third_party() -> None:
    plugin = Plugin(name="extra", distribution="no-such-distribution", version="1", first_party=False)
    model = RegisteredModel(plugin, dataclasses.replace(get_registry().find("tiny_conv3d").spec, options={}))
    card = card_of(model)
    assert usual_name(model) == "extra:tiny_conv3d"
    assert code_license("no-such-distribution") is None and "license" not in head_of(card)
    assert "Code: see the distribution (`no-such-distribution`)" in card
    assert "$ pip install no-such-distribution\n$ actrec-zoo train extra:tiny_conv3d --data" in card
    assert section(card, "Options").strip() == "The architecture has none."
    assert code_license("actrec-zoo") == "Apache-2.0"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        ("Apache-2.0 OR MIT", {"license": "other", "license_name": "apache-2.0-or-mit"}),
        ("GPL-3.0-or-later", {"license": "other", "license_name": "gpl-3.0-or-later"}),
        ("unknown", {"license": "unknown"}),
        ("", {}),
        (None, {}),
    ],
)
def test_licences_have_the_names_of_the_hub(licence: str | None, expected: dict[str, str]) -> None:
    head = head_of(front_matter("name", license=licence, tags=[], bases=[]))
    assert {key: value for key, value in head.items() if key.startswith("license")} == expected


def test_published_figures_keep_their_digits_and_measured_ones_have_two() -> None:
    assert [as_published(ratio) for ratio in (0.86175, 0.83479, 0.779, 0.89, 1.0)] == [
        *("86.175", "83.479", "77.90", "89.00", "100.00"),
    ]
    assert [percent(ratio) for ratio in (0.86175, 0.861749, 1 / 3, 0.0, 1)] == [
        *("86.18", "86.17", "33.33", "0.00", "100.00"),
    ]
    assert "top-1 67.463 %, top-5 86.175 % on Kinetics-400" in card_of(get_registry().find("r2plus1d"))


def test_an_option_without_a_value_is_the_architectures_affair() -> None:
    options = section(card_of(get_registry().find("videomae")), "Options")
    assert (
        "| `heads` | not set: the architecture decides |" in options and "| `frames` | that of the input |" in options
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\n---\nlines", "two --- lines"),
        ("<script>&lt;", "&lt;script>\\&lt;"),
        ("- [a](b) *c* _d_ e_f g~h", r"\- \[a\](b) \*c\* \_d\_ e_f g\~h"),
        ("`--set <x>` and `", r"`--set <x>` and \`"),
        ("a|b", "a|b"),
    ],
)
def test_words_of_others(text: str, expected: str) -> None:
    assert plain(text) == expected
    assert table(("c",), [(plain("a|b"),)]).endswith("| a\\|b |")


def test_notes_and_summaries_of_plugins_stay_one_line_each() -> None:
    model = get_registry().find("tiny_conv3d")
    notes = ("one\n\n## Limits\n\n<b>two", "---")
    spec = dataclasses.replace(model.spec, notes=notes, summary="a\n# b", architecture="<i>")
    card = card_of(RegisteredModel(model.plugin, spec))
    assert "\n\na # b (&lt;i>).\n\n- one ## Limits &lt;b>two\n- \\---\n\n## Architecture\n" in card


def test_table_of_models() -> None:
    lines = render_model_table([(get_registry().find(name), COST) for name in ("r3d", "tiny_conv3d")]).splitlines()
    assert lines[2:] == [
        "| `r3d` | R3D-18 | 1,000,000 | 2.500 | 8 x 112 | `@head` | `kinetics400` | 65.79 | 89.00 |",
        "| `tiny_conv3d` | Tiny 3D CNN | 1,000,000 | 2.500 | 8 x 64 | `*` | - | - | - |",
    ]


def test_values_and_cells() -> None:
    shown = {"none": None, "true": True, "3e-06": 3e-6, "1, 2, 2": (1, 2, 2), "a: 0.5": {"a": 0.5}, "x": "x"}
    assert [written(value) for value in shown.values()] == list(shown)
    assert written([]) == written({}) == "none"
    assert table(("a", ">b"), [("x|y", "two\nlines")]) == "| a | b |\n|---|---:|\n| x\\|y | two lines |"
