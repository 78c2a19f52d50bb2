"""Two evaluations compared: McNemar's test by hand, what both are held to, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.errors import ConfigError, DataError
from actrec_zoo.evaluation.comparison import compare_evaluations, mcnemar
from tests.evaluation.known import write_evaluation


def test_mcnemar_worked_out_by_hand() -> None:
    a = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    b = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    found = mcnemar(a, b)
    assert found == {"both_right": 2, "only_a": 1, "only_b": 5, "both_wrong": 2, "p": found["p"]}
    assert found["p"] == pytest.approx(2 * (1 + 6) / 2**6), "of six coins one shows heads, or none; both sides"
    assert mcnemar(b, a)["p"] == found["p"]
    assert mcnemar(a, a)["p"] == 1
    assert mcnemar(np.repeat(a, 2), ~np.repeat(a, 2))["p"] == pytest.approx(2 * sum(  # 6 of 20
        [1, 20, 190, 1140, 4845, 15504, 38760]) / 2**20)  # fmt: skip


def test_classes_and_videos_that_changed(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", "aaaabbb", "aabbbb-", labels="abc")
    b = write_evaluation(tmp_path / "b", "aaaabbb", "ba-abcb", labels="abc")
    found = compare_evaluations(a / "eval.json", b)
    assert found["n"] == 7
    assert found["top1"] == {
        "a": pytest.approx(4 / 7),
        "b": pytest.approx(4 / 7),
        "difference": 0,
        "interval": found["top1"]["interval"],
    }
    assert found["top1"]["interval"][0] == pytest.approx(-found["top1"]["interval"][1], abs=0.2)
    assert (found["top5"]["a"], found["top5"]["b"]) == (pytest.approx(6 / 7), pytest.approx(6 / 7))
    assert [(row["label"], row["support"], row["a"], row["b"]) for row in found["per_class"]] == [
        ("a", 4, 0.5, 0.5),
        ("b", 3, pytest.approx(2 / 3), pytest.approx(2 / 3)),
    ], "c has no video"
    assert [(row["video"], row["a"], row["b"], row["gained"]) for row in found["changed"]] == [
        ("v0", "a", "b", False),
        ("v3", "b", "a", True),
        ("v5", "b", "c", False),
        ("v6", None, "b", True),
    ]
    assert found["mcnemar"]["only_a"] == found["mcnemar"]["only_b"] == 2 and found["mcnemar"]["p"] == 1
    unread = "/eval.json: 1 of 7 videos could not be read, and count as wrong"
    assert found["warnings"] == [f"{a}{unread}", f"{b}{unread}"] and found["protocol"] == {}


def test_neither_the_order_of_videos_nor_that_of_classes_matters(tmp_path: Path) -> None:
    truth, said = "abcabcabcabc", "abcaaaccbabb"
    a = write_evaluation(tmp_path / "a", truth, "aaabbbcccabc", labels="abc")
    b = write_evaluation(tmp_path / "b", truth, said, labels="abc")
    names = [f"v{i}" for i in reversed(range(12))]
    turned = write_evaluation(tmp_path / "turned", truth[::-1], said[::-1], labels="cab", names=names)
    plain, other = compare_evaluations(a, b), compare_evaluations(a, turned)
    for key in ("top1", "mcnemar", "per_class", "changed", "intervals"):
        assert plain[key] == other[key], key
    assert other["warnings"] == ["the models know other classes, or in another order: top-5 may not mean the same"]


def test_sources_are_drawn_whole(tmp_path: Path) -> None:
    truth, first, second = "a" * 60, "a" * 40 + "b" * 20, "a" * 50 + "b" * 10
    groups = [f"film{i // 10}" for i in range(60)]
    single = compare_evaluations(
        write_evaluation(tmp_path / "a", truth, first), write_evaluation(tmp_path / "b", truth, second)
    )
    whole = compare_evaluations(
        tmp_path / "a", write_evaluation(tmp_path / "c", truth, second, groups=groups)
    )  # one knows the sources
    assert (single["intervals"]["units"], single["intervals"]["n_units"]) == ("videos", 60)
    assert (whole["intervals"]["units"], whole["intervals"]["n_units"]) == ("source groups", 6)
    assert whole["warnings"] == [] and whole["top1"]["difference"] == single["top1"]["difference"]
    widths = [found["top1"]["interval"][1] - found["top1"]["interval"][0] for found in (single, whole)]
    assert widths[1] > 1.5 * widths[0]
    other = write_evaluation(tmp_path / "d", truth, second, groups=["one"] * 30 + ["two"] * 30)
    assert "other sources" in compare_evaluations(tmp_path / "c", other)["warnings"][0]


def test_equal_answers_promise_no_certainty(tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / name, "ab" * 10, "ab" * 10) for name in "xy"]
    low, high = compare_evaluations(*folders)["top1"]["interval"]
    assert low == -high and 0.1 < high < 0.2


def test_other_videos_are_named(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", "aabb", "aabb")
    b = write_evaluation(tmp_path / "b", "aabb", "aabb", names=["v0", "v1", "v2", "w"])
    with pytest.raises(
        DataError, match=r"b/eval\.json lacks 1 video \(v3\) of .*; .*a/eval\.json lacks 1 video \(w\) of"
    ):
        compare_evaluations(a, b)


def test_other_classes_of_videos_are_named(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", "aabb", "aabb")
    b = write_evaluation(tmp_path / "b", "abba", "aabb")
    with pytest.raises(DataError, match=r"other classes for 2 videos \(v1, v3\): 'a' in one and 'b' in the other"):
        compare_evaluations(a, b)


def test_videos_that_a_run_has_seen_are_told(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", "aabb", "aabb", seen=0)
    b = write_evaluation(tmp_path / "b", "aabb", "aaba", seen=3)
    found = compare_evaluations(a, b)
    assert found["warnings"] == [f"{b / 'eval.json'}: its run trained on 3 of 4 videos, or chose its epoch by them"]
    assert found["top5"]["interval"] is None, "top-5 of two classes"


def test_an_evaluation_is_not_compared_with_itself(tmp_path: Path) -> None:
    a = write_evaluation(tmp_path / "a", "ab", "ab")
    with pytest.raises(ConfigError, match="named twice"):
        compare_evaluations(a, a / "eval.json")


def test_no_videos(tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / name, "ab", "ab") for name in "ab"]
    for folder in folders:
        table = folder / "predictions.csv"
        table.write_text(table.read_text().splitlines()[0] + "\n")
        report = folder / "eval.json"
        report.write_text(report.read_text().replace('"n": 2', '"n": 0').replace("1.0", "0.0"))
    with pytest.raises(DataError, match="nothing to compare"):
        compare_evaluations(*folders)
