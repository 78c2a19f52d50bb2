"""What is there to look at beside eval.json: report.html, and every figure of it in plots/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actrec_zoo.evaluation.curves import precision_recall_curves
from actrec_zoo.evaluation.page.gallery import Footage
from actrec_zoo.evaluation.page.render import write_page
from actrec_zoo.evaluation.plots import plot_evaluation, remove_plots
from actrec_zoo.evaluation.predictions import Predictions

PAGE_FILE = "report.html"
PLOTS_FOLDER = "plots"


def write_pictures(
    folder: Path,
    result: Mapping[str, Any],
    predictions: Predictions,
    *,
    history: Sequence[Any] = (),
    footage: Footage | None = None,
) -> None:
    """Write the page and the figures.

    Args:
        folder: of eval.json.
        result: what eval.json holds.
        predictions: of each video.
        history: records of the epochs, where a run was evaluated.
        footage: where the videos are; None where that is not known.

    Raises:
        RunError: a file cannot be written.
    """
    curves = precision_recall_curves(predictions)
    plot_evaluation(folder / PLOTS_FOLDER, result, curves, history)
    write_page(folder / PAGE_FILE, result, predictions, curves, history, footage)


def remove_pictures(folder: Path) -> None:
    """Remove those of an earlier evaluation, whose figures are no longer those of eval.json."""
    (folder / PAGE_FILE).unlink(missing_ok=True)
    remove_plots(folder / PLOTS_FOLDER)
