"""Scores of every clip in a file, and every figure computed anew from it."""

from __future__ import annotations

import csv
import json
import zipfile
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
from actrec_zoo.evaluating import evaluate_scores
from actrec_zoo.evaluation.predictions import COLUMNS, Videos
from actrec_zoo.evaluation.scores import ScoreFile, ScoreSpool
from tests.conftest import Outcome

Invoke = Callable[..., Outcome]
LABELS = ("a", "b", "c")
ABOUT: dict[str, Any] = {
    "model": "m",
    "protocol": {"data": "d", "split": "all", "seen": None, "headline": "video", "clip": "", "video": "", "top5": ""},
    "versions": {},
    "more": 1,
}


def spooled(path: Path, logits: torch.Tensor, errors: dict[int, str] | None = None) -> Path:
    """A file with two clips of each of three videos but the last, whose numbers in the manifest are 7, 5 and 2."""
    rows = np.full(8, -1)
    rows[[7, 5, 2]] = 0, 1, 2
    spool = ScoreSpool(rows, 3)
    for part in (slice(2, 4), slice(0, 2)):  # not in their order
        videos, views = torch.tensor([7, 7, 5, 5])[part], torch.tensor([1, 0, 0, 1])[part]
        spool(Batch(torch.empty(2), torch.zeros(2), videos, views), logits[part])
    names = PackedStrings(["a/é", "b/2", "c/\udcff"])
    spool.write(path, Videos(LABELS, names, PackedStrings(["g", "", "g"]), np.array([0, 1, 2])), errors or {}, ABOUT)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    logits = torch.randn(4, 3)
    file = ScoreFile.open(spooled(tmp_path / "scores.npz", logits, {2: "cannot decode"}))
    assert file.about == ABOUT and file.errors == {2: "cannot decode"}
    assert list(file.videos.names) == ["a/é", "b/2", "c/\udcff"] and list(file.videos.groups) == ["g", "", "g"]
    found = file.evaluator().predictions(file.videos)
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


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "text", "cut", "array", "other"])
def test_a_file_that_holds_no_scores_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.npz"
    if damage == "folder":
        path.mkdir()
    elif damage == "empty":
        path.touch()
    elif damage == "text":
        path.write_text("no scores")
    elif damage == "cut":
        whole = spooled(path, torch.randn(4, 3)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    elif damage == "other":
        np.savez(path, video=np.arange(3))
    with pytest.raises(RunError, match=r"scores\.npz"):
        ScoreFile.open(path)


CHANGES: dict[str, dict[str, Any]] = {
    "fewer names": {"name": np.array([b"x"])},
    "a class too many": {"label": np.array([0, 1, 3])},
    "a negative class": {"label": np.array([0, 1, -1])},
    "labels that are numbers": {"label": np.array([b"x", b"y", b"z"])},
    "a video too many": {"video": np.array([0, 0, 1, 3])},
    "a negative video": {"video": np.array([0, 0, 1, -1])},
    "an enormous view": {"view": np.array([0, 1, 0, 1 << 60])},
    "a view too few": {"view": np.array([0, 1, 0])},
    "scores of other numbers": {"logits": np.zeros((4, 3), dtype=np.int64)},
    "scores of fewer classes": {"logits": np.zeros((4, 2), dtype=np.float32)},
    "errors that are a number": {"errors": np.array(b"3")},
    "an error of no video": {"errors": np.array(b'{"9": "x"}')},
    "about that is no JSON": {"about": np.array(b"{")},
    "about that nests": {"about": np.array(b"[" * 100_000)},
    "about of nothing": {"about": np.array(b"{}")},
    "about without a headline": {"about": np.array(json.dumps({**ABOUT, "protocol": {}}).encode())},
    "about of another headline": {
        "about": np.array(json.dumps({**ABOUT, "protocol": {**ABOUT["protocol"], "headline": "x"}}).encode())
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_do_not_go_together_are_refused(tmp_path: Path, change: str) -> None:
    with np.load(spooled(tmp_path / "good.npz", torch.randn(4, 3))) as file:
        arrays = {**file, **CHANGES[change]}
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(RunError, match=r"changed\.npz is not what `actrec-zoo eval --scores` writes"):
        evaluate_scores(tmp_path / "changed.npz", out=tmp_path / "out", report=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, compression: int) -> None:
    with zipfile.ZipFile(tmp_path / "packed.npz", "w", compression) as packed:
        with zipfile.ZipFile(spooled(tmp_path / "good.npz", torch.randn(4, 3))) as good:
            for name in good.namelist():
                packed.writestr(name, good.read(name))
        first = packed.getinfo("video.npy")
    data = bytearray((tmp_path / "packed.npz").read_bytes())
    start = first.header_offset + 30 + len("video.npy")
    data[start : start + 20] = bytes(range(100, 120))
    (tmp_path / "packed.npz").write_bytes(data)
    with pytest.raises(RunError, match=r"packed\.npz"):
        evaluate_scores(tmp_path / "packed.npz", out=tmp_path / "out", report=False)


def test_videos_without_numbers_fail_from_scores_too(tmp_path: Path) -> None:
    logits = torch.randn(4, 3)
    logits[1, 2] = torch.nan
    result = evaluate_scores(spooled(tmp_path / "scores.npz", logits, {2: "cut"}), out=tmp_path / "out", report=False)
    assert result["n_used"] == 1 and [f["path"] for f in result["failures"]] == ["a/é", "c/\udcff"]


@pytest.mark.parametrize(
    ("name", "message"), [("scores.parquet", "scores.npz"), ("scores", "scores.npz"), ("folder.npz", "is a folder")]
)
def test_a_file_that_scores_cannot_go_to_is_told_before_anything_is_done(
    tmp_path: Path, invoke: Invoke, name: str, message: str
) -> None:
    (tmp_path / "folder.npz").mkdir()
    done = invoke("eval", "no-such-model", "--data", tmp_path, "--scores", tmp_path / name)
    assert done.code == 2 and message in done.err and "no-such-model" not in done.err


def test_a_full_disk_of_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(RunError, match="TMPDIR"):
        ScoreSpool(np.arange(3), 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda: full)
        with pytest.raises(RunError, match="No space left on device"):
            spooled(tmp_path / "scores.npz", torch.randn(4, 3))
    assert not (tmp_path / "scores.npz").exists()


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


@pytest.mark.parametrize("protocol", [{"protocol": "report"}, {"views": "3x1"}, {}])
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
