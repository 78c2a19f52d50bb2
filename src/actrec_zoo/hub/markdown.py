"""Pieces that every card is made of: the YAML head, sections, tables, and how a value is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from actrec_zoo.hub.reference import PREFIX
from actrec_zoo.spec import InputSpec, WeightsRef

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK = "video-classification"
LIBRARY = "actrec-zoo"
UNKNOWN = "unknown"
"""The Hub's word for a licence that nobody could tell."""

_HUB_LICENSES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "unlicense", "cc0-1.0", "cc-by-4.0"),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", UNKNOWN),
}
"""Licences that the Hub calls by their SPDX identifier in lower case; any other one is `other`, with a name."""

_CODE = re.compile(r"(`[^`]+`)")
_SPECIAL = re.compile(r"([\\`*\[\]~&]|(?<!\w)_|_(?!\w)|^[-+=>#])")


def front_matter(
    name: str,
    *,
    license: str | None,  # noqa: A002 (the Hub's word)
    tags: Sequence[str],
    bases: Sequence[str],
    results: Sequence[EvalResult] = (),
) -> str:
    """The YAML head of a card, as the Hub reads it.

    Args:
        name: of the model, for the model-index.
        license: SPDX identifier, or words.
        tags: besides `action-recognition`.
        bases: repositories of the Hub whose weights the model starts from.
        results: measured ones; without any there is no model-index.
    """
    from huggingface_hub import ModelCardData

    identifier, license_name = _license(license)
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=TASK,
        license=identifier,
        license_name=license_name,
        tags=["action-recognition", *tags],
        base_model=list(bases) or None,
        model_name=name if results else None,
        eval_results=list(results) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def sections(parts: Mapping[str, str]) -> str:
    """Second-level sections with their texts."""
    return "\n".join(f"## {heading}\n\n{text.strip()}\n" for heading, text in parts.items())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose name begins with `>` is right-aligned."""
    rule = ["---:" if column.startswith(">") else "---" for column in columns]
    lines = [[column.removeprefix(">") for column in columns], *([_cell(text) for text in row] for row in rows)]
    return "\n".join(
        [f"| {' | '.join(lines[0])} |", f"|{'|'.join(rule)}|", *(f"| {' | '.join(line)} |" for line in lines[1:])]
    )


def bullets(items: Iterable[str]) -> str:
    """A list, one item a line."""
    return "\n".join(f"- {item}" for item in items)


def written(value: Any) -> str:
    """A setting's value as a card shows it."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case Mapping():
            return ", ".join(f"{key}: {written(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            return ", ".join(map(written, value)) or "none"
        case _:
            return str(value)


def percent(ratio: float) -> str:
    """A ratio as a percentage with two digits, halves rounded up."""
    return str((100 * Decimal(str(ratio))).quantize(Decimal("0.01"), ROUND_HALF_UP))


def plain(text: str) -> str:
    """Words of others in one line, which Markdown and HTML show as they are; `code` stays code."""
    parts = enumerate(_CODE.split(" ".join(text.split())))
    return "".join(part if number % 2 else _escaped(part) for number, part in parts)


def hub_repositories(weights: Iterable[WeightsRef]) -> list[str]:
    """Repositories of the Hub among the sources of weights."""
    return [w.source.removeprefix(PREFIX).partition("@")[0] for w in weights if w.source.startswith(PREFIX)]


def input_table(spec: InputSpec) -> str:
    """All of the preprocessing."""
    rows = [
        ("clip", f"{spec.frames} RGB frames of {spec.size}x{spec.size} pixels: float32[B, 3, T, H, W]"),
        ("clips of a video", _sampling(spec)),
        ("resize", f"{_resize(spec)}, {spec.interpolation}, antialiased where that method allows it"),
        ("crop", "centre"),
        ("values", "0..1, then minus the mean, divided by the standard deviation, by channel"),
        ("mean", written(spec.mean)),
        ("standard deviation", written(spec.std)),
    ]
    return table(("input", "value"), rows)


def _sampling(spec: InputSpec) -> str:
    if spec.sampling == "uniform":
        times = "once" if spec.views == 1 else f"{spec.views} times, each shifted"
        return f"`uniform`: {spec.frames} frames spread over the video, {times}"
    step = "consecutive frames" if spec.stride == 1 else f"frames, {spec.stride} video frames from one to the next"
    if spec.fps is not None:
        step = f"frames, {spec.fps:g} a second"
    return f"`blocks`: runs of {spec.frames} {step}, that do not overlap; a short tail is dropped"


def _resize(spec: InputSpec) -> str:
    match spec.resize:
        case (height, width):
            return f"to {height}x{width} (height x width)"
        case int(side):
            return f"shorter side to {side}"
        case _:
            return f"to {spec.size}x{spec.size}, whatever the proportions"


def _license(license: str | None) -> tuple[str | None, str | None]:  # noqa: A002
    """The licence as the head names it: its identifier on the Hub, and its name where it has none."""
    if not license:
        return None, None
    name = re.sub(r"[^a-z0-9.]+", "-", license.lower()).strip("-")
    return (name, None) if license.lower() in _HUB_LICENSES else ("other", name)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
