"""Models on the Hub: the real client against a small server on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch

from actrec_zoo.hub.package import WEIGHTS_FILE
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.distributions import run_python
from tests.hub.server import COMMIT, Hub

LABELS = ["left", "right"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub") / "repository"
    model = create(get_registry().find("tiny_conv3d"), labels=LABELS, options={"width": 4})
    write_config(folder, model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(folder / WEIGHTS_FILE, model.net.state_dict())
    hub = Hub(folder.parent / "server")
    hub.publish("org/name", folder, commit=COMMIT, tag="v1")
    for file in ("config.json", WEIGHTS_FILE):
        hub.publish(f"org/no-{file}", {p.name: p.read_bytes() for p in folder.iterdir() if p.name != file})
    with hub.running():
        yield hub


class Visit(NamedTuple):
    """What one process got: a result a reference, and the requests that the server saw."""

    results: dict[str, dict[str, Any]]
    requests: list[str]


def visit(hub: Hub, home: Path, references: Sequence[str], **environ: str) -> Visit:
    """Load models in a process of its own, since the client reads its settings at import."""
    code = f"""
import json, numpy as np, actrec_zoo, torch
torch.set_num_threads(1)
def result(reference):
    try:
        model = actrec_zoo.load(reference)
    except actrec_zoo.ActrecZooError as error:
        return {{"error": str(error)}}
    return {{
        "id": model.id,
        "bias": model.net.head.classifier.bias.tolist(),
        "predicted": [label for label, _ in model.predict(np.zeros((9, 32, 32, 3), np.uint8))],
    }}
print(json.dumps({{reference: result(reference) for reference in {list(references)!r}}}))
"""
    hub.requests.clear()
    done = run_python("-c", code, **(hub.environment(home) | environ))
    assert done.code == 0, done.err
    return Visit(json.loads(done.out), list(hub.requests))


REFUSED = {
    "hf:org/no-config.json": "Entry Not Found for url: .*/config.json",
    "hf:org/no-model.safetensors": "Entry Not Found for url: .*/model.safetensors",
    "hf:nobody/name": "Repository Not Found",
    "hf:org/name@v9": "Revision Not Found",
    "hf:org/na--me": "Cannot have -- or ..",
}
MALFORMED = ["hf:no//name", "hf:", "hf:org", "hf:org/name@", "hf:a/b/c"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def online(hub: Hub, home: Path) -> Visit:
    return visit(hub, home, ["hf:org/name", "hf:org/name@v1", *REFUSED, *MALFORMED])


@pytest.fixture(scope="module")
def offline(hub: Hub, home: Path, online: Visit) -> Visit:
    return visit(hub, home, ["hf:org/name", "hf:org/never-pulled"], HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("reference", ["hf:org/name", "hf:org/name@v1"])
def test_model_is_pulled_and_predicts(hub: Hub, online: Visit, reference: str) -> None:
    published = safetensors.torch.load(hub.read("org/name", WEIGHTS_FILE))
    result = online.results[reference]
    assert result["id"] == "tiny:tiny_conv3d"
    assert result["bias"] == published["head.classifier.bias"].tolist()
    assert sorted(result["predicted"]) == LABELS


def test_weights_are_of_the_commit_of_the_configuration(online: Visit) -> None:
    weights = [request for request in online.requests if request.endswith(f"org/name/resolve/{COMMIT}/{WEIGHTS_FILE}")]
    assert weights and all(f"/{COMMIT}/" in request for request in weights)


def test_files_are_transferred_once(online: Visit) -> None:
    weights = [request for request in online.requests if request.startswith("GET /cdn/")]
    assert len(weights) == 1


@pytest.mark.parametrize("reference", REFUSED)
def test_what_cannot_be_had_is_named(online: Visit, reference: str) -> None:
    error = online.results[reference]["error"]
    assert error.startswith(f"cannot get {reference} from the Hugging Face Hub: ")
    assert re.search(REFUSED[reference], error)
    assert "\n" not in error


@pytest.mark.parametrize("reference", MALFORMED)
def test_what_is_no_reference_is_told_how_to_write_one(online: Visit, reference: str) -> None:
    expected = f"{reference!r} names no model on the Hub: write hf:org/name or hf:org/name@revision"
    assert online.results[reference]["error"] == expected


def test_pulled_model_works_offline(online: Visit, offline: Visit) -> None:
    assert offline.results["hf:org/name"] == online.results["hf:org/name"]
    assert offline.requests == []


def test_offline_without_a_copy(offline: Visit) -> None:
    assert offline.results["hf:org/never-pulled"]["error"].startswith("cannot get hf:org/never-pulled from the Hugging")
