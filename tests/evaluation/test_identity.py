"""What tells one evaluation from another of the same name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from actrec_zoo.evaluation.identity import file_digest, identity, split_digest, videos_digest

VIDEOS = [("left/a", "left"), ("right/b", "right")]


def test_order_means_nothing_and_classes_do() -> None:
    known = videos_digest(VIDEOS)
    assert videos_digest(reversed(VIDEOS)) == known
    assert videos_digest([("left/a", "left"), ("right/b", "left")]) != known
    assert videos_digest(VIDEOS[:1]) != known


def test_a_split_file_has_the_digest_of_its_videos(tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text("path,label,group\nright/b,right,x\nleft/a,left,\n")
    assert split_digest(file) == videos_digest(VIDEOS)
    file.write_text("path,label,group\nright/b,right,x\n")
    assert split_digest(file) == videos_digest(VIDEOS[1:])  # and not what was read before


def test_data_are_known_by_their_place_from_wherever_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    whole = identity(None, "v", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert identity(None, "v", "data") == whole and whole["weights"] is None
    assert str(tmp_path) not in str(whole) and whole != identity(None, "v", "other")
    hub = identity(None, "v", "hf:org/name")
    monkeypatch.chdir(tmp_path / "data")
    assert identity(None, "v", "hf:org/name") == hub


def test_weights_are_read_again_when_they_are_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    assert file_digest(file) is None
    file.write_bytes(b"one")
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    assert file_digest(file) == hashlib.sha256(b"two").hexdigest()
