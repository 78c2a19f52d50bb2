"""Training and validation loss over the epochs, a panel a model: Figure 4 of the 2023 study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec_zoo.evaluation.plots import FORMATS, save_figure
from actrec_zoo.runs.record import read_run

_ACROSS = 4
_PANEL = (3.2, 2.5)
_PARTS = {"train_loss": "training (clips)", "val_loss": "validation (videos)"}


def plot_curves(path: Path, results: Mapping[str, Any], folder: Path) -> None:
    """Draw the mean over the seeds of each model that has a run, and the range that they span, as PNG and SVG.

    Args:
        path: of the pictures, without a suffix; none is written where no run is done.
        results: of the study.
        folder: of the study, in which its runs lie.

    Raises:
        RunError: a file cannot be written.
    """
    from matplotlib.figure import Figure

    drawn = [model for model in results["models"] if model["finished"]]
    if not drawn:
        return
    across = min(_ACROSS, len(drawn))
    down = -(-len(drawn) // across)
    figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down + 0.4), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for model, axes in zip(drawn, panels, strict=False):
        histories = [read_run(folder / run["folder"]).history for run in model["runs"] if run["done"]]
        for part, label in _PARTS.items():
            _draw(axes, _losses(histories, part), label)
        axes.set_title(f"{model['name']}, {len(histories)} seed{'s' if len(histories) > 1 else ''}", fontsize=9)
        axes.set(xlabel="epoch", ylabel="loss")
    for axes in panels:  # that are left
        axes.set_axis_off()
    legend = figure.axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper center", ncols=min(across, len(_PARTS)))
    for suffix in FORMATS:
        save_figure(figure, path.with_suffix(f".{suffix}"))


def _losses(histories: Sequence[Sequence[Mapping[str, float]]], part: str) -> NDArray[np.float64]:
    """Losses [seeds, epochs], of the epochs that all seeds have."""
    epochs = min(map(len, histories))
    return np.array([[row.get(part, np.nan) for row in history[:epochs]] for history in histories], dtype=np.float64)


def _draw(axes: Any, losses: NDArray[np.float64], label: str) -> None:
    epochs = np.arange(1, losses.shape[1] + 1)
    (line,) = axes.plot(epochs, losses.mean(axis=0), marker="." if len(epochs) < 2 else "", label=label)
    if len(losses) > 1:
        axes.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=line.get_color(), alpha=0.2, lw=0)
