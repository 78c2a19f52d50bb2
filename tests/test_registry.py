"""Names of models: bare, alias, qualified; clashes and misses."""

from __future__ import annotations

from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.errors import PluginError, UnknownNameError
from actrec_zoo.registry import Registry, get_registry
from tests.distributions import Site, model_code


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path / "site", monkeypatch)


def test_models_of_the_issue_are_registered() -> None:
    assert set(actrec_zoo.list_models()) >= {
        *("r3d", "r3d_stem", "r3d_attn8", "r3d_attn16", "r3d_attn_adaptive", "r2plus1d", "r2plus1d_attn8"),
        *("r2d_attn", "r2d_attn_frozen", "r2d18_attn", "squeezenet_attn", "mobilenet_attn", "tiny_conv3d"),
        *("mc3_18", "s3d", "mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b"),
        *("vivit", "vjepa2"),
        *("x3d_xs", "x3d_s", "x3d_m", "x3d_l", "slow_r50", "slowfast_r50", "slowfast_r101", "c2d_r50", "i3d_r50"),
        *("csn_r101", "r2plus1d_r50", "mvit_base_16x4"),
    }


def test_names_and_aliases_of_first_party_models_are_unique() -> None:
    names = [n for m in get_registry().models if m.plugin.first_party for n in (m.spec.name, *m.spec.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["big_net", "large_net", "extra:big_net", "extra:large_net"])
def test_find_by_name_alias_and_id(site: Site, name: str) -> None:
    site.add("extra", model_code("big_net", aliases=("large_net",)))
    assert site.registry().find(name).id == "extra:big_net"


def test_first_party_keeps_its_name(site: Site) -> None:
    site.add("extra", model_code("tiny_conv3d", "my_net"))
    registry = site.registry()
    assert registry.find("tiny_conv3d").id == "tiny:tiny_conv3d"
    assert registry.find("extra:tiny_conv3d").plugin.distribution == "extra"
    assert registry.find("my_net").id == "extra:my_net"


def test_alias_cannot_take_a_first_party_name(site: Site) -> None:
    site.add("extra", model_code("my_net", aliases=("r3d",)))
    registry = site.registry()
    assert registry.find("r3d").id == "r3d:r3d"
    assert registry.find("extra:r3d").id == "extra:my_net"


def test_name_of_two_third_parties_needs_the_id(site: Site) -> None:
    site.add("one", model_code("net"))
    site.add("two", model_code("net"))
    registry = site.registry()
    with pytest.raises(UnknownNameError, match="several plugins have a model 'net': say which one of one:net, two:net"):
        registry.find("net")
    assert registry.find("two:net").plugin.name == "two"


def test_listing_gives_the_shortest_name_that_leads_back(site: Site) -> None:
    site.add("one", model_code("net", "single", "r3d"))
    site.add("two", model_code("net"))
    with site.installed():
        names = actrec_zoo.list_models()
        assert {"one:net", "two:net", "single", "r3d", "one:r3d"} <= set(names)
        assert len(names) == len(set(names))
        assert [get_registry().find(n).id for n in names] == [m.id for m in get_registry().models]


def test_alias_equal_to_the_name_is_no_clash(site: Site) -> None:
    site.add("extra", model_code("net", aliases=("net",)))
    assert site.registry().find("net").id == "extra:net"


def test_a_name_beats_an_alias_in_a_qualified_id(site: Site) -> None:
    site.add("extra", model_code("first", "second", aliases=("second",)))
    assert site.registry().find("extra:second").spec.name == "second"


def test_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"there is no model 'r3d_atn8'\. Did you mean .*r3d_attn8.*`actrec-zoo "
    ):
        actrec_zoo.get_spec("r3d_atn8")


def test_unknown_name_far_from_all() -> None:
    with pytest.raises(UnknownNameError) as caught:
        actrec_zoo.get_spec("qqqqqqqqqqqqqqqq")
    assert "Did you mean" not in str(caught.value)


def test_unknown_plugin_tells_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"there is no plugin 'tinny'.*Did you mean tiny\?.*pip"):
        get_registry().find("tinny:tiny_conv3d")


def test_unknown_model_of_a_plugin_tells_its_own() -> None:
    with pytest.raises(UnknownNameError, match=r"plugin 'r3d' has no model 'r3d_sten'\. Did you mean r3d_stem"):
        get_registry().find("r3d:r3d_sten")


def test_model_of_a_broken_plugin_tells_why(site: Site) -> None:
    site.add("sad", "import no_such_library")
    registry = site.registry()
    with pytest.raises(PluginError, match="plugin 'sad' of model 'sad:net' is broken: ModuleNotFoundError"):
        registry.find("sad:net")
    with pytest.raises(UnknownNameError, match="Plugin 'sad' is broken: ModuleNotFoundError"):
        registry.find("net")


def test_model_of_an_incompatible_plugin_tells_why(site: Site) -> None:
    site.add("future", model_code("net", before="ACTREC_ZOO_API = 99"))
    with pytest.raises(PluginError, match="is incompatible: written for plugin API 99"):
        site.registry().find("future:net")


def test_model_of_a_disabled_plugin_tells_why(site: Site) -> None:
    registry = Registry(site.manager({"ACTREC_ZOO_DISABLE_PLUGINS": "tiny"}))
    with pytest.raises(PluginError, match="is disabled: left out by ACTREC_ZOO_DISABLE_PLUGINS"):
        registry.find("tiny:tiny_conv3d")
    with pytest.raises(UnknownNameError, match="Disabled by environment variable: tiny"):
        registry.find("tiny_conv3d")


def test_pattern_matches_names_aliases_and_ids(site: Site) -> None:
    site.add("extra", model_code("big_net", aliases=("large_net",)))
    registry = site.registry()
    for pattern in ("big*", "large*", "extra:*", "b?g_net"):
        assert [m.id for m in registry.matching(pattern)] == ["extra:big_net"]
    assert registry.matching("nothing*") == registry.matching("extra*") == []
    assert registry.matching() == registry.models


def test_listing_with_a_pattern() -> None:
    assert actrec_zoo.list_models("r3d_attn*") == ["r3d_attn8", "r3d_attn16", "r3d_attn_adaptive"]


def test_listing_with_filters() -> None:
    small = actrec_zoo.list_models("*_attn", pretrained=True, max_params=13_000_000)
    assert small == ["r2d18_attn", "squeezenet_attn", "mobilenet_attn"]
    assert actrec_zoo.list_models("r2plus1d*", min_params=34_000_000) == ["r2plus1d_attn8"]
    assert actrec_zoo.list_models(architecture="r3d*", max_params=34_000_000) == ["r3d", "r3d_stem"]
    assert actrec_zoo.list_models(max_params=0) == []


def test_listing_of_a_plugin(site: Site) -> None:
    site.add("extra", model_code("first_net", "second_net"))
    site.add("sad", "import no_such_library")
    registry = site.registry()
    assert [m.spec.name for m in registry.matching(plugin="extra")] == ["first_net", "second_net"]
    assert [m.spec.name for m in registry.matching("*d_net", plugin="extra")] == ["second_net"]
    with pytest.raises(UnknownNameError, match=r"there is no plugin 'extras'\. Did you mean extra\?"):
        registry.matching(plugin="extras")
    with pytest.raises(PluginError, match="plugin 'sad' is broken: ModuleNotFoundError"):
        registry.matching(plugin="sad")
