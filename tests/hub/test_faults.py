"""What goes wrong between the Hub and a machine: an error that says so, or another try; the cache stays clean."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actrec_zoo.hub.package import CONFIG_FILE, WEIGHTS_FILE
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.hub.client import Client
from tests.hub.server import Hub
from tests.hub.server.faults import Fault, Kind

PULLER = """
from huggingface_hub import constants
from actrec_zoo.hub.remote import pull
assert "torch" not in sys.modules
def answer(asked):
    constants.HF_HUB_CACHE = asked["cache"]
    return {"folder": str(pull(asked["reference"], sha256=asked.get("sha256")))}
"""


class Puller(Client):
    """A process that pulls models, into a cache for each."""

    def __init__(self, hub: Hub, home: Path) -> None:
        super().__init__(hub, home, PULLER)
        self._home, self._number = home, 0

    def new_cache(self) -> Path:
        self._number += 1
        return self._home / f"cache{self._number}"

    def __call__(self, reference: str, cache: Path, **asked: str) -> dict[str, Any]:
        return super().__call__(reference=reference, cache=str(cache), **asked)


class World(NamedTuple):
    hub: Hub
    pull: Puller
    weights: bytes


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    model = create(get_registry().find("tiny_conv3d"), labels=["left", "right"], options={"width": 4})
    write_config(folder / "model", model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(folder / "model" / WEIGHTS_FILE, model.net.state_dict())
    hub = Hub(folder / "server")
    hub.publish("org/name", folder / "model")
    with hub.running():
        puller = Puller(hub, folder / "home")
        try:
            yield World(hub, puller, (folder / "model" / WEIGHTS_FILE).read_bytes())
        finally:
            puller.end()


@pytest.fixture
def quiet(world: World) -> Iterator[World]:
    """Nothing goes wrong but for what a test adds, and that has to happen."""
    world.hub.faults.clear()
    world.hub.requests.clear()
    yield world
    assert world.hub.faults.left == 0


def assert_pulled(world: World, found: dict[str, Any]) -> None:
    folder = Path(found["folder"])
    assert (folder / WEIGHTS_FILE).read_bytes() == world.weights
    assert json.loads((folder / CONFIG_FILE).read_text())["model"] == "tiny:tiny_conv3d"


PASSING: list[tuple[str, Kind, int]] = [
    ("resolve", "503", 2),
    ("resolve", "500", 3),
    ("resolve", "429", 1),
    ("cdn", "503", 2),
    ("cdn", "500", 1),
    ("cdn", "cut", 2),
    ("cdn", "slow", 1),
    ("cdn", "short", 1),
]


@pytest.mark.parametrize(("route", "kind", "times"), PASSING)
def test_what_passes_is_waited_for(quiet: World, route: str, kind: Kind, times: int) -> None:
    quiet.hub.faults.add(route, kind, times)
    assert_pulled(quiet, quiet.pull("hf:org/name", quiet.pull.new_cache()))


LASTING: list[tuple[str, Kind, str]] = [
    ("resolve", "401", "fault 401|Unauthorized|auth login"),
    ("resolve", "403", "403 Forbidden.*auth login"),
    ("resolve", "404", "Repository Not Found"),
    ("cdn", "403", "403 Forbidden.*auth login"),
    ("cdn", "404", "404"),
]


@pytest.mark.parametrize(("route", "kind", "message"), LASTING)
def test_what_does_not_pass_is_said_and_the_next_pull_is_whole(
    quiet: World, route: str, kind: Kind, message: str
) -> None:
    cache = quiet.pull.new_cache()
    quiet.hub.faults.add(route, kind)
    error = quiet.pull("hf:org/name", cache)["error"]
    assert error.startswith("cannot get hf:org/name from the Hugging Face Hub: ") and "\n" not in error
    assert re.search(message, error), error
    assert_pulled(quiet, quiet.pull("hf:org/name", cache))


@pytest.mark.parametrize("route", ["cdn", pytest.param("resolve", marks=pytest.mark.slow)])  # the client's own tries
def test_a_hub_that_stays_down_is_said(quiet: World, route: str) -> None:
    quiet.hub.faults.add(route, "503", 1000)
    error = quiet.pull("hf:org/name", quiet.pull.new_cache())["error"]
    assert "503" in error and "\n" not in error
    quiet.hub.faults.clear()


@pytest.mark.parametrize(("route", "file"), [("cdn", WEIGHTS_FILE), ("resolve", CONFIG_FILE)])
def test_wrong_bytes_are_told_and_leave_the_cache(quiet: World, route: str, file: str) -> None:
    cache = quiet.pull.new_cache()
    if route == "resolve":  # the bodies of HEAD requests are empty
        quiet.hub.faults.add(route, "slow", 2, path=file)
    quiet.hub.faults.add(route, "wrong bytes")
    error = quiet.pull("hf:org/name", cache)["error"]
    assert f"{file} has other bytes than stated" in error and "removed from the cache" in error
    assert not list(cache.rglob(file)) and len(list(cache.rglob("blobs/*"))) == (1 if file == WEIGHTS_FILE else 0)
    assert_pulled(quiet, quiet.pull("hf:org/name", cache))


def test_weights_are_those_that_the_caller_knows(quiet: World) -> None:
    cache, known = quiet.pull.new_cache(), hashlib.sha256(quiet.weights).hexdigest()
    assert_pulled(quiet, quiet.pull("hf:org/name", cache, sha256=known))
    assert "has other bytes than stated" in quiet.pull("hf:org/name", cache, sha256="0" * 64)["error"]


def test_bytes_are_looked_at_once_and_again_when_they_change(quiet: World) -> None:
    cache = quiet.pull.new_cache()
    folder = Path(quiet.pull("hf:org/name", cache)["folder"])
    blob = (folder / WEIGHTS_FILE).resolve()
    before = blob.stat()
    blob.write_bytes(bytes(len(quiet.weights)))
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "folder" in quiet.pull("hf:org/name", cache), "not read again as long as nothing tells of a change"
    os.utime(blob)
    assert "has other bytes than stated" in quiet.pull("hf:org/name", cache)["error"]
    assert_pulled(quiet, quiet.pull("hf:org/name", cache))


def test_a_large_text_file_is_refused_before_it_is_had(quiet: World) -> None:
    quiet.hub.publish("org/huge", {CONFIG_FILE: b" " * (16 * 2**20 + 1), WEIGHTS_FILE: quiet.weights})
    cache = quiet.pull.new_cache()
    assert "config.json has 16777217 bytes" in quiet.pull("hf:org/huge", cache)["error"]
    assert not list(cache.rglob("blobs/*"))


def test_nothing_but_a_models_files_is_had(quiet: World) -> None:
    others = {"evil.py": b"import os", "pytorch_model.bin": b"\x80\x02.", "tokenizer.json": b"{}", "a/../b": b"x"}
    own = {CONFIG_FILE: quiet.hub.read("org/name", CONFIG_FILE), WEIGHTS_FILE: quiet.weights, "README.md": b"# hello"}
    quiet.hub.publish("org/more", {**others, **own})
    folder = Path(quiet.pull("hf:org/more", quiet.pull.new_cache())["folder"])
    assert {path.name for path in folder.iterdir()} == set(own)


def test_two_processes_pull_at_once(quiet: World, tmp_path: Path) -> None:
    second = Puller(quiet.hub, tmp_path)
    cache = quiet.pull.new_cache()
    second("hf:org/none", cache)  # it has started
    quiet.hub.faults.add("cdn", "slow", 2)
    for one in (quiet.pull, second):
        one.ask(reference="hf:org/name", cache=str(cache))
    for one in (quiet.pull, second):
        assert_pulled(quiet, one.answer())
    second.end()
    quiet.hub.faults.clear()


def test_an_unused_fault_is_seen() -> None:
    from tests.hub.server.faults import Faults

    faults = Faults()
    faults.add("cdn", "503", 2, after=1)
    taken = [faults.take("cdn", "/cdn/x") for _ in range(4)]
    assert [one is not None for one in taken] == [False, True, True, False] and faults.left == 0
    assert isinstance(taken[1], Fault)
