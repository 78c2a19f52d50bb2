"""Train, evaluate, push, wipe the cache, pull, load: the same model, bit for bit, as a new user would do it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.distributions import run_python
from tests.hub.server import Hub

TOKEN = "hf_never_to_be_seen"
ASK = """
import hashlib, sys, numpy as np, torch, actrec_zoo
torch.manual_seed(0)
model = actrec_zoo.load(sys.argv[1])
clips = torch.rand(2, 3, model.input.frames, model.input.size, model.input.size)
with torch.inference_mode():
    print(hashlib.sha256(model(clips).numpy().tobytes()).hexdigest(), *model.labels)
"""


@pytest.mark.slow
def test_a_model_comes_back_as_it_went(tmp_path: Path, squares: Path) -> None:
    hub = Hub(tmp_path / "server")
    hub.add_user("ann", TOKEN)
    home, run = tmp_path / "home", tmp_path / "run"

    def zoo(*words: object, **environ: str) -> str:
        done = run_python("-m", "actrec_zoo", *map(str, words), **hub.environment(home, TOKEN) | environ)
        assert done.code == 0, done.err
        assert TOKEN not in done.out + done.err
        return done.out

    def logits(name: object, **environ: str) -> str:
        done = run_python("-c", ASK, str(name), **hub.environment(home) | environ)
        assert done.code == 0, done.err
        return done.out

    with hub.running():
        zoo("train", "tiny_conv3d", "--data", squares, "--out", run, "--epochs", "2", "--workers", "0", "--size", "32")
        zoo("eval", run, "--data", squares, "--workers", "0")
        told = zoo("push", run, "ann/squares", "--license", "mit", "--tag", "v1")
        assert "pushed: " in told
        shutil.rmtree(home, ignore_errors=True)
        folder = Path(zoo("pull", "hf:ann/squares@v1").splitlines()[-1])
        assert {path.name for path in folder.iterdir()} == {
            "README.md",
            "config.json",
            "eval.json",
            "model.safetensors",
        }
        own = logits(run)
        assert logits("hf:ann/squares@v1") == own and own.split()[1:] == ["left", "right"]
        assert logits("hf:ann/squares@v1", HF_HUB_OFFLINE="1") == own
        listed = json.loads(zoo("list", "--hub", "ann", "--json"))
    assert [model["repository"] for model in listed] == ["ann/squares"]
    assert logits("hf:ann/squares@v1", HF_HUB_OFFLINE="1") == own, "with no Hub at all"
    report = json.loads((run / "eval.json").read_text())
    card = (folder / "README.md").read_text()
    assert f"{report['video']['top1']}" in card and "license: mit" in card
    assert str(tmp_path) not in card + (folder / "config.json").read_text() + (folder / "eval.json").read_text()
