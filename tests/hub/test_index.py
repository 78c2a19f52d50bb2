"""The index: which published weights answer to a name."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.data.demo import render, write_motion_shapes
from actrec_zoo.errors import HubError
from actrec_zoo.hub import index
from actrec_zoo.hub.package import WEIGHTS_FILE, read_package
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.distributions import run_python
from tests.hub.server import COMMIT, Hub

GOOD: dict[str, Any] = {"repository": "org/name", "revision": COMMIT, "sha256": "0" * 64}


def own_index(monkeypatch: pytest.MonkeyPatch, file: Path, models: dict[str, Any]) -> None:
    file.write_text(json.dumps({"format": 1, "models": models}))
    monkeypatch.setenv(index.VARIABLE, str(file))


def test_the_shipped_model_answers_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        model = actrec_zoo.load("tiny_conv3d")
    assert [record.message for record in caplog.records if "tiny_conv3d" in record.message] == [
        "tiny_conv3d: trained weights of the index, which come with actrec-zoo"
    ]
    for motion in ("grow", "move_left", "circle_clockwise"):
        label, probability = model.predict(render(motion, scene=3, seed=99), top_k=1)[0]
        assert label == motion and probability > 0.4, (motion, label, probability)


def test_what_is_shipped_is_small_whole_and_evaluated() -> None:
    (name, entry), *others = index.entries().items()
    assert name == "tiny_conv3d" and not others, "nothing is published on the Hub yet: the README says so"
    folder = entry.fetch()
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "eval.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 500_000
    package, report = read_package(folder), json.loads((folder / "eval.json").read_text())
    assert package.training.data == "motion-shapes" and report["identity"]["weights"] == entry.sha256
    assert report["protocol"]["seen"] == 0 and report["n_failed"] == 0


def test_an_evaluation_of_what_is_shipped_lies_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_motion_shapes(tmp_path / "data", scenes=10)
    monkeypatch.chdir(tmp_path)
    shipped = index._SHIPPED / "tiny_conv3d"
    before = {path.name: path.stat().st_mtime_ns for path in shipped.iterdir()}
    report = actrec_zoo.evaluate("tiny_conv3d", "data", split="all", workers=0, device="cpu", report=False)
    assert report["video"]["top1"] > 0.8
    assert (tmp_path / "runs" / "tiny_conv3d-eval" / "eval.json").is_file()
    assert {path.name: path.stat().st_mtime_ns for path in shipped.iterdir()} == before


def test_shipped_weights_that_were_changed_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(index._SHIPPED, tmp_path / "shipped")
    (tmp_path / "shipped" / "tiny_conv3d" / WEIGHTS_FILE).write_bytes(b"others")
    monkeypatch.setattr(index, "_SHIPPED", tmp_path / "shipped")
    with pytest.raises(HubError, match="other bytes than those that were shipped: reinstall actrec-zoo"):
        actrec_zoo.load("tiny_conv3d")
    assert (tmp_path / "shipped" / "tiny_conv3d" / WEIGHTS_FILE).read_bytes() == b"others"


def test_a_file_of_ones_own_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own_index(monkeypatch, tmp_path / "index.json", {"tiny_conv3d": GOOD, "best": GOOD | {"revision": "v1"}})
    known = index.entries()
    assert known["tiny_conv3d"].told == f"hf:org/name@{COMMIT}" and known["best"].told == "hf:org/name@v1"
    assert index.find("nothing", "best") == known["best"] and index.find("nothing") is None


BAD = {
    "no JSON": ("{", "cannot be used as an index"),
    "a list": ("[]", "the file"),
    "another format": ({"format": 2, "models": {}}, "format"),
    "more keys": ({"format": 1, "models": {}, "x": 1}, "x"),
    "no sha256": ({"format": 1, "models": {"a": {"repository": "o/n", "revision": "v1"}}}, "models.a.sha256"),
    "an odd sha256": ({"format": 1, "models": {"a": GOOD | {"sha256": "xyz"}}}, "models.a.sha256"),
    "no revision": ({"format": 1, "models": {"a": {"repository": "o/n", "sha256": "0" * 64}}}, "models.a.*no revision"),
    "no repository": ({"format": 1, "models": {"a": {"sha256": "0" * 64}}}, "models.a.*no repository"),
    "no name": ({"format": 1, "models": {"a": GOOD | {"repository": "../x/y"}}}, "names no model on the Hub"),
    "a path": ({"format": 1, "models": {"a": {"shipped": "../../etc", "sha256": "0" * 64}}}, "models.a.shipped"),
    "shipped": ({"format": 1, "models": {"a": {"shipped": "tiny_conv3d", "sha256": "0" * 64}}}, "no repository"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_is_none_is_named_with_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str) -> None:
    content, message = BAD[what]
    file = tmp_path / "index.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setenv(index.VARIABLE, str(file))
    with pytest.raises(HubError, match=message) as raised:
        index.entries()
    assert f"ACTREC_ZOO_INDEX={file}" in str(raised.value) or what == "no name"


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(index.VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(HubError, match=r"ACTREC_ZOO_INDEX=.*none\.json cannot be used as an index: cannot read"):
        actrec_zoo.load("tiny_conv3d")


def test_names_lead_to_the_hub_and_weights_are_those_of_the_index(tmp_path: Path) -> None:
    model = create(get_registry().find("tiny_conv3d"), labels=["left", "right"], options={"width": 4})
    write_config(tmp_path / "model", model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(tmp_path / "model" / WEIGHTS_FILE, model.net.state_dict())
    digest = index.sha256_of(tmp_path / "model" / WEIGHTS_FILE)
    hub = Hub(tmp_path / "server")
    hub.publish("org/name", tmp_path / "model", commit=COMMIT)
    entries = {"squares": GOOD | {"sha256": digest}, "others": GOOD}
    (tmp_path / "index.json").write_text(json.dumps({"format": 1, "models": entries}))
    code = """
import actrec_zoo
print(actrec_zoo.load("squares").labels)
try:
    actrec_zoo.load("others")
except actrec_zoo.ActrecZooError as error:
    print(error)
"""
    with hub.running():
        environ = hub.environment(tmp_path / "home") | {index.VARIABLE: str(tmp_path / "index.json")}
        done = run_python("-c", code, **environ)
    assert done.code == 0, done.err
    labels, error = done.out.splitlines()
    assert labels == "('left', 'right')"
    assert error.startswith(f"cannot get hf:org/name@{COMMIT} from") and "other bytes than stated" in error
