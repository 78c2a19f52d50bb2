"""Damaged, odd and hostile files: each gives the right pixels or a DataError that names it, soon, in little memory."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from actrec_zoo.data.decode import count_frames, open_source
from actrec_zoo.data.extraction import extract_frames
from actrec_zoo.data.headers import read_header
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.errors import DataError
from tests.conftest import Frames, numbered_frames, write_video
from tests.data.faults import BAD_IMAGES, BAD_VIDEOS, ODD_IMAGES, ODD_VIDEOS, PICTURE, jpeg, turned
from tests.watching import MEMORY, watched

NOBODY = 65534


def read(path: Path, number: int = 0) -> Frames:
    frames = open_source(path).read(np.array([number]))
    return np.ascontiguousarray(frames[0].permute(1, 2, 0).numpy())


def folder_with(tmp_path: Path, data: bytes, name: str = "1.jpg") -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_named(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, BAD_IMAGES[name])
    kind, message = watched(lambda: read(folder))
    assert kind is DataError, message
    assert str(folder / "1.jpg") in message and "\n" not in message


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_the_header_of_a_bad_image_is_of_no_harm(tmp_path: Path, name: str) -> None:
    header = watched(lambda: read_header(folder_with(tmp_path, BAD_IMAGES[name])))
    assert header is None if "enormous" in name else header in (None, (32, 24, 0))


def test_an_image_of_too_many_bytes_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, jpeg())
    os.truncate(tmp_path / "1.jpg", 1 << 34)
    kind, message = watched(lambda: read(folder))
    assert kind is DataError and "1.jpg: 17179869184 bytes are too many" in message


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_damaged_exif_data_hides_no_image(tmp_path: Path, cut: int) -> None:
    data = bytearray(turned(6))
    place = data.index(b"Exif") + 6
    data[place + 4 : place + 4 + cut] = bytes([cut]) * cut
    outcome = watched(lambda: read(folder_with(tmp_path, bytes(data))))
    assert isinstance(outcome, np.ndarray) or outcome[0] is DataError, outcome


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_an_odd_image_gives_its_pixels(tmp_path: Path, name: str) -> None:
    pixels = watched(lambda: read(folder_with(tmp_path, ODD_IMAGES[name])))
    assert isinstance(pixels, np.ndarray), pixels
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).max() <= (8 if name == "palette" else 4)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (2, PICTURE[:, ::-1]),
        (3, PICTURE[::-1, ::-1]),
        (6, np.rot90(PICTURE, -1)),
        (8, np.rot90(PICTURE)),
    ],
)
def test_an_image_is_turned_as_its_exif_data_says(tmp_path: Path, orientation: int, shown: Frames) -> None:
    pixels = read(folder_with(tmp_path, turned(orientation)))
    assert pixels.shape == shown.shape
    assert np.abs(pixels.astype(int) - shown).max() <= 4


def test_an_image_of_one_pixel(tmp_path: Path) -> None:
    pixels = read(folder_with(tmp_path, jpeg(np.full((1, 1, 3), 90, np.uint8))))
    assert pixels.tolist() == [[[90, 90, 90]]]


@pytest.mark.parametrize("name", BAD_VIDEOS)
@pytest.mark.parametrize("use", [read, count_frames])
def test_a_bad_video_is_named(tmp_path: Path, name: str, use: Callable[[Path], object]) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(BAD_VIDEOS[name](path))
    outcome = watched(lambda: use(path))
    if name == "enormous frames" and use is count_frames:
        assert outcome == 1  # nothing is decoded to count
        return
    kind, message = outcome
    assert kind is DataError, message
    assert str(path) in message and "\n" not in message


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_a_bad_video_is_named_by_what_reads_it_otherwise(tmp_path: Path, name: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(BAD_VIDEOS[name](path))
    done = watched(lambda: extract_frames(path, tmp_path / "out"))
    (message,) = done.failures.values()
    assert str(path) in message and "\n" not in message
    assert list((tmp_path / "out").glob("*")) == []
    assert watched(lambda: read_header(path)) in (None, (32, 32, 25))


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_an_odd_video_gives_its_pixels(tmp_path: Path, name: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(ODD_VIDEOS[name](path))
    assert watched(lambda: count_frames(path)) == 12
    for number in (11, 3):
        pixels = watched(lambda number=number: read(path, number))
        assert isinstance(pixels, np.ndarray), pixels
        assert abs(pixels.mean() - 8 * number) < 4


@pytest.mark.parametrize(
    "name", ["with spaces", "naïve 動画 🎬", "new\nline", "percent%20d", "file:x", "-dash", "a'b\"c"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / f"{name}.mp4", numbered_frames(12))
    assert count_frames(path) == 12
    assert abs(read(path, 7).mean() - 56) < 4
    (tmp_path / name).mkdir()
    assert read(folder_with(tmp_path / name, jpeg(), f"{name}.jpg")).shape == PICTURE.shape


def test_a_name_with_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "http:v.mp4", numbered_frames(12))
    monkeypatch.chdir(tmp_path)
    assert count_frames(Path("http:v.mp4")) == 12
    assert abs(read(Path("http:v.mp4"), 7).mean() - 56) < 4


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_file_that_disappears_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "image":
        path, file = folder_with(tmp_path, jpeg()), tmp_path / "1.jpg"
    else:
        path = file = write_video(tmp_path / "v.mp4", numbered_frames(12))
    source = open_source(path)
    file.unlink()
    with pytest.raises(DataError, match=str(file)):
        source.read(np.array([0]))


@pytest.mark.parametrize("kind", ["image", "folder", "video", "video in a folder"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, kind: str) -> None:
    if os.geteuid():
        pytest.skip("needs another user to be")
    for parent in itertools.takewhile(Path(tempfile.gettempdir()).__ne__, (tmp_path, *tmp_path.parents)):
        parent.chmod(0o755)
    (tmp_path / "d").mkdir()
    if kind in ("image", "folder"):
        path = folder_with(tmp_path / "d", jpeg())
    else:
        path = write_video(tmp_path / "d" / "v.mp4", numbered_frames(3))
    locked = {"image": path / "1.jpg", "video": path}.get(kind, tmp_path / "d")
    locked.chmod(0)
    for use in (read, count_frames):
        if (kind, use) == ("image", count_frames):
            continue
        outcome = watched(lambda use=use: use(path), user=NOBODY)
        assert isinstance(outcome, tuple), outcome
        assert outcome[0] is DataError, outcome
        assert str(path) in outcome[1]


def test_a_pipe_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    for name in ("1.jpg", "v.mp4"):
        os.mkfifo(tmp_path / name)
    for path, name in ((tmp_path, "1.jpg"), (tmp_path / "v.mp4", "v.mp4")):
        kind, message = watched(lambda path=path: read(path))
        assert kind is DataError and name in message
        assert watched(lambda path=path: read_header(path)) is None
    kind, message = watched(lambda: count_frames(tmp_path / "v.mp4"))
    assert kind is DataError and "v.mp4: it is no regular file" in message


def test_the_limit_of_memory_holds() -> None:
    kind, _ = watched(lambda: torch.zeros(2 * MEMORY, dtype=torch.uint8).sum().item())
    assert kind is not int


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A class of two videos, among links that lead up, to themselves, round in a ring, nowhere, and to a device."""
    data = tmp_path / "data"
    for name in ("jump/a.mp4", "jump/more/b.mp4"):
        write_video(data / name, numbered_frames(12))
    for link, target in {
        "jump/up": "..",
        "jump/here": ".",
        "jump/itself": "itself",
        "jump/itself.mp4": "itself.mp4",
        "jump/more/ring": "../../ring",
        "ring/more": "../jump/more",
        "jump/nowhere.mp4": "gone.mp4",
        "jump/zero.mp4": "/dev/zero",
    }.items():
        (data / link).parent.mkdir(exist_ok=True)
        (data / link).symlink_to(target)
    return data


def test_links_that_lead_round_are_followed_once(linked: Path) -> None:
    bad = ["itself.mp4", "nowhere.mp4", "zero.mp4"]
    manifest = probe(read_manifest(linked))
    assert [manifest.paths[i] for i in manifest.errors] == [f"jump/{name}" for name in bad]
    assert all(str(manifest.path(i)) in error for i, error in manifest.errors.items())
    assert dict(zip(manifest.paths, manifest.frames.tolist(), strict=True))["jump/a.mp4"] == 12
    (linked / "train.txt").write_text("a.mp4 jump\njump/more/b.mp4 jump\n")
    assert list(read_manifest(linked, layout="list").paths) == ["jump/a.mp4", "jump/more/b.mp4"]


def test_links_that_lead_round_are_extracted_once(linked: Path, tmp_path: Path) -> None:
    done = watched(lambda: extract_frames(linked, tmp_path / "out"))
    names = sorted(str(Path(path).relative_to(linked)) for path in done.failures)
    assert names == ["jump/itself.mp4", "jump/nowhere.mp4", "jump/zero.mp4"]
    written = {str(file.parent.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.jpg")}
    assert {"jump/a", "jump/more/b"} <= written and len(written) == done.written <= 3


def test_a_folder_that_may_not_be_looked_into_is_one_unreadable_video(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs another user to be")
    for parent in itertools.takewhile(Path(tempfile.gettempdir()).__ne__, (tmp_path, *tmp_path.parents)):
        parent.chmod(0o755)
    write_video(tmp_path / "jump" / "a.mp4", numbered_frames(3))
    (tmp_path / "jump" / "locked").mkdir(mode=0)
    manifest = watched(lambda: probe(read_manifest(tmp_path)), user=NOBODY)
    assert list(manifest.paths) == ["jump/a.mp4", "jump/locked"] and list(manifest.errors) == [1]
