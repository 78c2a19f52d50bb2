"""config.json and model.safetensors of a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import actrec_zoo
from actrec_zoo.errors import RunError, WeightsError
from actrec_zoo.hub.package import library_versions, read_package, require_weights, write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry

PLUGIN = {"distribution": "actrec-zoo", "version": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package of a small model."""
    spec = get_registry().find("tiny_conv3d")
    model = create(spec, labels=["jump", "rené"], input=spec.spec.input.with_size(32), options={"width": 4})
    write_config(tmp_path / "model", model, PLUGIN)
    write_weights(tmp_path / "model" / "model.safetensors", model.net.state_dict())
    return tmp_path / "model"


def change(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_config_holds_all_that_loading_needs(folder: Path) -> None:
    package = read_package(folder)
    assert (package.folder, package.model, package.plugin) == (folder, "tiny:tiny_conv3d", PLUGIN)
    assert (package.options, package.labels) == ({"width": 4}, ("jump", "rené"))
    assert package.input == actrec_zoo.get_spec("tiny_conv3d").input.with_size(32)
    assert require_weights(package) == folder / "model.safetensors"


def test_config_is_readable_by_people(folder: Path) -> None:
    text = (folder / "config.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert "rené" in text
    assert (values["format"], values["num_classes"]) == (1, 2)
    assert set(values["versions"]) == set(library_versions())


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    state = {"b": torch.randn(3, 4).t(), "a": torch.randn(2)}
    write_weights(tmp_path / "one.safetensors", state)
    write_weights(tmp_path / "two.safetensors", dict(reversed(state.items())))
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_unknown_keys_of_later_versions_are_passed_over(folder: Path) -> None:
    change(folder, card="later", metrics={"top1": 1})
    assert read_package(folder).model == "tiny:tiny_conv3d"


def test_later_format_is_refused(folder: Path) -> None:
    change(folder, format=2)
    with pytest.raises(RunError, match="has format 2, this actrec-zoo reads 1: upgrade actrec-zoo"):
        read_package(folder)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no run or model folder: it has no config\.json"):
        read_package(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "7", '{"model": "x"}', "{", '{"format": "1"}'])
def test_other_json_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"config\.json"):
        read_package(folder)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("model", 3, "'model' is missing or is no str"),
        ("labels", "jump", "'labels' is missing or is no list"),
        ("labels", [], "no labels"),
        ("labels", ["jump", "jump"], "more than once"),
        ("input", None, "'input' is missing or is no dict"),
        ("input", {"frames": 8}, "input settings do not fit"),
        ("input", {"frames": 8, "size": 32, "colour": 1}, "unknown input keys: colour"),
        ("input", {"frames": 0, "size": 32}, "input frames must be"),
        ("options", [], "'options' is missing or is no dict"),
    ],
)
def test_damaged_config_is_named(folder: Path, key: str, value: object, complaint: str) -> None:
    change(folder, **{key: value})
    with pytest.raises(RunError, match=rf"config\.json: .*{complaint}"):
        read_package(folder)


def test_unfinished_run_says_how_to_go_on(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        WeightsError, match=r"the run has not finished\. Continue it with `actrec-zoo train .*--resume`"
    ):
        require_weights(read_package(folder))


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match="cannot write"):
        write_weights(file / "model.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(RunError, match="cannot write"):
        write_weights(Path("/dev/full/model.safetensors"), {"a": torch.zeros(1)})
