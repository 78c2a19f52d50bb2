"""The local store: which run answers to a name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.files import data_folder
from actrec_zoo.hub import store


def finished(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def entry() -> Path:
    (file,) = data_folder().rglob("net.json")
    return file


def test_nothing_is_found_before_a_run_is_registered() -> None:
    assert store.find("plugin:net") is None


def test_the_latest_run_counts(tmp_path: Path) -> None:
    first, second = finished(tmp_path / "first"), finished(tmp_path / "second")
    store.register("plugin:net", first)
    assert store.find("plugin:net") == first
    store.register("plugin:net", second)
    assert store.find("plugin:net") == second


def test_models_of_one_name_do_not_meet(tmp_path: Path) -> None:
    store.register("one:net", finished(tmp_path / "first"))
    assert store.find("two:net") is None
    assert store.find("one:other") is None


def test_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    store.register("plugin:net", Path("run"))
    monkeypatch.chdir("/")
    assert store.find("plugin:net") == run


def test_run_that_is_gone_or_incomplete_is_not_found(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    store.register("plugin:net", run)
    (run / "model.safetensors").unlink()
    assert store.find("plugin:net") is None
    shutil.rmtree(run)
    assert store.find("plugin:net") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": 3}', "\x00"])
def test_damaged_entry_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    store.register("plugin:net", finished(tmp_path / "run"))
    entry().write_text(content)
    assert store.find("plugin:net") is None


def test_entry_says_what_it_is(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    store.register("plugin:net", run)
    values = json.loads(entry().read_text())
    assert (values["model"], values["run"]) == ("plugin:net", str(run))
    assert values["finished"].endswith("+00:00")


def test_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ACTREC_ZOO_HOME", str(file))
    with pytest.raises(RunError, match="cannot write"):
        store.register("plugin:net", finished(tmp_path / "run"))


def test_entries_are_listed_and_removed(tmp_path: Path) -> None:
    first, second = finished(tmp_path / "first"), finished(tmp_path / "second")
    store.register("plugin:net", first)
    store.register("other:net", second)
    shutil.rmtree(second)
    found = {stored.model: stored for stored in store.entries()}
    assert list(found) == ["other:net", "plugin:net"]
    assert (found["plugin:net"].run, found["plugin:net"].there) == (first, True)
    assert (found["other:net"].run, found["other:net"].there) == (second, False)
    assert store.remove("plugin:net") == first and first.is_dir()
    assert store.find("plugin:net") is None and len(store.entries()) == 1
    with pytest.raises(RunError, match="the local store has no run of plugin:net: `actrec-zoo store list`"):
        store.remove("plugin:net")


def test_a_damaged_entry_is_listed_and_can_be_removed(tmp_path: Path) -> None:
    store.register("plugin:net", finished(tmp_path / "run"))
    entry().write_text("{")
    (stored,) = store.entries()
    assert stored.run is None and not stored.there
    assert store.remove("plugin:net") is None and store.entries() == []
