"""`actrec-zoo data pack`, and training and evaluation on what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SMALL, Outcome

FLAGS = (*SMALL, "--epochs", 1, "--device", "cpu", "--workers", 0)


def test_a_run_on_a_raw_pack_is_the_run_on_the_data(
    squares: Path, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    done = invoke("data", "pack", squares, tmp_path / "pack", "--size", "32x32", "--raw", "--workers", 1)
    assert (done.code, done.out) == (0, f"{tmp_path / 'pack'}: 20 videos packed, 0 failed\n")
    weights = []
    for name, data in (("plain", squares), ("packed", tmp_path / "pack")):
        trained = invoke("train", "tiny_conv3d", "--data", data, "--out", tmp_path / name, *FLAGS)
        assert trained.code == 0, trained.err
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        splits = [(tmp_path / name / "splits" / f"{split}.csv").read_text() for split in ("train", "val", "test")]
        weights.append("".join(splits).encode())
    assert weights[:2] == weights[2:]
    results = []
    for data in (squares, tmp_path / "pack"):
        result = invoke("eval", tmp_path / "plain", "--data", data, "--device", "cpu", "--workers", 0, "--json")
        results.append(json.loads(result.out))
    assert results[0]["video"] == results[1]["video"] and results[0]["clip"] == results[1]["clip"]
    asked = [invoke("predict", tmp_path / "plain", d / "left/clip3", "--json") for d in (squares, tmp_path / "pack")]
    one, other = (json.loads(answer.out)[0]["predictions"] for answer in asked)
    assert one == other
    gone = invoke("predict", tmp_path / "plain", tmp_path / "pack" / "left" / "gone")
    assert gone.code == 2 and "there is no video" in gone.err


def test_videos_that_cannot_be_read_are_listed(squares: Path, tmp_path: Path, invoke: Callable[..., Outcome]) -> None:
    rows = [f"{squares}/left/clip0,left", f"{tmp_path}/bad.mp4,right"]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "data.csv").write_text("path,label\n" + "\n".join(rows))
    done = invoke("data", "pack", tmp_path / "data.csv", tmp_path / "pack", "--size", 16, "--workers", 0)
    assert done.code == 1
    assert "1 videos packed, 1 failed" in done.out
    assert len(done.err.splitlines()) == 2 and "bad.mp4" in done.err


@pytest.mark.parametrize("size", ["0", "x", "12x", "1x2x3", "-5", "1.5", "99999"])
def test_a_size_that_is_none_is_refused(
    squares: Path, tmp_path: Path, invoke: Callable[..., Outcome], size: str
) -> None:
    done = invoke("data", "pack", squares, tmp_path / "pack", f"--size={size}")
    assert done.code == 2 and "neither a length" in done.err


def test_what_is_there_is_kept(squares: Path, tmp_path: Path, invoke: Callable[..., Outcome]) -> None:
    done = invoke("data", "pack", squares, tmp_path, "--size", 16)
    assert done.code == 2 and "exists already" in done.err
