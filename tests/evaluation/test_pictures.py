"""What `eval` leaves to look at."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from tests.conftest import Outcome

FAST: dict[str, Any] = {"workers": 0, "device": "cpu", "split": "all"}


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_run_gets_a_page_with_films_and_curves(trained: Path, squares: Path) -> None:
    result = actrec_zoo.evaluate(trained, squares, **FAST)
    page, data = (trained / "report.html").read_text("utf-8"), data_of(trained / "report.html")
    errors = sum(sum(row) for row in result["confusion"]) - sum(result["confusion"][n][n] for n in range(2))
    assert errors and page.count('src="data:image/webp;base64,') == errors
    assert len(data["videos"]["name"]) == result["video"]["n"] == 20
    assert data["history"]["epoch"] == [1]
    assert str(squares) not in page
    assert "Seen in training:" in page
    for name in ("confusion", "precision_recall", "class_distribution", "history"):
        assert (trained / "plots" / f"{name}.svg").is_file() and (trained / "plots" / f"{name}.png").is_file()


def test_without_a_report_none_is_written_and_an_old_one_goes(
    trained: Path, squares: Path, invoke: Callable[..., Outcome]
) -> None:
    arguments = ("eval", trained, "--data", squares, "--split", "all", "--workers", 0, "--device", "cpu")
    assert invoke(*arguments).code == 0 and (trained / "report.html").is_file()
    assert invoke(*arguments, "--no-report").code == 0
    assert not (trained / "report.html").exists() and (trained / "eval.json").is_file()
    assert [path.stem for path in (trained / "plots").iterdir() if path.stem != "history"] == []


def test_scores_give_the_same_page_without_pictures(trained: Path, squares: Path, tmp_path: Path) -> None:
    actrec_zoo.evaluate(trained, squares, scores=tmp_path / "scores.npz", out=tmp_path / "first", **FAST)
    actrec_zoo.evaluate_scores(tmp_path / "scores.npz", out=tmp_path / "second")
    first, second = (data_of(tmp_path / name / "report.html") for name in ("first", "second"))
    assert {**first, "history": None} == {**second, "history": None}
    page = (tmp_path / "second" / "report.html").read_text("utf-8")
    assert "data:image" not in page and "the scores do not say where the video is" in page
    actrec_zoo.evaluate_scores(tmp_path / "scores.npz", out=tmp_path / "third", report=False)
    assert sorted(path.name for path in (tmp_path / "third").iterdir()) == ["eval.json", "predictions.csv"]


def test_videos_that_cannot_be_read_are_listed(trained: Path, squares: Path, tmp_path: Path) -> None:
    data = shutil.copytree(squares, tmp_path / "squares")
    for frame in (data / "left" / "clip3").iterdir():
        frame.write_bytes(b"no picture")
    result = actrec_zoo.evaluate(trained, data, out=tmp_path / "out", **FAST)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert result["n_failed"] == 1 and "Coverage 95.0 %:" in page and "left/clip3" in page


def test_a_history_that_cannot_be_read_costs_the_curves_alone(
    trained: Path, squares: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (trained / "history.csv").write_text("epoch\nmany\n")
    actrec_zoo.evaluate(trained, squares, **FAST)
    assert data_of(trained / "report.html")["history"]["epoch"] == []
    assert "history.csv" in caplog.text
