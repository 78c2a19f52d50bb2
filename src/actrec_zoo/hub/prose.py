"""The part of a model card that a person writes: one Markdown file an architecture, in sections of a fixed shape."""

import re
from collections.abc import Mapping
from importlib.resources import files

from actrec_zoo.errors import PluginError
from actrec_zoo.spec import ModelSpec

SECTIONS = ("Architecture", "Origin", "Intended use", "Limits", "Citation")
"""Second-level headings of the file: each is there once and says something, in any order."""

_HEADING = re.compile(r"## +(.+?) *$")
_FENCE = re.compile(r" {0,3}(`{3,}(?!.*`)|~{3,})(.*)")
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
    before, *parts = _parts(text.replace("\r\n", "\n"))
    if before[1]:
        raise _unfit(spec, "begins with text that is in no section")
    _check_headings(spec, [heading for heading, _ in parts])
    found = dict(parts)
    for heading in SECTIONS:
        if not found.get(heading):
            raise _unfit(spec, f"has {'an empty' if heading in found else 'no'} section '## {heading}'")
    if not _BIBTEX.search(found["Citation"]):
        raise _unfit(spec, "has no BibTeX in '## Citation': put it between ```bibtex and ```")
    return {heading: found[heading] for heading in SECTIONS}


def _parts(text: str) -> list[tuple[str, str]]:
    """Headings and their texts, beginning with what is before the first one; code has no headings."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    fence = ""
    for line in text.split("\n"):
        heading = None if fence else _HEADING.match(line)
        if heading:
            parts.append((heading[1], []))
            continue
        parts[-1][1].append(line)
        fence = _fence_after(line, fence)
    return [(heading, "\n".join(lines).strip()) for heading, lines in parts]


def _fence_after(line: str, fence: str) -> str:
    """The fence of the code that the next line is in; closing takes at least as many of the same sign, and no more."""
    found = _FENCE.match(line)
    if not found:
        return fence
    if not fence:
        return found[1]
    return "" if found[1].startswith(fence) and not found[2].strip() else fence


def _read(spec: ModelSpec) -> str:
    package, _, file = spec.card.partition(":")
    if not package or not file:
        raise PluginError(f"card {spec.card!r} of model {spec.name!r} is not of the form 'package:file'")
    if ".." in re.split(r"[/\\]", file) or file[0] in "/\\" or ":" in file:
        raise _unfit(spec, "is outside its package: name a file in it, such as 'package:card.md'")
    try:
        return files(package).joinpath(file).read_text(encoding="utf-8")
    except Exception as error:  # a plugin's package may raise anything on import
        shown = " ".join(str(error).split()) or type(error).__name__
        raise _unfit(spec, f"cannot be read: {shown}") from error


def _check_headings(spec: ModelSpec, headings: list[str]) -> None:
    for heading in headings:
        if heading not in SECTIONS:
            raise _unfit(spec, f"has a section '## {heading}' that is none of {', '.join(SECTIONS)}")
        if headings.count(heading) > 1:
            raise _unfit(spec, f"has more than one section '## {heading}'")


def _unfit(spec: ModelSpec, complaint: str) -> PluginError:
    return PluginError(f"card {spec.card} of model {spec.name!r} {complaint}")
