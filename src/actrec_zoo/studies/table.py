"""The table of a study: what was measured, beside what others published."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actrec_zoo.spec import as_published

Model = Mapping[str, Any]
COLUMNS = ("model", "top-1", "top-5", "interval of top-1", "seeds", "epochs", "parameters trained", "minutes")
_CSV = (
    *("model", "status", "level", "n", "seeds", "top1", "top1_spread", "top1_low", "top1_high", "top5", "top5_spread"),
    *("epochs", "trained_parameters", "minutes"),
    *("published_top1", "published_top5", "published_dataset", "published_protocol", "published_source"),
)


def as_markdown(results: Mapping[str, Any]) -> str:
    """The table with what has to be known to read it."""
    lines = [f"# {results['title'] or 'Study'}", "", *_about(results), ""]
    rows = [_row(model, results) for model in results["models"]]
    header = (*COLUMNS, *published_columns(results))
    lines += [_line(header), _line(["---", *["---:"] * (len(header) - 1)]), *map(_line, rows), "", *_remarks(results)]
    return "\n".join(lines).rstrip() + "\n"


def as_csv(results: Mapping[str, Any]) -> str:
    """One row a model; ratios 0..1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for model in results["models"]:
        level = headline(model) or {"n": [], "seeds": 0, "top1": {}, "top5": {}}
        low, high = interval(model) or ("", "")
        published = model["published"] or {}
        figures = [level[name].get(key) for name in ("top1", "top5") for key in ("mean", "spread")]
        of_level = (model["name"], status(model), level_name(model), _numbers(level["n"]), level["seeds"])
        trained = (_numbers(model["epochs"]), model["trained_parameters"], _minutes(model))
        theirs = [published.get(key) for key in ("top1", "top5", "dataset", "protocol", "source")]
        writer.writerow(
            "" if v is None else v for v in (*of_level, *figures[:2], low, high, *figures[2:], *trained, *theirs)
        )
    return text.getvalue()


def headline(model: Model) -> Mapping[str, Any] | None:
    """The figures to quote, over the seeds; None where there are none."""
    level: Mapping[str, Any] | None = model[level_name(model)] if model["protocol"] else None
    return level


def level_name(model: Model) -> str:
    """Of the figures to quote: `clip` or `video`; empty where there are none."""
    return str(model["protocol"]["headline"]) if model["protocol"] else ""


def interval(model: Model) -> tuple[float, float] | None:
    """Of top-1, where there is one seed and it was computed."""
    try:
        low, high = model["interval"][level_name(model)]["top1"]
    except (KeyError, TypeError, ValueError):
        return None
    return float(low), float(high)


def status(model: Model) -> str:
    """How many of the runs are done, and whether one failed."""
    failed = sum(run["error"] is not None for run in model["runs"])
    done = f"{model['finished']} of {len(model['runs'])} done"
    return f"{done}, {failed} failed" if failed else done


def cells(model: Model) -> list[str]:
    """Measured figures of a model, percent, in the order of the columns."""
    level = headline(model)
    if level is None:
        return [model["name"], *["-"] * 3, f"{model['finished']} of {len(model['runs'])}", *["-"] * 3]
    bounds = interval(model)
    return [
        model["name"],
        _percent(level["top1"]),
        _percent(level["top5"]),
        "-" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}",
        f"{model['finished']} of {len(model['runs'])}",
        _numbers(model["epochs"]),
        "-" if model["trained_parameters"] is None else f"{model['trained_parameters']:,}",
        "-" if (minutes := _minutes(model)) is None else f"{minutes:.1f}",
    ]


def published_cells(model: Model) -> list[str]:
    """Figures that others published, percent."""
    published = model["published"] or {}
    return ["-" if published.get(key) is None else as_published(published[key]) for key in ("top1", "top5")]


def published_columns(results: Mapping[str, Any]) -> tuple[str, str]:
    """What stands above them: whose they are, and of which data."""
    found = [model["published"] for model in results["models"] if model["published"]]
    names = sorted({published["dataset"] for published in found})
    alike = bool(found) and all(published["same_data"] for published in found)
    where = f"on {', '.join(names)}, " if names else ""
    whose = f"published by others {where}{'their split' if alike else 'other data'}"
    return f"{whose}: top-1", f"{whose}: top-5"


def _row(model: Model, results: Mapping[str, Any]) -> list[str]:
    return [*cells(model), *published_cells(model)]


def _about(results: Mapping[str, Any]) -> Iterator[str]:
    protocol, videos = results["protocol"], results["videos"]
    divided = ", ".join(f"{videos[name]} {name}" for name in ("train", "val", "test") if name in videos)
    yield f"Data: `{results['data']}`, videos: {divided or 'not divided yet'}; one split for all runs, in `splits/`."
    if protocol:
        counts = sorted({n for model in results["models"] if (level := headline(model)) for n in level["n"]})
        yield (
            f"Figures: percent of the {_numbers(counts)} {protocol['headline']}s of the {protocol['split']} split, "
            f"protocol `{protocol['name']}`, {protocol['top5']}; mean ± sample standard deviation over seeds."
        )
    yield "Minutes are of the clock, training and evaluation of all seeds; `-` where those of one are not known."
    several = [f"{name} {', '.join(found)}" for name, found in results["versions"].items() if len(found) > 1]
    if several:
        yield f"Measured with several versions: {'; '.join(several)}."


def _remarks(results: Mapping[str, Any]) -> Iterator[str]:
    sources = {
        f"{published['source']}: {published['dataset']}, {published['protocol']}"
        for model in results["models"]
        if (published := model["published"])
    }
    if sources:
        yield "Published figures are others', measured with their code; they are quoted here, not measured:"
        yield ""
        yield from (f"- {source}" for source in sorted(sources))
        yield ""
    for model in results["models"]:
        for run in model["runs"]:
            if run["error"] is not None:
                yield f"- **`{run['name']}` failed**: {' '.join(run['error'].split())}"
            elif run["done"]:
                yield f"- [`{run['name']}`]({run['folder']}/README.md){_read(run)}"


def _read(run: Mapping[str, Any]) -> str:
    """What has to be said where not all videos could be read."""
    if not run["n_failed"]:
        return ""
    return f": {run['n_failed']} of {run['n_expected']} videos could not be read and count as wrong"


def _percent(figure: Mapping[str, Any]) -> str:
    mean = f"{100 * figure['mean']:.1f}"
    return mean if figure["spread"] is None else f"{mean} ± {100 * figure['spread']:.1f}"


def _minutes(model: Model) -> float | None:
    return None if model["seconds"] is None else round(model["seconds"] / 60, 2)


def _numbers(values: list[int]) -> str:
    """One number, or the least and the greatest."""
    if not values:
        return "-"
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _line(values: Sequence[str]) -> str:
    escaped = [value.replace("|", "\\|") for value in values]
    return f"| {' | '.join(escaped)} |"
