"""Finds plugins, keeps them apart from each other, and knows the status of each. The only user of pluggy.

pluggy alone lets one plugin that cannot be imported, or one hook that raises, end the whole command. Here every
plugin is imported, registered and called on its own; what goes wrong becomes its status.
"""

import importlib
import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

import pluggy

from actrec_zoo import hookspecs
from actrec_zoo._version import __version__
from actrec_zoo.errors import PluginError

PROJECT = "actrec_zoo"
ENTRY_POINT_GROUP = "actrec_zoo"
FIRST_PARTY = "actrec_zoo_plugins"
ALLOW_VARIABLE = "ACTREC_ZOO_PLUGINS"
DISABLE_VARIABLE = "ACTREC_ZOO_DISABLE_PLUGINS"

Status = Literal["ok", "disabled", "broken", "incompatible"]

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin module as the implementation of the hook of the same name."""

_hookspec = pluggy.HookspecMarker(PROJECT)


@dataclass(kw_only=True)
class Plugin:
    """One plugin as it was found, with its status.

    Attributes:
        name: of the first-party package or of the entry point.
        distribution: what `pip` installed it from.
        version: of the distribution.
        first_party: whether it comes with actrec-zoo itself.
        status: `ok`, `disabled` (by an environment variable), `broken` (import or hook failed) or
            `incompatible` (written for a newer actrec-zoo).
        error: why it is not ok, in one line.
    """

    name: str
    distribution: str
    version: str
    first_party: bool
    status: Status = "ok"
    error: str = ""
    module: Any = field(default=None, repr=False)

    def fail(self, status: Status, error: BaseException | str) -> None:
        """Take the plugin out of use and remember why."""
        self.status = status
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.error = " ".join(text.split()).removesuffix(":")


class PluginManager:
    """Every plugin that is installed, loaded once.

    Args:
        environ: where the two variables are read: `ACTREC_ZOO_PLUGINS`, a comma-separated allow-list (empty: no
            plugin at all), and `ACTREC_ZOO_DISABLE_PLUGINS`, names to leave out.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        for hook in hookspecs.HOOKS:
            _hookspec(getattr(hookspecs, f"{PROJECT}_{hook}"))
        self._pluggy.add_hookspecs(hookspecs)
        self._allowed = _names(environ[ALLOW_VARIABLE]) if ALLOW_VARIABLE in environ else None
        self._disabled = _names(environ.get(DISABLE_VARIABLE, ""))
        self.plugins: list[Plugin] = []
        for plugin, source in _discover():
            self._add(plugin, source)

    def collect(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call one hook on every plugin that is ok; return (plugin, item) for each item yielded.

        A plugin that raises, or yields something else than the hook's dataclass, becomes `broken` and contributes
        nothing.
        """
        found: list[tuple[Plugin, Any]] = []
        for plugin in self.plugins:
            if plugin.status != "ok":
                continue
            try:
                found += [(plugin, item) for item in self._call(plugin, hook, arguments)]
            except (Exception, SystemExit) as error:
                plugin.fail("broken", error)
        return found

    def component(self, hook: str, name: str, **arguments: Any) -> Any | None:
        """The spec named `name` (or `plugin:name`) that a plugin yields for `hook`, or None.

        Raises:
            PluginError: two plugins offer the name.
        """
        matches = [
            (plugin, item)
            for plugin, item in self.collect(hook, **arguments)
            if name in (item.name, f"{plugin.name}:{item.name}")
        ]
        if len(matches) > 1:
            choices = ", ".join(f"{plugin.name}:{item.name}" for plugin, item in matches)
            raise PluginError(f"{name!r} is offered by several plugins: say which one of {choices}")
        return matches[0][1] if matches else None

    def check(self) -> None:
        """Call every hook that takes no arguments, so that the status of each plugin covers more than its models."""
        for hook in hookspecs.HOOKS:
            if not inspect.signature(getattr(hookspecs, f"{PROJECT}_{hook}")).parameters:
                self.collect(hook)

    def out_of_use(self) -> list[Plugin]:
        """Plugins that should work and do not: broken or incompatible."""
        return [p for p in self.plugins if p.status in ("broken", "incompatible")]

    def _call(self, plugin: Plugin, hook: str, arguments: dict[str, Any]) -> list[Any]:
        others = [module for module in self._pluggy.get_plugins() if module is not plugin.module]
        caller = self._pluggy.subset_hook_caller(f"{PROJECT}_{hook}", remove_plugins=others)
        expected = hookspecs.HOOKS[hook]
        items = [item for result in caller(**arguments) for item in result]
        for item in items:
            if not isinstance(item, expected):
                raise PluginError(f"hook {hook} must yield {expected.__name__}, not {type(item).__name__}")
        names = [item.name for item in items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PluginError(f"hook {hook} yields {', '.join(twice)} more than once")
        return items

    def _add(self, plugin: Plugin, source: EntryPoint | str) -> None:
        """Import and register one plugin; whatever it raises is kept as its status."""
        taken = any(other.name == plugin.name for other in self.plugins)
        self.plugins.append(plugin)
        if plugin.name in self._disabled:
            plugin.fail("disabled", f"left out by {DISABLE_VARIABLE}")
            return
        if self._allowed is not None and plugin.name not in self._allowed:
            plugin.fail("disabled", f"not among those that {ALLOW_VARIABLE} allows")
            return
        if not plugin.name or plugin.name.startswith(".") or any(c in plugin.name for c in "/\\:@ "):
            plugin.fail("broken", "its name may not begin with '.' or hold '/', '\\', ':', '@' or a space")
            return
        if taken:
            plugin.fail("broken", f"another plugin is already named {plugin.name!r}")
            return
        try:
            plugin.module = importlib.import_module(source) if isinstance(source, str) else source.load()
            self._register(plugin)
        except (Exception, SystemExit) as error:
            plugin.fail("broken", error)

    def _register(self, plugin: Plugin) -> None:
        needed = getattr(plugin.module, "ACTREC_ZOO_API", 1)
        if not isinstance(needed, int):
            raise PluginError(f"ACTREC_ZOO_API must be a whole number, not {needed!r}")
        if needed > hookspecs.API_VERSION:
            plugin.fail(
                "incompatible",
                f"written for plugin API {needed}, this actrec-zoo has {hookspecs.API_VERSION}: upgrade actrec-zoo",
            )
            return
        if self._pluggy.is_registered(plugin.module):
            raise PluginError("another plugin has the same module")
        try:
            self._pluggy.register(plugin.module, name=plugin.name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError:
            if self._pluggy.is_registered(plugin.module):
                self._pluggy.unregister(plugin.module)
            raise


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _discover() -> Iterator[tuple[Plugin, EntryPoint | str]]:
    """First-party plugins in the order of their tuple, then the entry points by name."""
    package: ModuleType = importlib.import_module(FIRST_PARTY)
    for name in package.PLUGINS:
        plugin = Plugin(name=name, distribution="actrec-zoo", version=__version__, first_party=True)
        yield plugin, f"{FIRST_PARTY}.{name}"
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        dist = entry_point.dist
        plugin = Plugin(
            name=entry_point.name,
            distribution=(dist and dist.name) or "unknown",
            version=(dist and dist.version) or "unknown",
            first_party=False,
        )
        yield plugin, entry_point


@cache
def get_plugin_manager() -> PluginManager:
    """The plugin manager of this process."""
    return PluginManager()
