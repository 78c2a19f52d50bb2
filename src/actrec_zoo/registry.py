"""Names of models: bare names, aliases and qualified ids `plugin:model`."""

import math
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

    def matching(
        self,
        pattern: str | None = None,
        *,
        architecture: str | None = None,
        plugin: str | None = None,
        pretrained: bool = False,
        min_params: int | None = None,
        max_params: int | None = None,
    ) -> list[RegisteredModel]:
        """The models that pass every filter given; see `list_models`.

        Raises:
            UnknownNameError, PluginError: there is no plugin of that name, or it does not work.
        """
        if plugin is not None:
            self._working_plugin(plugin, asked_for="")
        most = math.inf if max_params is None else max_params
        return [
            m
            for m in self.models
            if _matches(pattern, *_names(m, qualified=":" in (pattern or "")))
            and _matches(architecture, m.spec.architecture)
            and plugin in (None, m.plugin.name)
            and (m.spec.weights or not pretrained)
            and (min_params or 0) <= m.spec.parameters <= most
        ]

    def _find_qualified(self, name: str) -> RegisteredModel:
        if name in self._by_id:
            return self._by_id[name]
        plugin_name, _, model_name = name.partition(":")
        plugin = self._working_plugin(plugin_name, asked_for=f" of model {name!r}")
        own = [model.spec.name for model in self.models if model.plugin is plugin]
        raise UnknownNameError(f"plugin {plugin_name!r} has no model {model_name!r}.{did_you_mean(model_name, own)}")

    def _working_plugin(self, name: str, *, asked_for: str) -> Plugin:
        plugin = next((p for p in self._manager.plugins if p.name == name), None)
        if plugin is None:
            raise UnknownNameError(
                f"there is no plugin {name!r}{asked_for}.{did_you_mean(name, [p.name for p in self._manager.plugins])} "
                "`actrec-zoo plugins` shows all of them; a missing one has to be installed with pip."
            )
        if plugin.status != "ok":
            raise PluginError(f"plugin {name!r}{asked_for} is {plugin.status}: {plugin.error}")
        return plugin

    def _out_of_use(self) -> str:
        failed = "".join(f" Plugin {p.name!r} is {p.status}: {p.error}." for p in self._manager.out_of_use())
        disabled = ", ".join(p.name for p in self._manager.plugins if p.status == "disabled")
        return failed + (f" Disabled by environment variable: {disabled}." if disabled else "")


@cache
def get_registry() -> Registry:
    """The registry of this process, made from the installed plugins."""
    return Registry(get_plugin_manager())


def list_models(
    pattern: str | None = None,
    *,
    architecture: str | None = None,
    plugin: str | None = None,
    pretrained: bool = False,
    min_params: int | None = None,
    max_params: int | None = None,
) -> list[str]:
    """Names of the registered models that pass every filter given, in the order of their plugins. Imports no torch.

    Args:
        pattern: shell pattern over names and aliases, such as `"r3d*"`, or with a colon over ids.
        architecture: shell pattern over the architecture in words, such as `"*resnet*"`; case does not matter.
        plugin: name of the plugin that they come from.
        pretrained: only models that have pretrained weights.
        min_params: only models of at least so many parameters.
        max_params: only models of at most so many parameters.

    Returns:
        Bare names; a name that is not unique is given as its qualified id.

    Raises:
        UnknownNameError: there is no such plugin.
        PluginError: that plugin does not work.

    Example:
        >>> import actrec_zoo
        >>> actrec_zoo.list_models("r3d_attn*", max_params=36_350_000)
        ['r3d_attn8', 'r3d_attn16']
    """
    registry = get_registry()
    found = registry.matching(
        pattern,
        architecture=architecture,
        plugin=plugin,
        pretrained=pretrained,
        min_params=min_params,
        max_params=max_params,
    )
    return [_shortest_name(registry, model) for model in found]


def get_spec(name: str) -> ModelSpec:
    """The description of a model, by name, alias or id. Imports no torch.

    Raises:
        UnknownNameError: nothing is called so.
    """
    return get_registry().find(name).spec


def _shortest_name(registry: Registry, model: RegisteredModel) -> str:
    same: Iterable[RegisteredModel] = (m for m in registry.models if m.spec.name == model.spec.name)
    return model.spec.name if model.plugin.first_party or len(list(same)) == 1 else model.id


def _names(model: RegisteredModel, *, qualified: bool) -> tuple[str, ...]:
    """What a pattern is held against: `r3d*` must not take in whatever comes from a plugin called r3d."""
    return (model.id,) if qualified else (model.spec.name, *model.spec.aliases)


def _matches(pattern: str | None, *names: str) -> bool:
    return pattern is None or any(fnmatchcase(name.lower(), pattern.lower()) for name in names)
