"""Pictures of a run, drawn by matplotlib without a display."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actrec_zoo.files import write_atomically


def plot_history(path: Path, history: Sequence[Any]) -> None:
    """Loss and top-1 over the epochs, training and validation, as PNG.

    Args:
        path: of the picture.
        history: records with epoch, train_loss, val_loss, train_top1 and val_top1.

    Raises:
        RunError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    epochs = [record.epoch for record in history]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "top1"), strict=True):
        for part in ("train", "val"):
            axes.plot(epochs, [getattr(record, f"{part}_{name}") for record in history], marker=".", label=part)
        axes.set(xlabel="epoch", ylabel=name)
        axes.legend()
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))


def plot_confusion(path: Path, confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
    """The confusion matrix, rows true and columns predicted, with a last column for failed videos, as PNG.

    Raises:
        RunError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    names = [label.encode("utf-8", "replace").decode() for label in labels]
    side = max(4.0, 0.35 * len(labels) + 2)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(confusion, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(labels) + 1), [*names, "(failed)"], rotation=90, parse_math=False)
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    for row, counts in enumerate(confusion):
        for column, count in enumerate(counts):
            if count:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=7)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
