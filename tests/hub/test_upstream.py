"""Upstream's weights on the Hub: the real client pulls the pinned commit from a small server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import actrec_zoo
from actrec_zoo.errors import WeightsError
from tests import upstream
from tests.distributions import run_python
from tests.hub.server import Hub

NAME = "videomae_small"
WEIGHTS = upstream.weights_of(actrec_zoo.get_spec(NAME))
REPOSITORY, _, COMMIT = WEIGHTS.source.removeprefix("hf:").partition("@")
LABELS = upstream.class_names(400)
CODE = f"""
import json, numpy as np, actrec_zoo, torch
torch.set_num_threads(1)
try:
    model = actrec_zoo.load("{NAME}", weights="pretrained")
    label, probability = model.predict(np.zeros((9, 32, 32, 3), np.uint8), top_k=1)[0]
    result = dict(labels=model.labels, bias=model.net.classifier.bias.tolist(), label=label)
except actrec_zoo.ActrecZooError as error:
    result = dict(error=str(error))
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the repository holds at the pinned commit."""
    network = upstream.videomae(400, "small")
    return upstream.write_files(tmp_path_factory.mktemp("hub") / "repository", WEIGHTS.file, network, LABELS)


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder.parent / "server")
    hub.publish(REPOSITORY, folder, commit=COMMIT)
    with hub.running():
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


def visit(hub: Hub, home: Path, **environ: str) -> dict[str, Any]:
    hub.requests.clear()
    done = run_python("-c", CODE, **(hub.environment(home) | environ))
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_pretrained_model_is_pulled_at_its_commit_and_answers_at_once(hub: Hub, home: Path, folder: Path) -> None:
    result = visit(hub, home)
    assert result["labels"] == LABELS
    assert result["label"] in LABELS
    assert result["bias"] == torch.load(folder / WEIGHTS.file)["classifier.bias"].tolist()
    asked = [request for request in hub.requests if "/cdn/" not in request]
    assert asked and all(f"/{REPOSITORY}/resolve/{COMMIT}/" in request for request in asked)
    assert visit(hub, home, HF_HUB_OFFLINE="1") == result
    assert hub.requests == []


@pytest.mark.parametrize(
    "environ",
    [
        {"HF_HUB_OFFLINE": "1"},
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, marks=pytest.mark.slow),  # the client tries again and again
    ],
)
def test_weights_that_cannot_be_reached_are_named_with_the_ways_on(
    environ: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    error = visit(hub, tmp_path / "empty", **environ)["error"]
    assert error.startswith(
        f"cannot download the pretrained weights {WEIGHTS.url} (config.json of commit {COMMIT[:7]}): "
    )
    assert "`--weights none`" in error
    assert f"`hf download {REPOSITORY} --revision {COMMIT}`" in error and "HF_HOME" in error
    assert "\n" not in error


def test_repository_without_the_file(folder: Path, tmp_path: Path) -> None:
    hub = Hub(tmp_path / "server")
    hub.publish(REPOSITORY, {"config.json": (folder / "config.json").read_bytes()}, commit=COMMIT)
    with hub.running():
        error = visit(hub, tmp_path / "home")["error"]
    assert f"({WEIGHTS.file} of commit {COMMIT[:7]}): " in error


@pytest.mark.parametrize("config", ["no JSON", "[]", "{}", '{"id2label": {"1": "a"}}', '{"id2label": 3}'])
def test_config_that_does_not_name_the_classes(config: str, hub_cache: Path) -> None:
    snapshot = upstream.snapshot_folder(hub_cache, WEIGHTS)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(config)
    with pytest.raises(actrec_zoo.ActrecZooError, match=r"config\.json does not name the classes \(id2label\)"):
        actrec_zoo.load(NAME, weights="pretrained")


@pytest.mark.parametrize(
    ("names", "count"), [(["a", "b"], 2), ([f"c{i}" for i in range(500)], 500), (["same"] * 400, 1), ([], 0)]
)
def test_labels_that_are_not_as_many_as_the_classes(names: list[str], count: int, hub_cache: Path) -> None:
    snapshot = upstream.snapshot_folder(hub_cache, WEIGHTS)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names))}))
    with pytest.raises(WeightsError, match=f"names {count} classes, upstream's classifier has 400"):
        actrec_zoo.load(NAME, weights="pretrained")


@pytest.mark.parametrize(
    "state",
    [
        [torch.zeros(2)],
        torch.zeros(2),
        {3: torch.zeros(2)},
        {"classifier.bias": 3},
        {"classifier.bias": torch.ones(2).long()},
    ],
    ids=str,
)
def test_file_that_holds_something_else(state: object, hub_cache: Path, folder: Path) -> None:
    snapshot = upstream.snapshot_folder(hub_cache, WEIGHTS)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(state, snapshot / WEIGHTS.file)
    with pytest.raises(WeightsError, match=rf"{WEIGHTS.file} holds no weights that can be read: "):
        actrec_zoo.load(NAME, weights="pretrained")


def test_half_precision_and_old_files_load_as_float32(hub_cache: Path, folder: Path) -> None:
    snapshot = upstream.snapshot_folder(hub_cache, WEIGHTS)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((folder / "config.json").read_bytes())
    state = {key: value.half() for key, value in torch.load(folder / WEIGHTS.file).items()}
    torch.save(state, snapshot / WEIGHTS.file, _use_new_zipfile_serialization=False)
    model = actrec_zoo.load(NAME, weights="pretrained")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert model.predict(torch.zeros(4, 32, 32, 3, dtype=torch.uint8), top_k=1)[0][0] in LABELS


@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03."]
)
def test_file_that_holds_no_weights(content: bytes, hub_cache: Path, folder: Path) -> None:
    """The last one would run a command if it were unpickled."""
    snapshot = upstream.snapshot_folder(hub_cache, WEIGHTS)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((folder / "config.json").read_bytes())
    (snapshot / WEIGHTS.file).write_bytes(content)
    with pytest.raises(actrec_zoo.ActrecZooError, match=rf"{WEIGHTS.file} holds no weights that can be read: "):
        actrec_zoo.load(NAME, weights="pretrained")
