"""Real distributions for the plugin host's tests: a package and its metadata, as pip would lay them out."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from actrec_zoo.plugin_manager import PluginManager, get_plugin_manager
from actrec_zoo.registry import Registry, get_registry
from tests.conftest import Outcome

ROOT = Path(__file__).parents[1]
_numbers = count()


def model_code(*names: str, aliases: tuple[str, ...] = (), before: str = "", after: str = "") -> str:
    """Code of a plugin with models built by the tiny CNN; `before` and `after` go around the hook."""
    specs = "".join(
        f"""
    yield ModelSpec(
        name={name!r}, summary="Of a test", architecture="Tiny 3D CNN", aliases={aliases!r}, parameters=94_753,
        builder="actrec_zoo_plugins.tiny.model:build", options={{"width": 24}}, input=InputSpec(frames=4, size=32),
    )"""
        for name in names
    )
    return f"""{before}
from actrec_zoo.plugin import *

@hookimpl
def actrec_zoo_models():{specs}
    yield from ()
{after}
"""


class Site:
    """A folder of distributions, as `site-packages` is one.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        folder.mkdir()

    def add(
        self, name: str, code: str, *, entry_point: str | None = None, version: str = "1.2.3", **modules: str
    ) -> str:
        """Write a distribution `name` whose plugin is a package with `code` and further modules; return its module.

        Module names are new each time, so that tests in one process do not see each other's.
        """
        module = f"{name.replace('-', '_')}_{next(_numbers)}"
        package = self.folder / module
        package.mkdir()
        for file, text in {"__init__": code, **modules}.items():
            (package / f"{file}.py").write_text(text.replace("MODULE", module), encoding="utf-8")
        metadata = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[actrec_zoo]\n{entry_point or name} = {module}\n")
        importlib.invalidate_caches()
        return module

    def manager(self, environ: dict[str, str] | None = None) -> PluginManager:
        """A plugin manager that sees the distributions."""
        self._monkeypatch.syspath_prepend(str(self.folder))
        return PluginManager(environ or {})

    def registry(self) -> Registry:
        """A registry that sees the distributions."""
        return Registry(self.manager())

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The plugin manager and registry of this process see the distributions."""
        self._monkeypatch.syspath_prepend(str(self.folder))
        _forget()
        try:
            yield
        finally:
            _forget()

    def run(self, *arguments: str, **environ: str) -> Outcome:
        """Run the command line in a process of its own that sees the distributions."""
        return run_python("-m", "actrec_zoo", *arguments, PYTHONPATH=str(self.folder), **environ)


def run_python(*arguments: str, **environ: str) -> Outcome:
    """Run the interpreter, where the tests can be imported, with further environment variables."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path} | environ
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def _forget() -> None:
    get_plugin_manager.cache_clear()
    get_registry.cache_clear()
