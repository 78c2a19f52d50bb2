"""Figures of a run and of an evaluation, drawn by matplotlib without a display."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actrec_zoo.evaluation.curves import Curve, steps
from actrec_zoo.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("confusion", "precision_recall", "class_distribution", "calibration")
"""Of the figures of an evaluation."""

FORMATS = ("png", "svg")

_MOST_NAMED = 60
"""Classes that are named in a figure; with more of them the names could not be read."""
_LONGEST_NAME = 40
_LETTER = 0.085
"""Width of a letter of a name, inches."""
_LINE = 0.16
"""Height of a line of a legend, inches."""
_MOST_CORNERS = 250
"""Of a curve."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def plot_history(path: Path, history: Sequence[Any]) -> None:
    """Loss and top-1 over the epochs, training and validation, as PNG.

    Args:
        path: of the picture.
        history: records with epoch, train_loss, val_loss, train_top1 and val_top1.

    Raises:
        RunError: the file cannot be written.
    """
    save_figure(_history(history), path)


def plot_evaluation(
    folder: Path, result: Mapping[str, Any], curves: Sequence[Curve | None], history: Sequence[Any] = ()
) -> None:
    """Every figure of an evaluation as PNG and SVG, the same bytes for the same figures.

    Args:
        folder: that they are written to, named as in `NAMES`; `history` where there is one.
        result: what eval.json holds; what it lacks is not drawn.
        curves: precision and recall of each class.
        history: of the run, as for `plot_history`.

    Raises:
        RunError: a file cannot be written.
    """
    for name, figure in figures_of(result, curves, history).items():
        for suffix in FORMATS:
            save_figure(figure, folder / f"{name}.{suffix}")


def figures_of(
    result: Mapping[str, Any], curves: Sequence[Curve | None], history: Sequence[Any] = ()
) -> dict[str, Figure]:
    """The figures of an evaluation by name; arguments are those of `plot_evaluation`."""
    labels = _short_names(result["labels"])
    figures = {
        "confusion": _confusion(result["confusion"], labels),
        "precision_recall": _precision_recall(curves, labels),
        "class_distribution": _class_distribution(result["per_class"], labels),
    }
    if result.get("calibration"):
        figures["calibration"] = _calibration(result["calibration"])
    if history:
        figures["history"] = _history(history)
    return figures


def remove_plots(folder: Path) -> None:
    """Remove the figures of an evaluation."""
    for name in NAMES:
        for suffix in FORMATS:
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def _history(history: Sequence[Any]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = _figure(9, 3.5)
    epochs = [record.epoch for record in history]
    corners = {"loss": "upper right", "top1": "lower right"}  # which curves leave free, as a rule
    for axes, (name, corner) in zip(figure.subplots(1, 2), corners.items(), strict=True):
        for part in ("train", "val"):
            axes.plot(epochs, [getattr(record, f"{part}_{name}") for record in history], marker=".", label=part)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(loc=corner)
    return figure


def _confusion(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Rows true and columns predicted, shaded by the share of the row, with a last column for failed videos."""
    named = len(labels) <= _MOST_NAMED
    side = max(4.0, 0.35 * min(len(labels), _MOST_NAMED) + 1 + _room(labels))
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow([_shares(row) for row in confusion], cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="predicted", ylabel="true")
    if not named:
        return figure
    axes.set_xticks(range(len(labels) + 1), [*labels, "(failed)"], rotation=90, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    for row, counts in enumerate(confusion):
        for column, (count, share) in enumerate(zip(counts, _shares(counts), strict=True)):
            if count:
                color = "white" if share > 0.6 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)
    return figure


def _precision_recall(curves: Sequence[Curve | None], labels: Sequence[str]) -> Figure:
    from matplotlib import colormaps

    lines: dict[str, Any] = {}
    listed = sum(curve is not None for curve in curves) <= _MOST_NAMED // 2
    figure = _figure(7, max(4.5, 0.5 + _LINE * len(curves)) if listed else 4.5)
    axes = figure.subplots()
    for number, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        if curve is not None:
            color = colormaps["turbo"]((number + 0.5) / len(labels))
            precision, recall = steps(curve, _MOST_CORNERS)
            (lines[label],) = axes.plot(recall, precision, drawstyle="steps-pre", linewidth=1, color=color)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    if listed:
        legend = figure.legend(lines.values(), map(str, range(len(lines))), loc="outside right upper", fontsize=7)
        for text, label in zip(legend.get_texts(), lines, strict=True):  # as it is, were it `_a$b$`
            text.set_parse_math(False)
            text.set_text(label)
    return figure


def _class_distribution(per_class: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Figure:
    """Videos of each class, the largest first, above its accuracy."""
    named = len(labels) <= _MOST_NAMED
    order = sorted(range(len(labels)), key=lambda label: -per_class[label]["support"])
    figure = _figure(max(6.0, 0.2 * min(len(labels), _MOST_NAMED)), 3.5 + _room(labels))
    videos, accuracy = figure.subplots(2, 1, sharex=True)
    videos.bar(range(len(order)), [per_class[label]["support"] for label in order], color="tab:gray")
    videos.set(ylabel="videos")
    accuracy.bar(range(len(order)), [per_class[label]["recall"] for label in order])
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    if named:
        accuracy.set_xticks(range(len(order)), [labels[label] for label in order], rotation=90, parse_math=False)
    else:
        accuracy.set(xlabel="classes, the largest first")
    return figure


def _calibration(calibration: Mapping[str, Any]) -> Figure:
    """Accuracy over the confidence of each bin, beside where a calibrated model lies."""
    figure = _figure(4.5, 4.5)
    axes = figure.subplots()
    bins = [row for row in calibration["bins"] if row["n"]]
    axes.plot([0, 1], [0, 1], linestyle="--", color="tab:gray", label="calibrated")
    axes.plot([row["confidence"] for row in bins], [row["accuracy"] for row in bins], marker="o", label="model")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the suffix: SVG with text as text, without dates or random names.

    Raises:
        RunError: the file cannot be written.
    """
    from matplotlib import rc_context

    kind = path.suffix[1:]
    metadata = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "actrec-zoo", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently")  # no font has every sign of every name
        write_atomically(path, lambda file: figure.savefig(file, format=kind, dpi=120, metadata=metadata))


def _shares(counts: Sequence[int]) -> list[float]:
    """Each count as a share of the row."""
    whole = max(1, sum(counts))
    return [count / whole for count in counts]


def _room(labels: Sequence[str]) -> float:
    """Inches that names beside an axis need; none where there are too many to name."""
    return _LETTER * max(map(len, labels)) if len(labels) <= _MOST_NAMED else 0


def _short_names(labels: Sequence[str]) -> list[str]:
    """Names as a figure has room for them, and as XML can hold them; those that then are alike are numbered."""
    names = [_short(label) for label in labels]
    seen = Counter(names)
    return [f"{name} ({number})" if seen[name] > 1 else name for number, name in enumerate(names, 1)]


def _short(label: str) -> str:
    """A name without what cannot be printed; of a long one the middle is left out."""
    name = _UNPRINTABLE.sub("\ufffd", label)
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[1 - half :]}"
