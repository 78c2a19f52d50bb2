"""README.md of a model, which people write in too: what is ours stands between marks, and only that is ever changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from actrec_zoo.errors import HubError

_MARKED = re.compile(
    r"^<!-- actrec-zoo: begin (?P<name>[\w ]+) -->\n(?P<text>.*?)^<!-- actrec-zoo: end (?P=name) -->\n?",
    re.MULTILINE | re.DOTALL,
)
_HEAD = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE | re.DOTALL)
_OF_A_LIST = ("tags", "base_model")
"""Keys of the head to which we add, and take nothing away."""
_ONLY_OURS = ("model-index",)
"""Keys that go when we have none: old figures must not stand beside new weights."""


def marked_sections(parts: Mapping[str, str]) -> str:
    """Second-level sections with their texts, each between marks that name it."""
    return "\n".join(_marked(name, f"## {name}\n\n{text.strip()}\n") for name, text in parts.items())


def merge(there: str, ours: str, source: str) -> str:
    """What is there, with our metadata and our sections brought up to date.

    Sections whose marks are gone were taken out by a person, and stay out; a text without any of our marks gets all of
    them at its end.

    Args:
        there: README.md as it is.
        ours: README.md as we would write it.
        source: names the former in the error.

    Raises:
        HubError: its head is no YAML.
    """
    if not there.strip():
        return ours
    (their_head, their_text), (our_head, our_text) = _split(there, source), _split(ours, "the card")
    new = {found["name"]: found[0] for found in _MARKED.finditer(our_text)}
    if _MARKED.search(their_text) is None:
        text = "\n".join((their_text.rstrip(), "", *new.values())) if their_text.strip() else our_text
    else:
        text = _MARKED.sub(lambda found: new.get(found["name"], ""), their_text)
    return f"---\n{_dump(_merged(their_head, our_head))}---\n{text}"


def metadata(text: str, source: str) -> dict[str, Any]:
    """The head of a README.

    Raises:
        HubError: it is no YAML.
    """
    return _split(text, source)[0]


def _marked(name: str, text: str) -> str:
    return f"<!-- actrec-zoo: begin {name} -->\n{text}<!-- actrec-zoo: end {name} -->\n"


def _split(text: str, source: str) -> tuple[dict[str, Any], str]:
    """Head and body."""
    import yaml

    found = _HEAD.match(text)
    if found is None:
        return {}, text
    try:
        head = yaml.safe_load(found["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HubError(f"the head of {source} is no YAML, repair it: {reason}") from error
    if head is not None and (not isinstance(head, dict) or not all(isinstance(key, str) for key in head)):
        raise HubError(f"the head of {source} is no table of keys and values: repair it")
    return head or {}, text[found.end() :]


def _merged(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in theirs.items() if key not in _ONLY_OURS}
    merged = kept | dict(ours)
    for key in _OF_A_LIST:
        if key in theirs and key in ours:
            there = _listed(theirs[key])
            merged[key] = there + [value for value in _listed(ours[key]) if value not in there]
    return merged


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _dump(head: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True, width=1000))
