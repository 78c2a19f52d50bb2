"""The figures in plots/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actrec_zoo.errors import RunError
from actrec_zoo.evaluation import plots
from actrec_zoo.evaluation.curves import average_precisions, precision_recall_curves
from actrec_zoo.evaluation.plots import plot_evaluation, plot_history, remove_plots
from actrec_zoo.evaluation.predictions import Predictions
from tests.evaluation.page.examples import ODD, minimal_result, some_history, some_predictions, whole_result

FIGURES = {"confusion", "precision_recall", "class_distribution", "calibration", "history"}


def drawn(folder: Path, labels: tuple[str, ...], *, videos: int = 40) -> Path:
    predictions = some_predictions(labels, videos=videos, failed=1, absent=0)
    plot_evaluation(folder, whole_result(predictions), precision_recall_curves(predictions), some_history())
    return folder


def figures_of(
    monkeypatch: pytest.MonkeyPatch, folder: Path, predictions: Predictions, result: dict[str, Any]
) -> dict[str, Any]:
    """The figures of an evaluation by name, as they were when they were saved."""
    found: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: found.setdefault(path.stem, figure))
        plot_evaluation(folder, result, precision_recall_curves(predictions), some_history())
    return found


def area_under(line: Any) -> float:
    """Between a line as it is drawn, steps and all, and the horizontal axis."""
    from matplotlib.path import Path as Outline

    steps = {"steps-pre": 1, "steps-post": 0, "default": None}[line.get_drawstyle()]
    x, y = line.get_xdata(), line.get_ydata()
    if steps is None:
        return float(abs(np.trapezoid(y, x)))
    assert isinstance(line.get_path(), Outline)
    return float(abs((np.diff(x) * (y[1:] if steps else y[:-1])).sum()))


@pytest.mark.parametrize("failed", [0, 9])
def test_the_area_under_a_precision_recall_curve_is_the_average_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: int
) -> None:
    predictions = some_predictions(failed=failed)
    figure = figures_of(monkeypatch, tmp_path, predictions, whole_result(predictions))["precision_recall"]
    areas = [area_under(line) for line in figure.axes[0].lines]
    assert areas == pytest.approx(average_precisions(predictions), abs=1e-12)
    assert min(areas) > 0.2 and max(areas) < 0.99


def test_each_class_has_an_entry_in_the_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = (*("a person opens the door of the car on the " + side for side in ("left", "right", "left side")), "b")
    predictions = some_predictions(labels)
    figure = figures_of(monkeypatch, tmp_path, predictions, whole_result(predictions))["precision_recall"]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(shown)) == len(figure.axes[0].lines) == 4
    assert shown[3] == "b" and all(name.startswith("a person opens") and len(name) < 50 for name in shown[:3])


def test_figures_draw_what_eval_json_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = some_predictions(failed=3, absent=2)
    result = whole_result(predictions)
    figures = figures_of(monkeypatch, tmp_path, predictions, result)
    counts = np.array(result["confusion"])

    confusion = figures["confusion"].axes[0]
    assert np.allclose(confusion.images[0].get_array(), counts / np.maximum(1, counts.sum(axis=1, keepdims=True)))
    written = {text.get_position()[::-1]: int(text.get_text()) for text in confusion.texts}
    assert written == {(row, column): counts[row, column] for row, column in zip(*counts.nonzero(), strict=True)}

    videos, accuracy = figures["class_distribution"].axes
    names = [text.get_text() for text in accuracy.get_xticklabels()]
    rows = {row["label"]: row for row in result["per_class"]}
    assert [bar.get_height() for bar in videos.patches] == [rows[name]["support"] for name in names]
    assert [bar.get_height() for bar in accuracy.patches] == [rows[name]["recall"] for name in names]
    assert [rows[name]["support"] for name in names] == sorted((row["support"] for row in rows.values()), reverse=True)

    (model,) = [line for line in figures["calibration"].axes[0].lines if line.get_label() == "model"]
    bins = [row for row in result["calibration"]["bins"] if row["n"]]
    assert model.get_xydata().tolist() == [[row["confidence"], row["accuracy"]] for row in bins]

    for axes, name in zip(figures["history"].axes, ("loss", "top1"), strict=True):
        for line, part in zip(axes.lines, ("train", "val"), strict=True):
            assert line.get_label() == part
            drawn = [(record.epoch, getattr(record, f"{part}_{name}")) for record in some_history()]
            assert line.get_xydata().tolist() == [list(pair) for pair in drawn]


@pytest.mark.parametrize("labels", [("alone",), ("a", "b")])
def test_one_class_and_two_have_figures(tmp_path: Path, labels: tuple[str, ...]) -> None:
    predictions = some_predictions(labels, videos=5)
    plot_evaluation(tmp_path, whole_result(predictions), precision_recall_curves(predictions), some_history(1))
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.{s}" for n in FIGURES for s in ("png", "svg")}


def test_every_figure_is_there_as_png_and_svg_with_odd_names_as_text(tmp_path: Path) -> None:
    drawn(tmp_path, ODD)
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.{s}" for n in FIGURES for s in ("png", "svg")}
    for name in FIGURES:
        with Image.open(tmp_path / f"{name}.png") as picture:
            picture.load()
            assert picture.width > 300
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        if name in ("confusion", "class_distribution"):
            assert {ODD[0], ODD[2], "日本語"} <= texts
        if name == "precision_recall":  # the first class has no videos
            assert {ODD[2], "日本語"} <= texts and ODD[0] not in texts


def test_the_same_figures_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a", ("x", "y", "z")), drawn(tmp_path / "b", ("x", "y", "z"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_no_place_is_sought_for_a_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that takes a second, as on a busy machine, matplotlib warns, and a warning may be an error."""
    monkeypatch.delattr("matplotlib.legend.Legend._find_best_position")
    drawn(tmp_path, ("x", "y"))


def test_hundreds_of_classes_make_no_giant_pictures(tmp_path: Path) -> None:
    drawn(tmp_path, tuple(f"class {n}" for n in range(300)), videos=900)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as picture:
            assert max(picture.size) < 3000, path.name
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6_000_000


def test_what_is_missing_is_not_drawn_and_what_is_drawn_can_be_removed(tmp_path: Path) -> None:
    predictions = some_predictions()
    plot_evaluation(tmp_path, minimal_result(predictions), precision_recall_curves(predictions))
    assert not list(tmp_path.glob("calibration.*")) and not list(tmp_path.glob("history.*"))
    (tmp_path / "history.png").write_bytes(b"of the run")
    remove_plots(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["history.png"]


def test_a_figure_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file")
    record = SimpleNamespace(epoch=1, train_loss=1.0, val_loss=1.0, train_top1=0.5, val_top1=0.5)
    with pytest.raises(RunError, match=r"history\.png"):
        plot_history(tmp_path / "plots" / "history.png", [record])
