"""The figures in plots/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.cbook import STEP_LOOKUP_MAP
from PIL import Image

from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.curves import average_precisions, precision_recall_curves
from actrec_zoo.evaluation.plots import figures_of, plot_evaluation, plot_history, remove_plots
from actrec_zoo.evaluation.predictions import Predictions
from tests.evaluation.page.examples import ODD, minimal_result, some_history, some_predictions, whole_result

FIGURES = {"confusion", "precision_recall", "class_distribution", "calibration", "history"}
LONG = "a long name of something that people do with their "


def figures(predictions: Predictions, **more: Any) -> dict[str, Any]:
    """The figures of predictions, not written."""
    return figures_of(whole_result(predictions), precision_recall_curves(predictions), **more)


def names_beside(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn(folder: Path, labels: tuple[str, ...], *, videos: int = 40) -> Path:
    predictions = some_predictions(labels, videos=videos, failed=1, absent=0)
    plot_evaluation(folder, whole_result(predictions), precision_recall_curves(predictions), some_history())
    return folder


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


@pytest.mark.parametrize("videos", [60, 9000])
def test_the_area_below_a_precision_recall_curve_is_the_average_precision(videos: int) -> None:
    predictions = some_predictions(("a", "b", "c"), videos=videos, failed=5, absent=1)
    lines = figures(predictions)["precision_recall"].axes[0].get_lines()
    expected = [average for average in average_precisions(predictions) if average is not None]
    assert len(lines) == len(expected) == 2
    for line, average in zip(lines, expected, strict=True):
        recall, precision = STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
        assert len(recall) <= 500 and np.diff(recall) @ precision[1:] == pytest.approx(average)


def test_the_confusion_matrix_has_its_shares_and_counts() -> None:
    predictions = some_predictions(("a", "b", "c"), failed=2)
    counts = np.array(whole_result(predictions)["confusion"])
    (axes,) = figures(predictions)["confusion"].axes
    shares = np.asarray(axes.images[0].get_array())
    assert shares == pytest.approx(counts / counts.sum(axis=1, keepdims=True)) and counts[:, -1].sum() == 2
    texts = {tuple(map(round, text.get_position())): int(text.get_text()) for text in axes.texts}
    assert texts == {(column, row): counts[row, column] for row, column in np.argwhere(counts).tolist()}
    assert names_beside(axes.xaxis) == ["a", "b", "c", "(failed)"] and names_beside(axes.yaxis) == ["a", "b", "c"]


def test_bars_are_the_videos_and_the_accuracy_of_each_class() -> None:
    predictions = some_predictions(("a", "b", "c", "d"), absent=2)
    rows = {row["label"]: row for row in whole_result(predictions)["per_class"]}
    videos, accuracy = figures(predictions)["class_distribution"].axes
    names = names_beside(accuracy.xaxis)
    assert set(names) == set(rows) and names[-1] == "c"
    for axes, key in ((videos, "support"), (accuracy, "recall")):
        assert [bar.get_height() for bar in axes.patches] == [rows[name][key] for name in names]
        assert [bar.get_center()[0] for bar in axes.patches] == pytest.approx(range(4))


def test_the_reliability_curve_has_the_bins_that_are_not_empty() -> None:
    predictions = some_predictions()
    bins = [row for row in whole_result(predictions)["calibration"]["bins"] if row["n"]]
    diagonal, curve = figures(predictions)["calibration"].axes[0].get_lines()
    assert curve.get_xydata().tolist() == [[row["confidence"], row["accuracy"]] for row in bins] and len(bins) > 3
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]] and diagonal.get_label() == "calibrated"


@pytest.mark.parametrize("epochs", [1, 3, 12])
def test_curves_of_the_history_have_every_epoch_and_no_halves_of_one(epochs: int) -> None:
    history = some_history(epochs)
    object.__setattr__(history[0], "val_loss", float("nan"))
    figure = figures(some_predictions(), history=history)["history"]
    for axes, name in zip(figure.axes, ("loss", "top1"), strict=True):
        assert axes.get_ylabel() == name
        for line, part in zip(axes.get_lines(), ("train", "val"), strict=True):
            values = [getattr(record, f"{part}_{name}") for record in history]
            assert line.get_label() == part and line.get_xdata().tolist() == list(range(1, epochs + 1))
            assert np.array_equal(line.get_ydata(), values, equal_nan=True)
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_long_names_that_begin_alike_or_cannot_be_printed_stay_apart() -> None:
    labels = (f"{LONG}left hand", f"{LONG}right hand", f"{LONG}or the other hand", f"{LONG}or another hand")
    labels += (f"{LONG}{'-' * 40}", f"{LONG}{'=' * 40}{'-' * 40}", "a\x01", "a\x02", "_b")
    drawn = figures(some_predictions(labels, videos=200, absent=3))
    legend = [text.get_text() for text in drawn["precision_recall"].legends[0].get_texts()]
    ticks = names_beside(drawn["confusion"].axes[0].yaxis)
    assert len(set(ticks)) == len(labels) and legend == [name for place, name in enumerate(ticks) if place != 3]
    assert all(name.startswith(LONG[:15]) for name in ticks[:6]) and ticks[0].endswith("left hand")
    assert max(map(len, ticks)) < 50 and ticks[-1] == "_b" and ticks[-2].startswith("a\ufffd")


def test_long_names_leave_room_for_the_figure() -> None:
    drawn = figures(some_predictions(tuple(f"{LONG}{n}" for n in range(30)), videos=300))
    legend = drawn["precision_recall"].legends[0]
    two = figures(some_predictions((f"{LONG}left hand", f"{LONG}right hand")))
    for figure in (drawn["precision_recall"], two["confusion"], two["class_distribution"]):
        figure.draw_without_rendering()
        for axes in figure.axes:
            assert axes.get_window_extent().height > 0.7 * figure.dpi, "inches"
    assert len(legend.get_texts()) == 30 and legend.get_window_extent().y0 >= 0
    assert two["confusion"].axes[0].get_window_extent().width > figure.dpi


def test_one_class_alone_is_drawn() -> None:
    drawn = figures(some_predictions(("only",), videos=5), history=some_history(1))
    assert len(drawn["precision_recall"].axes[0].get_lines()) == 0
    for figure in drawn.values():
        figure.draw_without_rendering()
