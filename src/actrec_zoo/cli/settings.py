"""Settings as TOML, as `train --config` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import Item

if TYPE_CHECKING:
    from actrec_zoo.config import Resolved


def as_toml(resolved: Resolved) -> str:
    """Every setting with where it comes from behind it; one that has no value is a comment."""
    document = tomlkit.document()
    tables: dict[str, Mapping[str, Any]] = {}
    for key, value in resolved.config.model_dump(mode="json").items():
        if value is None:
            document.add(tomlkit.comment(f"{key}: none ({_origin(resolved, key)})"))
        elif key in ("options", "lr_factors") and value:
            tables[key] = value
        else:
            document.add(key, _item(value, _origin(resolved, key)))
    for name, values in tables.items():
        table = tomlkit.table()
        for key, value in values.items():
            table.add(key, _item(value, _origin(resolved, f"{name}.{key}")))
        document.add(name, table)
    return tomlkit.dumps(document)


def _item(value: Any, origin: str) -> Item:
    item: Item
    if isinstance(value, Mapping):
        item = tomlkit.inline_table()
        item.update(value)
    else:
        item = tomlkit.item(value)
    return item.comment(origin)


def _origin(resolved: Resolved, key: str) -> str:
    """Where a setting comes from; a table that was given key by key comes from where its first one does."""
    inner = (origin for name, origin in resolved.origins.items() if name.startswith(f"{key}."))
    return resolved.origins.get(key) or next(inner, "default")
