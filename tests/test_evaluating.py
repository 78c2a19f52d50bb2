"""What is said of data that a model is evaluated on: classes that differ, videos it has seen, videos that are lost."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.errors import DataError
from actrec_zoo.evaluation.identity import identity, split_digest
from tests.conftest import Outcome
from tests.evaluation.conftest import TINY

Invoke = Callable[..., Outcome]
ALL: dict[str, Any] = {"split": "all", "workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def run(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch of the tiny CNN on `squares`."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return actrec_zoo.train("tiny_conv3d", squares, out=out, epochs=1, batch_size=4, **TINY).path


@pytest.fixture
def data(squares: Path, tmp_path: Path) -> Path:
    """`squares`, free to change."""
    shutil.copytree(squares, tmp_path / "data")
    return tmp_path / "data"


def label_map(folder: Path, *lines: str) -> Path:
    file = folder / "labels.toml"
    file.write_text("\n".join(["[labels]", *lines]))
    return file


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "eval.json").read_text())
    return found


# Sources


def test_intervals_are_over_the_sources_that_names_tell(run: Path, squares: Path, tmp_path: Path) -> None:
    for folder in (squares / "left", squares / "right"):
        for number, clip in enumerate(sorted(folder.iterdir())):
            name = f"v_{folder.name}_g{1 + number % 5:02}_c{1 + number // 5:02}"
            shutil.copytree(clip, tmp_path / "data" / folder.name / name)
    found = actrec_zoo.evaluate(run, tmp_path / "data", out=tmp_path / "out", **ALL)
    assert (found["intervals"]["units"], found["intervals"]["n_units"]) == ("source groups", 10)


# Classes


def test_classes_that_differ_are_listed_and_a_map_is_the_way_on(
    run: Path, data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (data / "left").rename(data / "port")
    words = ("eval", run, "--data", data, "--split", "all", "--workers", "0", "--out", tmp_path / "result")
    refused = invoke(*words)
    assert refused.code == 2 and "--map-labels FILE" in refused.err
    assert "1 class (port) that the model does not know" in refused.err
    assert "The model knows 1 class (left) without a video" in refused.err
    done = invoke(*words, "--map-labels", label_map(tmp_path, '"port" = "left"'))
    assert done.code == 0, done.err
    result = result_of(tmp_path / "result")
    assert result["label_map"] == {"port": "left", "right": "right"} and result["left_out"] == {}
    assert result["labels"] == ["left", "right"] and result["n_expected"] == 20
    actrec_zoo.evaluate(run, data, map_labels=tmp_path / "labels.toml", out=tmp_path, **ALL)
    assert result_of(tmp_path) == result


def test_figures_are_those_of_data_with_the_models_names(run: Path, squares: Path, data: Path, tmp_path: Path) -> None:
    model = actrec_zoo.load(run, device="cpu")
    (data / "left").rename(data / "starboard")
    (data / "right").rename(data / "port")
    names = label_map(tmp_path, 'starboard = "left"', 'port = "right"')
    mapped = actrec_zoo.evaluate(model, data, map_labels=names, **ALL)
    plain = actrec_zoo.evaluate(model, squares, **ALL)
    assert (mapped["clip"]["n"], mapped["clip"]["top1"]) == (plain["clip"]["n"], plain["clip"]["top1"])
    assert [row["support"] for row in mapped["per_class"]] == [10, 10]


def test_classes_may_be_joined_and_left_out(run: Path, data: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(data / "left", data / "port", ignore=shutil.ignore_patterns("clip[5-9]"))
    (data / "right").rename(data / "noise")
    names = label_map(tmp_path, 'port = "left"', 'noise = ""')
    out = tmp_path / "result"
    words = ("eval", run, "--data", data, "--split", "all", "--workers", "0", "--map-labels", names, "--out", out)
    done = invoke(*words, "--scores", tmp_path / "scores.npz")
    assert done.code == 0, done.err
    result = result_of(out)
    assert "left out by --map-labels, videos of noise: 10" in done.out
    assert result["left_out"] == {"noise": 10} and result["label_map"] == {"left": "left", "port": "left"}
    assert [row["support"] for row in result["per_class"]] == [15, 0]
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"left"} and len(rows) == 15
    invoke("eval", "--from-scores", tmp_path / "scores.npz", "--out", tmp_path / "again")
    assert result_of(tmp_path / "again") == result


def test_an_empty_table_accepts_classes_without_videos(run: Path, data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "right")
    with pytest.raises(DataError, match=r"The model knows 1 class \(right\) without a video in .*an empty table"):
        actrec_zoo.evaluate(run, data, out=tmp_path, **ALL)
    result = actrec_zoo.evaluate(run, data, out=tmp_path, map_labels=label_map(tmp_path), **ALL)
    assert result["n_expected"] == 10 and result["per_class"][1]["support"] == 0


def test_split_files_have_the_classes_of_the_data(run: Path, data: Path, tmp_path: Path) -> None:
    (data / "left").rename(data / "port")
    splits = tmp_path / "splits"
    splits.mkdir()
    rows = [f"{label}/clip{number},{label}" for label in ("port", "right") for number in (1, 2)]
    (splits / "test.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    names = label_map(tmp_path, 'port = "left"')
    settings = ALL | {"split": "test", "splits": splits, "out": tmp_path, "map_labels": names}
    assert actrec_zoo.evaluate(run, data, **settings)["n_expected"] == 4
    label_map(tmp_path, 'port = ""')
    result = actrec_zoo.evaluate(run, data, **settings)
    assert result["n_expected"] == 2 and result["left_out"] == {"port": 2}


def test_a_split_may_lack_a_class_that_the_data_have(run: Path, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("path,label\nleft/clip1,left\n")
    result = actrec_zoo.evaluate(run, squares, splits=tmp_path, out=tmp_path, workers=0, device="cpu")
    assert result["n_expected"] == 1 and "label_map" not in result


def test_a_map_of_the_whole_data_goes_with_some_classes_of_it(run: Path, data: Path, tmp_path: Path) -> None:
    (data / "left").rename(data / "port")
    names = label_map(tmp_path, 'port = "left"', 'right = ""')
    (tmp_path / "classes.txt").write_text("port\n")
    settings = ALL | {"out": tmp_path, "map_labels": names, "classes": tmp_path / "classes.txt"}
    result = actrec_zoo.evaluate(run, data, **settings)
    assert result["label_map"] == {"port": "left"} and result["left_out"] == {}


# Videos


def red(text: str) -> list[str]:
    return re.findall(r"\x1b\[1;31m(.*?)\x1b\[0m", text, re.S)


def test_videos_that_the_run_has_seen_are_told_in_red(
    run: Path, squares: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("eval", run, "--data", squares, "--workers", "0", "--out", tmp_path)
    seen = result_of_split(words, "all", tmp_path, invoke)["protocol"]["seen"]
    plain = invoke(*words, "--split", "all")
    assert f"{seen} of 20 videos are among those that the run trained on" in plain.out and "\x1b" not in plain.out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    (said,) = red(invoke(*words, "--split", "all").out)
    assert said.startswith(f"{seen} of 20 videos are among those that the run trained on")
    test = invoke(*words, "--split", "test")
    assert not red(test.out) and "trained on" not in test.out and "not known" not in test.out


def result_of_split(words: tuple[object, ...], split: str, folder: Path, invoke: Invoke) -> dict[str, Any]:
    assert invoke(*words, "--split", split).code == 0
    return result_of(folder)


def test_where_it_is_not_known_what_a_model_has_seen_that_is_told(
    run: Path, squares: Path, tmp_path: Path, invoke: Invoke
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "splits")
    done = invoke("eval", copy, "--data", squares, "--split", "all", "--workers", "0")
    assert done.code == 0 and "whether the model was trained on these videos is not known" in done.out
    assert result_of(copy)["protocol"]["seen"] is None


def test_coverage_below_one_is_told_in_red(
    run: Path, data: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    for frame in (data / "left" / "clip3").iterdir():
        frame.write_bytes(b"no picture")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    done = invoke("eval", run, "--data", data, "--split", "all", "--workers", "0", "--out", tmp_path)
    assert done.code == 0, done.err
    assert "coverage 0.9500: 1 of 20 videos could not be read, and count as wrong" in " ".join(red(done.out))


# Identity


def test_an_evaluation_says_of_what_it_is(run: Path, data: Path, tmp_path: Path) -> None:
    found = actrec_zoo.evaluate(run, data, out=tmp_path / "out", **ALL | {"split": "test"})["identity"]
    assert found == identity(run / "model.safetensors", split_digest(run / "splits" / "test.csv"), data)
    loaded = actrec_zoo.evaluate(actrec_zoo.load(run), data, **ALL)["identity"]
    assert loaded["weights"] is None and loaded["videos"] != found["videos"] and loaded["place"] == found["place"]
