"""The example of a third party's plugin: built, installed into an environment of its own, and used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import actrec_zoo
import actrec_zoo_plugins
from tests.conftest import Outcome

TEMPLATE = Path(__file__).parents[2] / "examples" / "actrec-zoo-plugin-template"
PROJECT = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLIC = {"actrec_zoo", "actrec_zoo.plugin", "actrec_zoo.nn", "actrec_zoo.weights", "actrec_zoo.testing"}
QUICK = ("--epochs", "1", "--size", "32", "--frames", "4", "--workers", "0", "--device", "cpu")


class Environment:
    """A virtual environment that sees this one's libraries, and what is installed into it.

    Args:
        folder: where it is made.
    """

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self._python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        site = self("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").out.strip()
        # What an editable install puts on the path is named itself: .pth files of a further folder are not read.
        sources = [Path(package.__path__[0]).parent for package in (actrec_zoo, actrec_zoo_plugins)]
        lines = [f"{path}\n" for path in (*sources, sysconfig.get_path("purelib"))]
        Path(site, "libraries.pth").write_text("".join(lines), encoding="utf-8")

    def __call__(self, *arguments: object, cwd: Path | None = None) -> Outcome:
        """Run its interpreter."""
        environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        command = [str(self._python), *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def zoo(self, *arguments: object) -> str:
        """Run a command of the zoo, which has to succeed; what it prints."""
        outcome = self("-m", "actrec_zoo", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The template, installed by pip."""
    environment = Environment(tmp_path_factory.mktemp("template") / "venv")
    outcome = environment("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", TEMPLATE)
    assert outcome.code == 0, outcome.err
    return environment


def test_it_is_a_plugin(installed: Environment) -> None:
    (plugin,) = [p for p in json.loads(installed.zoo("plugins", "--json")) if p["name"] == "tsm"]
    assert plugin["status"] == "ok", plugin["error"]
    assert (plugin["distribution"], plugin["version"]) == (PROJECT["name"], PROJECT["version"])
    assert plugin["models"] == ["tsm_tiny", "tsm_resnet18"]


def test_its_models_are_listed_and_described(installed: Environment) -> None:
    assert "\nTemporal shift\n  tsm:tsm_tiny " in installed.zoo("list", "--max-params", "1M")
    listed = json.loads(installed.zoo("list", "--plugin", "tsm", "--pretrained", "--json"))
    assert [model["id"] for model in listed] == ["tsm:tsm_resnet18"]
    assert f"plugin: {PROJECT['name']} {PROJECT['version']}" in installed.zoo("info", "tsm_tiny")


@pytest.mark.slow
def test_the_contract_holds_from_the_command_line(installed: Environment) -> None:
    assert "tsm:tsm_tiny: " in installed.zoo("plugins", "check", "tsm:tsm_tiny", "--size", "32").splitlines()[-2]


def test_train_evaluate_and_load(installed: Environment, squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    installed.zoo("train", "tsm_tiny", "--data", squares, "--out", run, *QUICK)
    report = json.loads(installed.zoo("eval", run, "--data", squares, "--workers", "0", "--device", "cpu", "--json"))
    assert (report["model"], report["n_used"], report["n_expected"]) == ("tsm:tsm_tiny", 2, 2)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["plugin"] == {"distribution": PROJECT["name"], "version": PROJECT["version"]}
    ask = "import sys, actrec_zoo; model = actrec_zoo.load('tsm_tiny'); print(model.id, *model.predict(sys.argv[1]))"
    answer = installed("-c", ask, squares / "left" / "clip0")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("tsm:tsm_tiny (") and "left" in answer.out and "right" in answer.out


def test_its_own_tests_pass(installed: Environment) -> None:
    outcome = installed("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=TEMPLATE)
    assert outcome.code == 0, outcome.out


def test_it_imports_the_public_interface_alone() -> None:
    for file in TEMPLATE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "actrec_zoo":
                assert node.module in PUBLIC, f"{file.name} imports {node.module}"
