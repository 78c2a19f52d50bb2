"""The plugin host: real distributions on disk, good ones and every kind of bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.errors import PluginError
from actrec_zoo.hookspecs import HOOKS
from actrec_zoo.plugin_manager import Plugin, PluginManager
from actrec_zoo.spec import MetricSpec
from actrec_zoo_plugins import PLUGINS
from tests.distributions import Site, model_code

FIRST_PARTY = list(PLUGINS)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path / "site", monkeypatch)


def named(manager: PluginManager, name: str) -> Plugin:
    (plugin,) = (p for p in manager.plugins if p.name == name)
    return plugin


def model_names(manager: PluginManager, plugin: str) -> list[str]:
    return [spec.name for owner, spec in manager.collect("models") if owner.name == plugin]


def test_first_party_plugins_come_first_and_work(site: Site) -> None:
    site.add("aardvark", model_code("burrow"))
    manager = site.manager()
    assert [p.name for p in manager.plugins] == [*FIRST_PARTY, "aardvark"]
    for name in FIRST_PARTY:
        plugin = named(manager, name)
        assert (plugin.status, plugin.error, plugin.first_party) == ("ok", "", True)
        assert (plugin.distribution, plugin.version) == ("actrec-zoo", actrec_zoo.__version__)


def test_good_distribution(site: Site) -> None:
    site.add("zoo-good", model_code("good_net", "better_net"), entry_point="good", version="4.5")
    manager = site.manager()
    plugin = named(manager, "good")
    assert (plugin.distribution, plugin.version, plugin.first_party) == ("zoo-good", "4.5", False)
    assert model_names(manager, "good") == ["good_net", "better_net"]
    assert (plugin.status, plugin.error) == ("ok", "")
    assert manager.out_of_use() == []


BROKEN = {
    "import": (model_code("a", before="import no_such_library"), "ModuleNotFoundError: No module named"),
    "syntax": ("def broken(:\n", "SyntaxError"),
    "exit": (model_code("a", before="raise SystemExit(3)"), "SystemExit: 3"),
    "silent-exit": (model_code("a", before="raise SystemExit"), "SystemExit"),
    "many-lines": (model_code("a", before="raise RuntimeError('one\\ntwo\\n  three')"), "RuntimeError: one two three"),
    "hook": (
        "from actrec_zoo.plugin import *\n@hookimpl\ndef actrec_zoo_models(): raise ValueError('no models today')",
        "ValueError: no models today",
    ),
    "late": (model_code("a", "b", after="    raise ValueError('after two models')"), "ValueError: after two models"),
    "item": (model_code("a", after="    yield {'name': 'b'}"), "hook models must yield ModelSpec, not dict"),
    "no-list": (
        "from actrec_zoo.plugin import *\n@hookimpl\ndef actrec_zoo_models(): return 7",
        "TypeError: 'int' object is not iterable",
    ),
    "twice": (model_code("same", "other", "same"), "hook models yields same more than once"),
    "bad-name": (model_code("a/b"), "model name 'a/b' may not"),
    "unknown-hook": (
        "from actrec_zoo.plugin import *\n@hookimpl\ndef actrec_zoo_modells(): return []",
        "unknown hook 'actrec_zoo_modells'",
    ),
    "argument": (
        "from actrec_zoo.plugin import *\n@hookimpl\ndef actrec_zoo_models(device): return []",
        "device",
    ),
    "unknown-hook-and-argument": (
        "from actrec_zoo.plugin import *\n@hookimpl\ndef actrec_zoo_also(): return []\n"
        "@hookimpl\ndef actrec_zoo_models(device): return []",
        "device",
    ),
    "api-type": (model_code("a", before="ACTREC_ZOO_API = '99'"), "ACTREC_ZOO_API must be a whole number, not '99'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_plugin_keeps_its_error_and_harms_no_other(site: Site, kind: str) -> None:
    code, error = BROKEN[kind]
    site.add("m-broken", code)
    site.add("z-good", model_code("good_net"))
    manager = site.manager()
    assert model_names(manager, "m-broken") == []
    plugin = named(manager, "m-broken")
    assert plugin.status == "broken"
    assert error in plugin.error
    assert "\n" not in plugin.error
    assert model_names(manager, "z-good") == ["good_net"]
    assert [p.status for p in manager.plugins if p is not plugin] == ["ok"] * (len(FIRST_PARTY) + 1)
    assert manager.out_of_use() == [plugin]


def test_plugin_for_a_newer_host_is_not_called(site: Site) -> None:
    site.add("future", model_code("a", before="ACTREC_ZOO_API = 99"))
    manager = site.manager()
    plugin = named(manager, "future")
    assert plugin.status == "incompatible"
    assert plugin.error == "written for plugin API 99, this actrec-zoo has 1: upgrade actrec-zoo"
    assert model_names(manager, "future") == []
    assert manager.out_of_use() == [plugin]


def test_plugin_for_this_api_works(site: Site) -> None:
    site.add("present", model_code("a", before="ACTREC_ZOO_API = 1"))
    assert model_names(site.manager(), "present") == ["a"]


def test_name_of_another_plugin_is_taken(site: Site) -> None:
    site.add("evil-twin", model_code("a"), entry_point="tiny")
    manager = site.manager()
    first, second = (p for p in manager.plugins if p.name == "tiny")
    assert (first.status, first.first_party) == ("ok", True)
    assert (second.status, second.distribution) == ("broken", "evil-twin")
    assert second.error == "another plugin is already named 'tiny'"
    assert model_names(manager, "tiny") == ["tiny_conv3d"]


def test_two_entry_points_to_one_module(site: Site) -> None:
    module = site.add("one", model_code("a"))
    other = site.folder / "two-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Name: two\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(f"[actrec_zoo]\ntwo = {module}\n")
    manager = site.manager()
    assert model_names(manager, "one") == ["a"]
    assert (named(manager, "two").status, named(manager, "two").error) == (
        "broken",
        "PluginError: another plugin has the same module",
    )


def test_distribution_without_metadata_is_listed(site: Site) -> None:
    module = site.add("bare", model_code("a"))
    (site.folder / "bare-1.2.3.dist-info" / "METADATA").unlink()
    manager = site.manager()
    assert module and model_names(manager, "bare") == ["a"]
    assert (named(manager, "bare").distribution, named(manager, "bare").version) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("environ", "working"),
    [
        ({}, [*FIRST_PARTY, "extra"]),
        ({"ACTREC_ZOO_PLUGINS": "extra, tiny"}, ["tiny", "extra"]),
        ({"ACTREC_ZOO_PLUGINS": ""}, []),
        ({"ACTREC_ZOO_DISABLE_PLUGINS": "r3d,extra,unheard-of"}, [name for name in FIRST_PARTY if name != "r3d"]),
        ({"ACTREC_ZOO_DISABLE_PLUGINS": ""}, [*FIRST_PARTY, "extra"]),
        ({"ACTREC_ZOO_PLUGINS": "tiny,extra", "ACTREC_ZOO_DISABLE_PLUGINS": "tiny"}, ["extra"]),
    ],
)
def test_environment_chooses_plugins(site: Site, environ: dict[str, str], working: list[str]) -> None:
    site.add("extra", model_code("a"))
    manager = site.manager(environ)
    assert [p.name for p in manager.plugins if p.status == "ok"] == working
    others = [p for p in manager.plugins if p.name not in working]
    assert {p.status for p in others} <= {"disabled"}
    assert all("ACTREC_ZOO_" in p.error for p in others)
    assert manager.out_of_use() == []


def test_disabled_plugin_is_not_imported(site: Site) -> None:
    site.add("bomb", "raise RuntimeError('imported')")
    assert named(site.manager({"ACTREC_ZOO_DISABLE_PLUGINS": "bomb"}), "bomb").status == "disabled"


METRIC = """
from actrec_zoo.plugin import *

@hookimpl
def actrec_zoo_metrics():
    yield MetricSpec(name="balance", summary="Of a test", builder="MODULE:balance")
"""


def test_component_by_name_and_by_qualified_name(site: Site) -> None:
    site.add("one", METRIC)
    manager = site.manager()
    found = manager.component("metrics", "balance")
    assert isinstance(found, MetricSpec)
    assert manager.component("metrics", "one:balance") is not None
    assert manager.component("metrics", "unbalance") is None


def test_component_of_two_plugins_needs_the_qualified_name(site: Site) -> None:
    modules = {name: site.add(name, METRIC) for name in ("one", "two")}
    manager = site.manager()
    with pytest.raises(PluginError, match="say which one of one:balance, two:balance"):
        manager.component("metrics", "balance")
    found = manager.component("metrics", "two:balance")
    assert found is not None and found.builder == f"{modules['two']}:balance"


def test_check_calls_the_hooks_beside_models(site: Site) -> None:
    site.add("half", model_code("a", after="@hookimpl\ndef actrec_zoo_metrics(): raise ValueError('no metrics')"))
    manager = site.manager()
    assert model_names(manager, "half") == ["a"]
    assert named(manager, "half").status == "ok"
    manager.check()
    assert named(manager, "half").error == "ValueError: no metrics"


def test_plugin_without_a_hook_contributes_nothing(site: Site) -> None:
    site.add("empty", "")
    manager = site.manager()
    manager.check()
    assert named(manager, "empty").status == "ok"
    assert all(owner.name != "empty" for hook in HOOKS if hook != "callbacks" for owner, _ in manager.collect(hook))
