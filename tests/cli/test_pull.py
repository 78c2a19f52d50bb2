"""`actrec-zoo pull`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actrec_zoo.hub.package import WEIGHTS_FILE
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.distributions import run_python
from tests.hub.server import COMMIT, Hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    model = create(get_registry().find("tiny_conv3d"), labels=["left", "right"], options={"width": 4})
    write_config(folder / "model", model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(folder / "model" / WEIGHTS_FILE, model.net.state_dict())
    hub = Hub(folder / "server")
    hub.add_user("ann", "hf_never_to_be_seen")
    hub.publish("ann/name", folder / "model", commit=COMMIT)
    hub.repositories["ann/name"].private = True
    with hub.running():
        yield hub


def test_a_private_model_is_pulled_with_the_clients_token(hub: Hub, tmp_path: Path) -> None:
    done = run_python("-m", "actrec_zoo", "pull", "ann/name", **hub.environment(tmp_path, "hf_never_to_be_seen"))
    assert done.code == 0, done.err
    told, folder = done.out.splitlines()
    assert told == f"tiny:tiny_conv3d, 2 classes, commit {COMMIT}"
    assert (Path(folder) / WEIGHTS_FILE).is_file() and str(tmp_path) in folder
    assert "hf_never_to_be_seen" not in done.out + done.err
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_never" in path.read_bytes()]
    assert found == []


def test_without_a_token_it_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    done = run_python("-m", "actrec_zoo", "pull", "hf:ann/name", **hub.environment(tmp_path))
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("error: cannot get hf:ann/name from the Hugging Face Hub: ")
    assert "hf auth login" in done.err and len(done.err.splitlines()) == 1
