"""The part of a model card that a person writes: one Markdown file an architecture, in sections of a fixed shape."""

import re
from collections.abc import Mapping
from importlib.resources import files

from actrec_zoo.errors import PluginError
from actrec_zoo.spec import ModelSpec

SECTIONS = ("Architecture", "Origin", "Intended use", "Limits", "Citation")
"""Second-level headings of the file: each is there once and says something, in any order."""

_BIBTEX = re.compile(r"^```bibtex\n\s*@\w+\{.*?^```$", re.M | re.S)


def read_prose(spec: ModelSpec) -> Mapping[str, str]:
    """Text of each section by its heading, in the order of `SECTIONS`.

    Raises:
        PluginError: the spec names no file, the file cannot be read, or a section is missing, empty, repeated or
            unknown; the message names it.
    """
    if not spec.card:
        raise PluginError(f"model {spec.name!r} has no card: set card='package:file' in its spec")
    text = _read(spec)
    before, *parts = re.split(r"^## +(.+?) *$", text.replace("\r\n", "\n"), flags=re.M)
    if before.strip():
        raise _unfit(spec, "begins with text that is in no section")
    headings, texts = parts[::2], [part.strip() for part in parts[1::2]]
    _check_headings(spec, headings)
    found = dict(zip(headings, texts, strict=True))
    for heading in SECTIONS:
        if not found.get(heading):
            raise _unfit(spec, f"has {'an empty' if heading in found else 'no'} section '## {heading}'")
    if not _BIBTEX.search(found["Citation"]):
        raise _unfit(spec, "has no BibTeX in '## Citation': put it between ```bibtex and ```")
    return {heading: found[heading] for heading in SECTIONS}


def _read(spec: ModelSpec) -> str:
    package, _, file = spec.card.partition(":")
    if not package or not file:
        raise PluginError(f"card {spec.card!r} of model {spec.name!r} is not of the form 'package:file'")
    try:
        return files(package).joinpath(file).read_text(encoding="utf-8")
    except (ImportError, TypeError, OSError, ValueError) as error:
        raise _unfit(spec, f"cannot be read: {error}") from error


def _check_headings(spec: ModelSpec, headings: list[str]) -> None:
    for heading in headings:
        if heading not in SECTIONS:
            raise _unfit(spec, f"has a section '## {heading}' that is none of {', '.join(SECTIONS)}")
        if headings.count(heading) > 1:
            raise _unfit(spec, f"has more than one section '## {heading}'")


def _unfit(spec: ModelSpec, complaint: str) -> PluginError:
    return PluginError(f"card {spec.card} of model {spec.name!r} {complaint}")
