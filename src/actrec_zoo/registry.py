"""Names of models: bare names, aliases and qualified ids `plugin:model`."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from actrec_zoo.errors import PluginError, UnknownNameError, did_you_mean
from actrec_zoo.plugin_manager import Plugin, PluginManager, get_plugin_manager
from actrec_zoo.spec import ModelSpec


@dataclass(frozen=True)
class RegisteredModel:
    """A model and the plugin that it comes from."""

    plugin: Plugin
    spec: ModelSpec

    @property
    def id(self) -> str:
        """Qualified id, unique and permanent: `plugin:model`."""
        return f"{self.plugin.name}:{self.spec.name}"


class Registry:
    """Every model of every working plugin.

    A bare name belongs to the first-party model of that name if there is one, else to the only model so named;
    a name that several third-party plugins use needs the qualified id. Aliases follow the same rules.
    """

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager
        self.models = [RegisteredModel(p, spec) for p, spec in manager.collect("models")]
        self._by_id: dict[str, RegisteredModel] = {}
        self._by_name: dict[str, list[RegisteredModel]] = {}
        for model in self.models:
            for alias in dict.fromkeys((model.spec.name, *model.spec.aliases)):
                self._by_name.setdefault(alias, []).append(model)
                self._by_id.setdefault(f"{model.plugin.name}:{alias}", model)
        self._by_id |= {model.id: model for model in self.models}

    def find(self, name: str) -> RegisteredModel:
        """The model called `name`: a bare name or an alias, or either behind `plugin:`.

        Raises:
            UnknownNameError: nothing is called so (the message has the nearest names), or several models are.
            PluginError: the plugin named in a qualified id does not work; the message tells why.
        """
        if ":" in name:
            return self._find_qualified(name)
        candidates = self._by_name.get(name, [])
        first_party = [model for model in candidates if model.plugin.first_party]
        if len(first_party or candidates) == 1:
            return (first_party or candidates)[0]
        if candidates:
            choices = ", ".join(model.id for model in candidates)
            raise UnknownNameError(f"several plugins have a model {name!r}: say which one of {choices}")
        raise UnknownNameError(
            f"there is no model {name!r}.{did_you_mean(name, self._by_name)} "
            f"`actrec-zoo list` shows all of them.{self._out_of_use()}"
        )

    def matching(self, pattern: str | None = None) -> list[RegisteredModel]:
        """Models whose name, alias or id matches a shell pattern; all of them without one."""
        if pattern is None:
            return list(self.models)
        return [m for m in self.models if any(fnmatchcase(n, pattern) for n in (m.spec.name, m.id, *m.spec.aliases))]

    def _find_qualified(self, name: str) -> RegisteredModel:
        if name in self._by_id:
            return self._by_id[name]
        plugin_name, _, model_name = name.partition(":")
        plugin = next((p for p in self._manager.plugins if p.name == plugin_name), None)
        if plugin is None:
            known = [p.name for p in self._manager.plugins]
            raise UnknownNameError(
                f"there is no plugin {plugin_name!r} for model {name!r}.{did_you_mean(plugin_name, known)} "
                "`actrec-zoo plugins` shows all of them; a missing one has to be installed with pip."
            )
        if plugin.status != "ok":
            raise PluginError(f"plugin {plugin_name!r} of model {name!r} is {plugin.status}: {plugin.error}")
        own = [model.spec.name for model in self.models if model.plugin is plugin]
        raise UnknownNameError(f"plugin {plugin_name!r} has no model {model_name!r}.{did_you_mean(model_name, own)}")

    def _out_of_use(self) -> str:
        failed = "".join(f" Plugin {p.name!r} is {p.status}: {p.error}." for p in self._manager.out_of_use())
        disabled = ", ".join(p.name for p in self._manager.plugins if p.status == "disabled")
        return failed + (f" Disabled by environment variable: {disabled}." if disabled else "")


@cache
def get_registry() -> Registry:
    """The registry of this process, made from the installed plugins."""
    return Registry(get_plugin_manager())


def list_models(pattern: str | None = None) -> list[str]:
    """Names of the registered models, optionally those that match a shell pattern such as `"r3d*"`.

    A name that is not unique is given as its qualified id.
    """
    registry = get_registry()
    return [_shortest_name(registry, model) for model in registry.matching(pattern)]


def get_spec(name: str) -> ModelSpec:
    """The description of a model, by name, alias or id. Imports no torch.

    Raises:
        UnknownNameError: nothing is called so.
    """
    return get_registry().find(name).spec


def _shortest_name(registry: Registry, model: RegisteredModel) -> str:
    same: Iterable[RegisteredModel] = (m for m in registry.models if m.spec.name == model.spec.name)
    return model.spec.name if model.plugin.first_party or len(list(same)) == 1 else model.id
