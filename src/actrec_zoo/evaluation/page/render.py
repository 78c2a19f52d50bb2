"""Writes report.html: a template, and the script and styles that go into it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader

from actrec_zoo.evaluation.curves import Curve
from actrec_zoo.evaluation.page.content import MOST_EPOCHS, script_data, thinned
from actrec_zoo.evaluation.page.gallery import FRAMES, HEIGHT, WIDTH, Film, Footage, by_interest, films
from actrec_zoo.evaluation.predictions import Predictions
from actrec_zoo.files import write_text

MOST_FAILURES = 200
_LONGEST_ERROR = 500
_PACKAGE = "actrec_zoo.evaluation.page"
_SCRIPTS = ("charts.js", "videos.js", "matrix.js", "tables.js")
_STYLE = "page.css"


def write_page(
    path: Path,
    result: Mapping[str, Any],
    predictions: Predictions,
    curves: Sequence[Curve | None],
    history: Sequence[Any] = (),
    footage: Footage | None = None,
) -> None:
    """Write an evaluation as one HTML file that needs no network and no other file.

    Args:
        path: of the file.
        result: what eval.json holds; what it lacks is left out.
        predictions: of each video.
        curves: precision and recall of each class.
        history: records of the epochs, where a run was evaluated.
        footage: where the videos are; None where that is not known.

    Raises:
        RunError: the file cannot be written.
    """
    script, style = "".join(map(_asset, _SCRIPTS)), _asset(_STYLE)
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            headline=result.get("protocol", {}).get("headline", "video"),
            films=[_shown(film, predictions) for film in films(predictions, footage)],
            n_errors=int((predictions.used & (predictions.predicted != predictions.truth)).sum()),
            failures=result.get("failures", [])[:MOST_FAILURES],
            history=[vars(record) for record in thinned(history, MOST_EPOCHS)],
            data=script_data(result, predictions, curves, history, by_interest(predictions)),
            script=script,
            style=style,
            sources={"script": _hash(script), "style": _hash(style)},
            frame_size=(WIDTH, HEIGHT, FRAMES),
        )
    )
    write_text(path, html.encode("utf-8", "replace").decode())


def _shown(film: Film, predictions: Predictions) -> dict[str, Any]:
    """What the gallery says of a video."""
    place, labels = film.place, predictions.labels
    truth, predicted = int(predictions.truth[place]), int(predictions.predicted[place])
    return {
        "name": predictions.videos.names[place],
        "truth": labels[truth],
        "predicted": labels[predicted],
        "p_truth": predictions.probabilities[place, truth],
        "p_predicted": predictions.probabilities[place, predicted],
        "strip": base64.b64encode(film.strip).decode() if film.strip else "",
        "missing": film.missing,
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "figure": _figure, "interval": _interval, "cut": _cut, "json": _json}
    environment.filters["share_below_one"] = _share_below_one
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    return environment


def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a Content-Security-Policy names the one script, or style, that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _percent(ratio: Any) -> str:
    return f"{100 * ratio:.1f} %" if _is_number(ratio) else "–"


def _share_below_one(ratio: float) -> str:
    """A share, which is not rounded to all."""
    return _percent(min(ratio, 0.999))


def _figure(value: Any) -> str:
    return f"{value:.3f}" if _is_number(value) else "–"


def _interval(bounds: Any) -> str:
    """An interval of a ratio; empty where there is none."""
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %" if bounds else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
