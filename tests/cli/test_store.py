"""`actrec-zoo store`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actrec_zoo.hub import store
from actrec_zoo.hub.package import WEIGHTS_FILE
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.conftest import Outcome

Invoke = Callable[..., Outcome]


def saved(folder: Path) -> Path:
    model = create(get_registry().find("tiny_conv3d"), labels=["a", "b"], options={"width": 4})
    write_config(folder, model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(folder / WEIGHTS_FILE, model.net.state_dict())
    return folder


def test_list_add_and_remove(invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("store", "list")
    assert code == 0 and "index: which come with actrec-zoo" in out and "tiny:tiny_conv3d" not in out
    run = saved(tmp_path / "run")
    assert invoke("store", "add", str(run)).code == 0
    assert store.find("tiny:tiny_conv3d") == run
    assert "tiny:tiny_conv3d" in invoke("store", "list").out
    code, out, _ = invoke("store", "rm", "tiny_conv3d")
    assert code == 0 and out.startswith("tiny:tiny_conv3d: removed from the store; the run stays in ")
    assert run.is_dir() and store.find("tiny:tiny_conv3d") is None


def test_what_is_no_run_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("store", "add", str(tmp_path)).code == 2
    run = saved(tmp_path / "run")
    (run / WEIGHTS_FILE).unlink()
    code, _, err = invoke("store", "add", str(run))
    assert code == 2 and "the run has not finished" in err
    assert store.entries() == []


def test_what_is_not_there_cannot_be_removed(invoke: Invoke) -> None:
    code, _, err = invoke("store", "rm", "tiny_conv3d")
    assert code == 2 and "the local store has no run of tiny:tiny_conv3d" in err
    assert "no model" in invoke("store", "rm", "nothing").err
    assert "has no run of gone:net" in invoke("store", "rm", "gone:net").err
