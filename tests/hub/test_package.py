"""config.json and model.safetensors of a trained model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError, RunError, WeightsError
from actrec_zoo.hub.package import Training, read_package, require_weights
from actrec_zoo.hub.packing import library_versions, write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry

PLUGIN = {"distribution": "actrec-zoo", "version": "1"}


def small(labels: Sequence[str]) -> VideoClassifier:
    found = get_registry().find("tiny_conv3d")
    return create(found, labels=labels, input=found.spec.input.with_size(32), options={"width": 4})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package of a small model."""
    model = small(["jump", "rené"])
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
    assert (values["format"], values["num_classes"]) == (2, 2)
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
    change(folder, format=3)
    with pytest.raises(RunError, match="has format 3, this actrec-zoo reads 2: upgrade actrec-zoo"):
        read_package(folder)


def test_the_first_format_is_read(folder: Path) -> None:
    change(folder, format=1)
    file = folder / "config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "training"}))
    assert read_package(folder).training == Training(None, None)


def test_what_a_model_was_trained_on(tmp_path: Path) -> None:
    known = Training("HMDB_simp", "0" * 64)
    write_config(tmp_path, small(["a"]), PLUGIN, known)
    assert read_package(tmp_path).training == known


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json cannot be written: labels\.1: has a control character"):
        write_config(tmp_path, small(["a", "b\n"]), PLUGIN)
    assert not list(tmp_path.iterdir())


def test_labels_of_file_names_that_are_no_text(tmp_path: Path) -> None:
    labels = ["caf\udce9", "rené"]
    write_config(tmp_path, small(labels), PLUGIN)
    assert list(read_package(tmp_path).labels) == labels


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no run or model folder: it has no config\.json"):
        read_package(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "7", '{"model": "x"}', "{", '{"format": "1"}', '{"format": true}'])
def test_other_json_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"config\.json"):
        read_package(folder)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("model", 3, "model: must be a text"),
        ("model", "tiny", "model: must be plugin:name"),
        ("model", "tiny:../../x", "model: must be plugin:name"),
        ("plugin", {"distribution": 7}, "plugin.distribution: must be a text"),
        ("labels", "jump", "labels: Input should be a valid list"),
        ("labels", [], "labels: List should have at least 1 item"),
        ("labels", ["jump", "jump"], "labels: a label is there more than once"),
        ("labels", ["jump", 7], r"labels\.1: must be a text"),
        ("labels", ["jump", ""], r"labels\.1: must be a text that is not empty"),
        ("labels", ["jump", "\x1b[2Jrun"], r"labels\.1: has a control character"),
        ("labels", ["jump", "r\u2028un"], r"labels\.1: has a control character"),
        ("labels", ["jump", "r" * 10_001], r"labels\[1\] has 10001 characters"),
        ("labels", [str(i) for i in range(100_001)], "labels: List should have at most 100000 items"),
        ("input", None, "input: Input should be a valid dictionary"),
        ("input", {"frames": 8}, "input settings do not fit"),
        ("input", {"frames": 8, "size": 32, "colour": 1}, "unknown input keys: colour"),
        ("input", {"frames": 0, "size": 32}, "input frames must be"),
        (
            "input",
            {"frames": 8, "size": 32, "mean": ["a", "b", "c"]},
            r"input\.mean\.0: Input should be a valid number",
        ),
        ("input", {"frames": 8, "size": 32, "resize": "64"}, "input"),
        ("input", {"frames": 8, "size": 32, "mean": 7}, "input"),
        ("input", {"frames": 65, "size": 1024}, "65 frames of 1024x1024 are too many"),
        ("options", [], "options: Input should be a valid dictionary"),
        ("options", {"width": 10**9}, "options.width: 1000000000 is too large"),
        ("options", {"width": [10**9]}, "options.width: 1000000000 is too large"),
        ("options", {"frames": 10**6, "size": 10**6}, "1000000 frames of 1000000x1000000 are too many"),
        ("options", {"width": 10**400}, "options.width is too large a number"),
        ("training", {"data": 7}, "training.data: must be a text"),
        ("training", {"splits_sha256": "abc"}, "training.splits_sha256: String should match"),
        ("training", {"code": "import os"}, "training.code: Extra inputs are not permitted"),
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
