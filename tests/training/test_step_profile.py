"""The profile of a step: its parts add up, what it says is so, and it ends by itself."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import actrec_zoo
from actrec_zoo.training.peaks import measured_peak, stated_peak
from actrec_zoo.training.state import Callback, TrainingState
from actrec_zoo.training.step_profile import OTHER, PARTS, StepProfile
from tests.conftest import SMALL
from tests.training.test_trainer import FROZEN, TINY

CPU = torch.device("cpu")


def summary_of(run: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run / "profile" / "summary.json").read_text())
    return read


def test_parts_add_up_to_the_step() -> None:
    profile = StepProfile(CPU, "fp32", 4, "clips", lambda: 10)
    for _ in profile.over([object()] * 4):  # type: ignore[list-item]
        with profile.part("forward"):
            time.sleep(0.02)
        for _ in range(2):  # parts of an accumulated step
            with profile.part("backward"):
                time.sleep(0.02)
        time.sleep(0.02)
        profile.end_step(3)
    found = profile.summary
    assert found is not None and found.steps == 1 and found.traced == 2
    assert set(found.parts) == {*PARTS, OTHER}
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.parts["forward"] >= 0.02 and found.parts["backward"] >= 0.04 and found.parts[OTHER] >= 0.02
    assert found.parts["optimiser"] == 0
    assert found.clips_per_second == pytest.approx(3 / found.seconds)
    assert found.peak is not None and found.mfu == pytest.approx(30 / found.seconds / found.peak.flops)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 20])
def test_every_run_is_long_enough(steps: int) -> None:
    profile = StepProfile(CPU, "fp32", steps, "clips", lambda: None)
    for _ in profile.over([object()] * steps):  # type: ignore[list-item]
        profile.end_step(2)
    assert profile.summary is not None and profile.summary.steps >= 1
    assert "unknown" in profile.summary.text()
    with profile.part("forward"):  # over, and nothing is measured any more
        pass


def test_a_run_leaves_a_summary_and_a_trace(squares: Path, tmp_path: Path, invoke: Any) -> None:
    flags = ("--data", squares, "--out", tmp_path / "run", "--epochs", 2, "--batch-size", 2, "--device", "cpu")
    done = invoke("train", "tiny_conv3d", *flags, *SMALL, "--workers", 0, "--profile")
    assert done.code == 0, done.err
    text = (tmp_path / "run" / "profile" / "summary.txt").read_text()
    assert text in done.out and "MFU" in text and done.out.count("MFU") == 1
    found = summary_of(tmp_path / "run")
    assert (found["steps"], found["traced"], found["inputs"], found["precision"]) == (5, 5, "clips", "fp32")
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"])
    assert all(found["parts"][name] > 0 for name in ("data wait", "forward", "backward", "optimiser"))
    assert 0 < found["mfu"] < 1 and "measured here" in found["peak"]["source"]
    with gzip.open(tmp_path / "run" / "profile" / "trace.json.gz", "rt") as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count("step: forward") == names.count("step: optimiser") == 5
    assert any("conv" in name for name, _ in found["top"]) and not any("step:" in name for name, _ in found["top"])


def test_stored_features_are_said_to_be_such(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", profile=True, **FROZEN | {"epochs": 2})
    found = summary_of(run.path)
    assert found["inputs"] == "features" and found["flops"] < 1e6
    assert "backbone is no part of the step" in (run.path / "profile" / "summary.txt").read_text()


def test_a_profile_changes_nothing_and_none_is_made_unasked(squares: Path, tmp_path: Path) -> None:
    class Look(Callback):
        def on_step(self, state: TrainingState) -> None:
            assert state.profile is None

    plain = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "plain", epochs=1, callbacks=[Look()], **TINY)
    profiled = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "profiled", epochs=1, profile=True, **TINY)
    assert (plain.path / "model.safetensors").read_bytes() == (profiled.path / "model.safetensors").read_bytes()
    assert not (plain.path / "profile").exists()


def test_peaks_of_known_gpus() -> None:
    def tera(name: str, precision: Any) -> float | None:
        peak = stated_peak(name, precision)
        return peak and peak.flops / 1e12

    assert tera("NVIDIA H100 80GB HBM3", "bf16") == 989.5 and tera("NVIDIA H100 PCIe", "bf16") == 756
    assert tera("NVIDIA A100-SXM4-80GB", "fp32") == 156 and tera("NVIDIA L4", "fp16") == 121
    assert tera("NVIDIA L40S", "bf16") == 362 and tera("Tesla T4", "fp16") == 65
    assert tera("NVIDIA A10G", "bf16") is None and tera("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16") is None
    assert tera("", "fp32") is None
    assert 1e8 < measured_peak(CPU, "fp32").flops < 1e14
