"""The class distribution of a data set as a picture, drawn by matplotlib without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actrec_zoo.data.inspection import OVER, RULE, UNDER, ClassCounts, balance
from actrec_zoo.files import write_atomically

_COLOURS = {"over": "tab:orange", "under": "tab:red", "": "tab:blue"}


def plot_classes(path: Path, classes: Sequence[ClassCounts]) -> None:
    """Videos and frames a class as bars, the over-represented and under-represented ones in colours, as PNG.

    Args:
        path: of the picture.
        classes: counts, drawn from the one with the most frames down.

    Raises:
        RunError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    ordered = sorted(classes, key=lambda c: c.frames)
    names = [c.label.encode("utf-8", "replace").decode() for c in ordered]
    figure = Figure(figsize=(10, max(3.0, 0.22 * len(ordered) + 1.5)), layout="constrained")
    figure.suptitle(f"Over- (orange) and under-represented (red): {RULE}", fontsize=9)
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("videos", "frames"), strict=True):
        counts = [getattr(c, kind) for c in ordered]
        kinds = {label: side for side, labels in balance(classes, kind).items() for label in labels}
        axes.barh(range(len(ordered)), counts, color=[_COLOURS[kinds.get(c.label, "")] for c in ordered])
        axes.set_yticks(range(len(ordered)), names, fontsize=7, parse_math=False)
        axes.set(xlabel=f"{kind} a class", ylim=(-0.6, len(ordered) - 0.4))
        for factor in (UNDER, OVER):
            axes.axvline(factor * float(np.median(counts)), color="grey", linestyle=":", linewidth=1)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
