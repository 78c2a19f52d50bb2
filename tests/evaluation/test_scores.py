"""Scores of every clip in a file, and every figure computed anew from it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import actrec_zoo
from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.predictions import COLUMNS, Videos
from actrec_zoo.evaluation.scores import ScoreFile, ScoreSpool
from tests.conftest import Outcome

Invoke = Callable[..., Outcome]
LABELS = ("a", "b", "c")


def spooled(path: Path, logits: torch.Tensor, errors: dict[int, str] | None = None) -> Path:
    """A file with two clips of each of three videos but the last, whose numbers in the manifest are 7, 5 and 2."""
    rows = np.full(8, -1)
    rows[[7, 5, 2]] = 0, 1, 2
    spool = ScoreSpool(rows, 3)
    for part in (slice(2, 4), slice(0, 2)):  # not in their order
        videos, views = torch.tensor([7, 7, 5, 5])[part], torch.tensor([1, 0, 0, 1])[part]
        spool(Batch(torch.empty(2), torch.zeros(2), videos, views), logits[part])
    names = PackedStrings(["a/é", "b/2", "c/\udcff"])
    spool.write(path, Videos(LABELS, names, PackedStrings(["g", "", "g"]), np.array([0, 1, 2])), errors or {}, {"x": 1})
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    logits = torch.randn(4, 3)
    file = ScoreFile.open(spooled(tmp_path / "scores.npz", logits, {2: "cannot decode"}))
    assert file.about == {"x": 1} and file.errors == {2: "cannot decode"}
    assert list(file.videos.names) == ["a/é", "b/2", "c/\udcff"] and list(file.videos.groups) == ["g", "", "g"]
    found = file.predictions(file.evaluator())
    expected = logits.double().softmax(1)
    assert np.allclose(found.probabilities[:2], torch.stack([expected[:2].mean(0), expected[2:].mean(0)]), atol=1e-15)
    assert found.clips.tolist() == [2, 2, 0] and found.predicted[2] == 3


def test_numpy_alone_reads_the_file_in_the_order_of_videos_and_views(tmp_path: Path) -> None:
    logits = torch.randn(4, 3)
    with np.load(spooled(tmp_path / "scores.npz", logits), allow_pickle=False) as file:
        assert file["video"].tolist() == [0, 0, 1, 1] and file["view"].tolist() == [0, 1, 0, 1]
        assert np.array_equal(file["logits"], logits[[1, 0, 2, 3]].numpy())
        assert file["name"][0].decode() == "a/é" and file["labels"].tolist() == [b"a", b"b", b"c"]


def test_clusters_are_groups_or_single_videos() -> None:
    names = PackedStrings("pqrst")
    videos = Videos(LABELS, names, PackedStrings(["x", "", "x", "", "y"]), np.zeros(5, dtype=np.int64))
    clusters = videos.clusters
    assert clusters[0] == clusters[2] and len(set(clusters.tolist())) == 4


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "other"])
def test_a_file_that_holds_no_scores_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.npz"
    if damage == "text":
        path.write_text("no scores")
    elif damage == "cut":
        whole = spooled(path, torch.randn(4, 3)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "other":
        np.savez(path, video=np.arange(3))
    with pytest.raises(RunError, match=r"scores\.npz"):
        ScoreFile.open(path)


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "eval.json").read_text())
    return found


def test_everything_is_computed_anew_from_scores(trained: Path, squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    scores = tmp_path / "scores.npz"
    words = ("eval", trained, "--data", squares, "--split", "all", "--scores", scores)
    first = invoke(*words, "--workers", "0")
    assert first.code == 0, first.err
    again = invoke("eval", "--from-scores", scores, "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert result_of(tmp_path / "again") == result_of(trained)
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()
    with (trained / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    right = sum(row["label"] == row["predicted"] for row in rows) / len(rows)
    assert right == result_of(trained)["video"]["top1"]


def test_scores_go_without_what_made_them(tmp_path: Path, invoke: Invoke) -> None:
    for words, name in ((["run"], "MODEL"), (["--batch-size", "3"], "--batch-size")):
        done = invoke("eval", *words, "--from-scores", tmp_path / "x.npz")
        assert done.code == 2 and f"--from-scores goes without {name}" in done.err


def test_a_model_or_scores_are_needed(invoke: Invoke) -> None:
    done = invoke("eval")
    assert done.code == 2 and "Give MODEL and --data DATA, or --from-scores FILE" in done.err


@pytest.mark.parametrize("protocol", [{"protocol": "report"}, {"views": "3x3"}, {}])
def test_neither_batches_nor_workers_nor_order_change_the_figures(
    trained: Path, squares: Path, tmp_path: Path, protocol: dict[str, str]
) -> None:
    settings = {"split": "all", "device": "cpu", **protocol}
    plain = actrec_zoo.evaluate(trained, squares, out=tmp_path / "a", batch_size=1, workers=0, **settings)  # type: ignore[arg-type]
    other = actrec_zoo.evaluate(trained, squares, out=tmp_path / "b", batch_size=7, workers=2, **settings)  # type: ignore[arg-type]
    for level in ("clip", "video"):
        assert other[level] == pytest.approx(plain[level], rel=1e-6)
    assert other["confusion"] == plain["confusion"]
    listed = tmp_path / "listed.csv"
    rows = [f"{path.relative_to(squares)},{path.parent.name}" for path in sorted(squares.glob("*/*"), reverse=True)]
    listed.write_text("\n".join(["path,label", *(f"{squares}/{row}" for row in rows)]) + "\n")
    turned = actrec_zoo.evaluate(trained, listed, out=tmp_path / "c", batch_size=4, workers=0, **settings)  # type: ignore[arg-type]
    for level in ("clip", "video"):
        assert turned[level] == pytest.approx(plain[level], rel=1e-6)
    assert turned["confusion"] == plain["confusion"]
