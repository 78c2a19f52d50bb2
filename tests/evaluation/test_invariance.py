"""Nothing of a result depends on how it was computed: batches, workers, processes, the order of files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actrec_zoo
from tests.training.test_distributed import launched
from tests.training.test_trainer import broken_copy

VARIANTS: list[Any] = [
    (),
    pytest.param(("--protocol", "report"), marks=pytest.mark.slow),
    pytest.param(("--views", "3x1"), marks=pytest.mark.slow),
]


def rounded(value: object) -> object:
    """Numbers to 12 digits: sums over the clips of a video may be made in another order."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def assert_same_scores(one: Path, two: Path) -> None:
    with np.load(one) as first, np.load(two) as second:
        assert set(first) == set(second)
        for name in first:
            assert np.array_equal(first[name], second[name]), name


@pytest.mark.parametrize("words", VARIANTS, ids=lambda words: " ".join(words) or "video")
def test_two_processes_find_what_one_does(squares: Path, trained: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    data = broken_copy(squares, tmp_path / "data", broken=2)
    command = ("-m", "actrec_zoo", "eval", trained, "--data", data, "--split", "all", "--batch-size", 7, "--json")
    asked = (*words, "--corrupt", "all", "--device", "cpu", "--workers", 0)
    settings: dict[str, Any] = dict(zip((word[2:] for word in words[::2]), words[1::2], strict=True))
    settings |= {"split": "all", "batch_size": 7, "corrupt": ["all"], "workers": 0, "device": "cpu"}
    actrec_zoo.evaluate(trained, data, out=tmp_path / "one", scores=tmp_path / "one.npz", **settings)
    done = launched(*command, *asked, "--out", tmp_path / "two", "--scores", tmp_path / "two.npz")
    assert done.returncode == 0, done.stderr
    alone, together = (json.loads((tmp_path / out / "eval.json").read_text()) for out in ("one", "two"))
    assert json.loads(done.stdout) == together, "one process speaks"
    assert together["n_failed"] == 2 and len(together["corruptions"]) == 8
    assert rounded(together) == rounded(alone)
    assert_same_scores(tmp_path / "one.npz", tmp_path / "two.npz")
    tables = [(tmp_path / out / "predictions.csv").read_text() for out in ("one", "two")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"workers": 1}], ids=["batches", "workers"])
def test_neither_batches_nor_workers_change_what_corruptions_cost(
    trained: Path, squares: Path, tmp_path: Path, changes: dict[str, int]
) -> None:
    settings: dict[str, Any] = {"split": "all", "device": "cpu", "corrupt": ["all"], "batch_size": 7, "workers": 0}
    plain = actrec_zoo.evaluate(trained, squares, out=tmp_path / "a", **settings)
    other = actrec_zoo.evaluate(trained, squares, out=tmp_path / "b", **(settings | changes))
    assert_same_losses(plain, other)


def test_the_order_of_files_does_not_change_what_corruptions_cost(trained: Path, squares: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(squares, data)
    settings: dict[str, Any] = {"split": "all", "device": "cpu", "corrupt": ["all"], "batch_size": 7, "workers": 0}
    plain = actrec_zoo.evaluate(trained, data, out=tmp_path / "a", **settings)
    videos = [path.relative_to(data) for path in sorted(data.glob("*/*"), reverse=True)]
    listed = data / "listed.csv"
    listed.write_text("\n".join(["path,label", *(f"{video},{video.parent}" for video in videos)]) + "\n")
    assert_same_losses(plain, actrec_zoo.evaluate(trained, listed, out=tmp_path / "b", **settings))


def assert_same_losses(one: dict[str, Any], two: dict[str, Any]) -> None:
    for first, second in zip(one["corruptions"], two["corruptions"], strict=True):
        for key in ("clip", "video"):
            assert first[key] == pytest.approx(second[key], rel=1e-6)
        assert first["name"] == second["name"] and first["lost_top1"] == pytest.approx(second["lost_top1"])
