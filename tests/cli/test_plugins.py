"""`actrec-zoo plugins`, and what a bad plugin costs the other commands: one line on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.testing import RULES
from actrec_zoo_plugins import PLUGINS
from tests.conftest import Outcome
from tests.distributions import Site, model_code

Invoke = Callable[..., Outcome]
COMMAND = """
from actrec_zoo.plugin import *

@hookimpl
def actrec_zoo_commands():
    yield CommandSpec(name="{name}", summary="Of a test", builder="MODULE.greet:command")
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path / "site", monkeypatch)


def test_json(site: Site) -> None:
    site.add("zoo-good", model_code("good_net", "other_net"), entry_point="good", version="4.5")
    site.add("zoo-sad", "import no_such_library", entry_point="sad", version="0.1")
    site.add("zoo-future", model_code("a", before="ACTREC_ZOO_API = 99"), entry_point="future")
    site.add("zoo-off", model_code("b"), entry_point="off")
    code, out, err = site.run("plugins", "--json", ACTREC_ZOO_DISABLE_PLUGINS="off")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == [*PLUGINS, "future", "good", "off", "sad"]
    assert rows["tiny"] == {
        "name": "tiny",
        "distribution": "actrec-zoo",
        "version": actrec_zoo.__version__,
        "status": "ok",
        "models": ["tiny_conv3d"],
        "error": "",
    }
    assert (rows["good"]["distribution"], rows["good"]["version"]) == ("zoo-good", "4.5")
    assert (rows["good"]["status"], rows["good"]["models"]) == ("ok", ["good_net", "other_net"])
    assert (rows["sad"]["status"], rows["sad"]["models"]) == ("broken", [])
    assert rows["sad"]["error"] == "ModuleNotFoundError: No module named 'no_such_library'"
    assert rows["future"]["status"] == "incompatible"
    assert rows["off"]["status"] == "disabled"
    assert sorted(line.split(" is ")[0] for line in err.splitlines()) == [
        "warning: plugin 'future'",
        "warning: plugin 'sad'",
    ]


def test_table(site: Site, invoke: Invoke) -> None:
    site.add("good", model_code("good_net"), version="4.5")
    site.add("sad", "raise ValueError('see [/usr/lib] and [bold]')")
    with site.installed():
        code, out, _ = invoke("plugins")
    assert code == 0
    (good,) = (line for line in out.splitlines() if line.startswith(" good ") or line.startswith("good "))
    assert good.split() == ["good", "good", "4.5", "ok", "good_net"]
    assert "see [/usr/lib] and [bold]" in out


def test_a_hook_beside_models_that_fails_is_shown(site: Site, invoke: Invoke) -> None:
    site.add("half", model_code("a", after="@hookimpl\ndef actrec_zoo_metrics(): raise ValueError('no metrics')"))
    with site.installed():
        rows = json.loads(invoke("plugins", "--json").out)
    assert (rows[-1]["status"], rows[-1]["error"]) == ("broken", "ValueError: no metrics")


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--json"), ("info", "tiny_conv3d"), ("plugins",), ("--help",), ("no-such-command",)],
)
def test_broken_plugin_costs_one_line(site: Site, arguments: tuple[str, ...]) -> None:
    good = site.run(*arguments)
    site.add("sad", "import sys; sys.exit('not today')")
    code, out, err = site.run(*arguments)
    if arguments != ("plugins",):
        assert out == good.out
    assert code == good.code
    assert err == good.err + "warning: plugin 'sad' is broken: SystemExit: not today\n"


def test_model_of_a_broken_plugin_tells_why(site: Site, invoke: Invoke) -> None:
    site.add("sad", "import no_such_library")
    with site.installed():
        code, out, err = invoke("info", "sad:net")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "error: plugin 'sad' of model 'sad:net' is broken: ModuleNotFoundError: No module named 'no_such_library'"
    )


@pytest.mark.parametrize("code", ["import no_such_library", "def broken(:", "command = 7", "raise SystemExit(5)"])
def test_command_that_cannot_be_imported_does_not_end_help(site: Site, invoke: Invoke, code: str) -> None:
    site.add("sad", COMMAND.format(name="greet"), greet=code)
    with site.installed():
        exit_code, out, err = invoke("--help")
        assert (exit_code, err.count("\n")) == (0, 1)
        assert err.startswith("warning: plugin 'sad' is broken: ")
        assert "Commands:" in out
    with site.installed():
        exit_code, _, err = invoke("greet")
    assert exit_code == 2
    assert "No such command 'greet'" in err
    assert "warning: plugin 'sad' is broken: " in err


def test_command_cannot_take_a_name_over(site: Site, invoke: Invoke) -> None:
    hello = "import click\n@click.command()\ndef command():\n    click.echo('hello from MODULE')\n"
    site.add("one", COMMAND.format(name="list"), greet=hello)
    modules = {name: site.add(name, COMMAND.format(name="greet"), greet=hello) for name in ("three", "two")}
    with site.installed():
        assert "tiny_conv3d" in invoke("list").out
        assert invoke("one:list").out.startswith("hello from one_")
        assert invoke("two:greet").out == f"hello from {modules['two']}\n"
        assert invoke("greet").code == 2
        assert "three:greet" in invoke("--help").out


def test_check_of_a_model_that_keeps_the_contract(invoke: Invoke) -> None:
    code, out, err = invoke("plugins", "check", "tiny_conv3d", "--size", "32")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "tiny:tiny_conv3d"
    assert [line.split()[:2] for line in lines[1 : 1 + len(RULES)]] == [["pass", rule.name] for rule in RULES]
    assert lines[1 + len(RULES)] == f"tiny:tiny_conv3d: {len(RULES)} rules pass"


def test_check_of_a_plugin_takes_all_its_models_and_finds_what_is_broken(site: Site, invoke: Invoke) -> None:
    site.add("good", model_code("first_net", "second_net"))
    with site.installed():
        code, out, _ = invoke("plugins", "check", "good")
        assert invoke("plugins", "check", "good:second_net").out == out[out.index("good:second_net\n") :]
    assert code == 1
    rule = next(rule for rule in RULES if rule.name == "card")
    assert out.count(f"FAIL   {rule.name:<20}  the spec names no card\n{'':29}-> {rule.advice}") == 2
    for name in ("first_net", "second_net"):
        assert f"good:{name}: 1 of {len(RULES)} rules broken: card" in out


def test_check_as_json(site: Site, invoke: Invoke) -> None:
    site.add("good", model_code("good_net"))
    with site.installed():
        code, out, _ = invoke("plugins", "check", "good_net", "--json")
    (report,) = json.loads(out)
    assert (code, report["model"], report["passed"]) == (1, "good:good_net", False)
    assert [result["rule"] for result in report["rules"]] == [rule.name for rule in RULES]
    broken = [result for result in report["rules"] if result["status"] == "failed"]
    assert [(result["rule"], result["message"]) for result in broken] == [("card", "the spec names no card")]
    assert all(result["advice"] and result["seconds"] >= 0 for result in broken)


def test_check_needs_a_name_that_exists_and_a_plugin_that_works(site: Site, invoke: Invoke) -> None:
    site.add("sad", "import no_such_library")
    site.add("empty", "from actrec_zoo.plugin import *")
    with site.installed():
        unknown, broken, empty = (invoke("plugins", "check", name) for name in ("tiny_conv4d", "sad", "empty"))
    assert [outcome[:2] for outcome in (unknown, broken, empty)] == [(2, "")] * 3
    assert "there is no model 'tiny_conv4d'. Did you mean tiny_conv3d?" in unknown.err
    assert "error: plugin 'sad' is broken: ModuleNotFoundError: No module named 'no_such_library'" in broken.err
    assert "error: plugin 'empty' has no models to check" in empty.err
