"""report.html as text: whole, escaped, bounded, and without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.curves import precision_recall_curves
from actrec_zoo.evaluation.page import content
from actrec_zoo.evaluation.page.render import write_page
from actrec_zoo.evaluation.predictions import Predictions
from tests.evaluation.page.examples import ODD, minimal_result, some_history, some_predictions, whole_result

VOID = {"meta", "img", "br", "rect"}


class Page(HTMLParser):
    """Elements and text of a page; an element that is not closed is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(next(text for text in self.texts if text.startswith('{"labels"')))
        return found


def written(path: Path, predictions: Predictions, result: dict[str, Any], history: Sequence[Any] = ()) -> str:
    write_page(path, result, predictions, precision_recall_curves(predictions), history)
    return path.read_text(encoding="utf-8")


def test_every_part_is_there_and_nothing_is_left_open(tmp_path: Path) -> None:
    predictions = some_predictions(failed=2)
    page = Page(written(tmp_path / "report.html", predictions, whole_result(predictions), some_history()))
    sections = [str(attributes["id"]) for tag, attributes in page.tags if tag == "section"]
    first = ["figures", "confusion", "classes", "precision-recall", "calibration", "training", "corruptions"]
    assert sections == [*first, "errors", "failures", "labels", "protocol"]
    assert len(page.ids) == len(set(page.ids))
    text = " ".join(" ".join(page.texts).split())
    for expected in ("40.0 to 80.0 %", "2000 resamples of 7 source groups", "Seen in training:", "Coverage 96.7 %:"):
        assert expected in text, expected


def test_what_eval_json_lacks_is_left_out(tmp_path: Path) -> None:
    predictions = some_predictions()
    result = minimal_result(predictions)
    page = Page(written(tmp_path / "report.html", predictions, result))
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sections == ["figures", "confusion", "classes", "precision-recall", "errors", "protocol"]
    assert "Seen in training:" not in page.texts and "alert" not in [
        attributes.get("role") for _, attributes in page.tags
    ]
    nothing = {"calibration": None, "intervals": None, "mean_average_precision": None, "confused": None}
    Page(written(tmp_path / "report.html", predictions, {**whole_result(predictions), **nothing}))


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    names = [f"{n}</script><img src=x onerror=alert(1)>\"'&\udcff\u202e.avi" for n in range(60)]
    predictions = some_predictions(ODD, names=names, failed=1)
    html = written(tmp_path / "report.html", predictions, whole_result(predictions))
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not [tag for tag, attributes in page.tags if tag == "img" or any(name[:2] == "on" for name in attributes)]
    assert page.data["labels"] == list(ODD)
    assert {name.replace("?", "\udcff") for name in page.data["videos"]["name"]} == set(names)


def test_nothing_comes_from_elsewhere_and_only_the_own_script_runs(tmp_path: Path) -> None:
    predictions = some_predictions()
    html = written(tmp_path / "report.html", predictions, whole_result(predictions), some_history())
    for target in re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?([^"')\s>]+)""", html):
        assert target.startswith(("data:", "#")), target
    assert "@import" not in html and " style=" not in html and re.search(r"\son\w+=", html) is None
    policy = next(a["content"] for t, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for kind in ("script", "style"):
        text = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.S)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_four_hundred_classes_and_many_videos_are_a_few_megabytes(tmp_path: Path) -> None:
    labels = tuple(f"class number {n:03} with a longish name" for n in range(400))
    predictions = some_predictions(labels, videos=40_000, failed=1000)
    html = written(tmp_path / "report.html", predictions, minimal_result(predictions), some_history(3000))
    assert len(html) < 4_000_000
    data = Page(html).data
    assert len(data["videos"]["name"]) == content.MOST_VIDEOS
    assert len(data["history"]["epoch"]) == content.MOST_EPOCHS
    wrong = np.array(data["videos"]["truth"]) != np.array(data["videos"]["predicted"])
    confidence = np.array(data["videos"]["pPredicted"], dtype=float)
    assert wrong.all() and (np.diff(confidence) <= 0).all()


def test_long_names_and_errors_are_bounded_too(tmp_path: Path) -> None:
    names = [f"{n}{'x' * 4000}" for n in range(3000)]
    predictions = some_predictions(videos=3000, failed=2000, names=names)
    html = written(tmp_path / "report.html", predictions, whole_result(predictions))
    assert len(html) < 2_500_000 and "The first 200 of 2000" in html


def test_numbers_that_are_none_are_none_in_the_script(tmp_path: Path) -> None:
    predictions = some_predictions(absent=1)
    history = some_history(3)
    object.__setattr__(history[1], "val_loss", float("nan"))
    data = Page(written(tmp_path / "report.html", predictions, minimal_result(predictions), history)).data
    assert data["history"]["val_loss"][1] is None
    assert data["curves"][1] is None and data["support"][1] == 0


def test_a_coverage_below_one_is_never_rounded_to_all(tmp_path: Path) -> None:
    predictions = some_predictions()
    counts = {"n_expected": 100_000, "n_used": 99_999, "n_failed": 1}
    html = written(tmp_path / "report.html", predictions, {**minimal_result(predictions), **counts})
    assert "Coverage 99.9 %:" in html


def test_numbers_that_are_none_are_a_dash_in_the_tables(tmp_path: Path) -> None:
    predictions, history = some_predictions(), some_history(3)
    object.__setattr__(history[1], "val_loss", float("nan"))
    object.__setattr__(history[1], "val_top1", None)
    html = written(tmp_path / "report.html", predictions, minimal_result(predictions), history)
    epochs = re.findall(r'<th scope="row">2</th>(.*?)</tr>', html)[0]
    assert re.findall(r">([^<]+)</td>", epochs) == ["1.000", "–", "50.0 %", "–"]


def test_videos_of_one_class_have_no_curve(tmp_path: Path) -> None:
    predictions = some_predictions(("only",), videos=5)
    page = Page(written(tmp_path / "report.html", predictions, minimal_result(predictions)))
    assert any("There is no curve" in text for text in page.texts) and "curve-class" not in page.ids


def test_nothing_read_at_all(tmp_path: Path) -> None:
    predictions = some_predictions(videos=3, failed=3)
    html = written(tmp_path / "report.html", predictions, minimal_result(predictions))
    assert "There are none among the videos that could be read." in html


def test_a_page_that_cannot_be_written_leaves_the_old_one(small_disk: Path) -> None:
    path = small_disk / "report.html"
    path.write_text("old")
    (small_disk / "filler").write_bytes(bytes(380 * 1024))
    with pytest.raises(RunError, match=r"report\.html"):
        written(path, some_predictions(), minimal_result(some_predictions()))
    assert path.read_text() == "old" and {file.name for file in small_disk.iterdir()} == {"report.html", "filler"}
