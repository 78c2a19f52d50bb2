import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actrec_zoo.errors import RunError
from actrec_zoo.files import (
    cache_folder,
    data_folder,
    natural_order,
    read_json,
    write_atomically,
    write_json,
    write_text,
)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if made.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_text_and_json_are_read_back(tmp_path: Path) -> None:
    value = {"b": [1, None, 0.1], "a": "日本 ü"}
    write_json(tmp_path / "new" / "folder" / "a.json", value)
    assert read_json(tmp_path / "new" / "folder" / "a.json") == value
    text = (tmp_path / "new" / "folder" / "a.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "b": [') and text.endswith("}\n") and "日本" in text
    assert names(tmp_path / "new" / "folder") == ["a.json"]


def test_file_names_that_are_no_unicode_are_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", ["caf\udce9.avi"])
    assert read_json(tmp_path / "a.json") == ["caf\udce9.avi"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old, and longer")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert file.read_text() == "old, and longer"

    write_atomically(file, write)
    assert file.read_text() == "new"


def test_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path, error: BaseException) -> None:
    write_text(tmp_path / "a", "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(type(error)):
        write_atomically(tmp_path / "a", fail)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_device_is_an_error_that_says_so(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(RunError, match=r"cannot write .*/a: .*No space left on device.* Free some space"):
        write_atomically(tmp_path / "a", lambda temporary: Path("/dev/full").write_text("new"))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_disk_leaves_the_old_file_and_no_temporary(tiny_disk: Path) -> None:
    write_text(tiny_disk / "a", "old")
    with pytest.raises(RunError, match="No space left on device"):
        write_text(tiny_disk / "a", "x" * 100_000)
    assert names(tiny_disk) == ["a"]
    assert (tiny_disk / "a").read_text() == "old"


def test_a_full_disk_is_recognised_when_safetensors_writes(tiny_disk: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_atomically(tiny_disk / "model", lambda temporary: save_file({"w": torch.zeros(100_000)}, temporary))
    assert names(tiny_disk) == []


def test_a_file_as_parent_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/sub/a: .*choose another folder"):
        write_text(tmp_path / "file" / "sub" / "a", "new")


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(RunError, match=os.strerror(errno.EISDIR)):
        write_text(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read .*a.json: No such file"), (b"{", "not valid"), (b"\xff\0", "not valid")],
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=message) as raised:
        read_json(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(raised.value)


@pytest.mark.parametrize(
    "ordered",
    [
        ["frame2", "frame10", "frame100"],
        ["1", "2", "10"],
        ["01.jpg", "1.jpg", "2.jpg"],
        ["a_1_2", "a_1_10", "a_2_1"],
        ["7", "a", "B", "c"],
        ["img1.jpg", "img1b.jpg", "img2.jpg"],
        ["a٢", "a3"],
    ],
    ids=str,
)
def test_natural_order_is_how_people_count(ordered: list[str]) -> None:
    assert natural_order(ordered) == natural_order(reversed(ordered)) == ordered


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("ACTREC_ZOO_CACHE", "own/cache"), ("ACTREC_ZOO_HOME", "own/home")):
        monkeypatch.setenv(variable, value)
    assert (cache_folder(), data_folder()) == (Path("own/cache"), Path("own/home"))
    for variable in ("ACTREC_ZOO_CACHE", "ACTREC_ZOO_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg/cache")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg/data")
    assert (cache_folder(), data_folder()) == (Path("/xdg/cache/actrec-zoo"), Path("/xdg/data/actrec-zoo"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "actrec-zoo"
    assert data_folder() == tmp_path / ".local" / "share" / "actrec-zoo"
