"""The figures in plots/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.curves import precision_recall_curves
from actrec_zoo.evaluation.plots import plot_evaluation, plot_history, remove_plots
from tests.evaluation.page.examples import ODD, minimal_result, some_history, some_predictions, whole_result

FIGURES = {"confusion", "precision_recall", "class_distribution", "calibration", "history"}


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
