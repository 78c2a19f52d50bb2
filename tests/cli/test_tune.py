"""`actrec-zoo tune` on real frames: what it leaves, that its result is that of `train`, what it refuses."""

from __future__ import annotations

import csv
import shutil
import signal
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import actrec_zoo
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.feature_store import features_folder, kept_features
from actrec_zoo.errors import ConfigError, InterruptedRun, RunError
from tests.conftest import SMALL, Outcome
from tests.distributions import Site

pytest.importorskip("optuna", reason="the extra `tune` is not installed")
from actrec_zoo.tuning import Tuned, tune
from actrec_zoo.tuning.trials import Trial

Invoke = Callable[..., Outcome]
HEAD: dict[str, Any] = {
    "options.width": 4,
    "size": 32,
    "frames": 4,
    "stride": 1,
    "workers": 0,
    "device": "cpu",
    "batch_size": 8,
    "epochs": 2,
    "trainable": ("@head",),
    "sampling": "blocks",
}


def without_seconds(found: Tuned) -> list[tuple[Any, ...]]:
    return [(t.number, dict(t.settings), t.val_top1, t.val_loss, t.epoch, t.error) for t in found.trials]


def test_the_best_settings_train_what_the_best_trial_trained(squares: Path, tmp_path: Path) -> None:
    found = tune("tiny_conv3d", squares, trials=6, out=tmp_path / "tune", **HEAD)
    assert len(found.trials) == 6 and len(kept_features(features_folder())) == 2
    assert set(found.best.settings) == {"lr", "weight_decay", "options.dropout"}
    assert dict(found.trials[0].settings) == {"lr": 4e-3, "weight_decay": 0.02, "options.dropout": 0.0}
    assert found.best.rank == max(trial.rank for trial in found.trials)
    run = actrec_zoo.train(
        "tiny_conv3d", squares, out=tmp_path / "run", config=found.path / "best.toml", workers=0, device="cpu"
    )
    best = run.result.best
    assert (best.val_top1, best.val_loss, best.epoch) == (
        found.best.val_top1,
        found.best.val_loss,
        found.best.epoch,
    )


def test_the_same_seed_gives_the_same_trials_and_another_one_others(squares: Path, tmp_path: Path) -> None:
    one, same, other = (
        tune("tiny_conv3d", squares, trials=4, out=tmp_path / str(n), **HEAD | {"seed": seed})
        for n, seed in enumerate((0, 0, 1))
    )
    assert without_seconds(one) == without_seconds(same)
    assert without_seconds(one)[1:] != without_seconds(other)[1:]
    assert (one.path / "best.toml").read_text() == (same.path / "best.toml").read_text()


def test_an_interrupted_search_goes_on_to_the_same_trials(squares: Path, tmp_path: Path) -> None:
    whole = tune("tiny_conv3d", squares, trials=14, out=tmp_path / "whole", **HEAD)

    def press(trial: Any) -> None:
        if trial.number == 11:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun, match=r"after 12 trials.*--resume"):
        tune("tiny_conv3d", squares, trials=14, out=tmp_path / "cut", told=press, **HEAD)
    told: list[int] = []
    cut = tune(
        "tiny_conv3d",
        squares,
        trials=14,
        out=tmp_path / "cut",
        resume=True,
        told=lambda t: told.append(t.number),
        **HEAD,
    )
    assert told == [12, 13]
    assert without_seconds(cut) == without_seconds(whole)
    with pytest.raises(ConfigError, match="other settings"):
        tune("tiny_conv3d", squares, trials=14, out=tmp_path / "cut", resume=True, **HEAD | {"epochs": 3})
    with pytest.raises(RunError, match="--resume"):
        tune("tiny_conv3d", squares, trials=14, out=tmp_path / "cut", **HEAD)


def test_what_is_given_is_not_searched(squares: Path, tmp_path: Path) -> None:
    config = tmp_path / "given.toml"
    config.write_text('lr = 0.01\nflip_labels = {"left" = "right"}\n\n[options]\nwidth = 4\ndropout = 0.2\n')
    settings = {key: value for key, value in HEAD.items() if key != "options.width"}
    augment = {"augment": ("horizontal_flip",), "feature_views": 2}
    found = tune("tiny_conv3d", squares, trials=3, out=tmp_path / "tune", config=config, **settings | augment)
    assert all(set(trial.settings) == {"weight_decay"} for trial in found.trials)
    best = tomllib.loads((found.path / "best.toml").read_text())
    assert best["lr"] == 0.01 and best["options"] == {"width": 4, "dropout": 0.2} and best["feature_views"] == 2
    assert best["flip_labels"] == {"left": "right"} and best["trainable"] == ["@head"]
    assert not {"model", "data", "workers", "device"} & best.keys() and best.keys() <= TrainConfig.model_fields.keys()
    with pytest.raises(ConfigError, match="nothing to search"):
        tune("tiny_conv3d", squares, out=tmp_path / "none", config=config, weight_decay=0.1, **HEAD)


def test_settings_that_do_not_go_together_cost_a_trial_each(squares: Path, tmp_path: Path) -> None:
    small = {key: HEAD[key] for key in ("frames", "workers", "device")} | {"size": 64, "views": 1, "epochs": 1}
    small |= {"weights": "none", "lr": 0.01, "weight_decay": 0.0, "options.project": 12}
    small |= {"options.layers": 1, "options.dropout": 0.0, "options.readout": "mean"}
    found = tune("squeezenet_attn", squares, trials=6, out=tmp_path / "tune", **small)
    assert set(found.best.settings) == {"options.heads"} and found.best.settings["options.heads"] == 4
    refused = [trial for trial in found.trials if trial.settings["options.heads"] == 8]
    assert refused and all("heads=8 does not divide the token width 12" in trial.error for trial in refused)
    with (found.path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == list("012345")
    assert [row["error"] for row in rows] == [trial.error for trial in found.trials]
    again = tune("squeezenet_attn", squares, trials=6, out=tmp_path / "tune", resume=True, **small)
    assert without_seconds(again) == without_seconds(found)


def test_no_rate_is_tried_that_train_refuses(squares: Path, tmp_path: Path) -> None:
    settings = HEAD | {"epochs": 1, "schedule": "cosine", "min_lr": 2e-3, "weight_decay": 0.0, "options.dropout": 0.0}
    found = tune("tiny_conv3d", squares, trials=8, out=tmp_path / "tune", **settings)
    assert not any(trial.error for trial in found.trials)
    rates = [trial.settings["lr"] for trial in found.trials]
    assert rates[0] == 4e-3 and min(rates) >= 2e-3
    best = tomllib.loads((found.path / "best.toml").read_text())
    assert TrainConfig.model_validate({**best, "model": "tiny_conv3d", "data": "none"}).min_lr == 2e-3


def test_weights_lie_as_they_do_in_train(squares: Path, tmp_path: Path) -> None:
    orders: set[bool] = set()

    def note(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.Conv3d) and module.weight.device.type == "cpu":
            orders.add(module.weight.is_contiguous(memory_format=torch.channels_last_3d))

    with nn.modules.module.register_module_forward_pre_hook(note):
        tune("tiny_conv3d", squares, trials=1, out=tmp_path / "tune", **HEAD | {"epochs": 1, "channels_last": "on"})
    assert orders == {True}


GREEDY = """
from actrec_zoo.plugin import *

@hookimpl
def actrec_zoo_objectives():
    yield ObjectiveSpec(name="greedy", summary="Takes all memory where nothing decays", builder="MODULE.parts:Greedy")
"""
GREEDY_PARTS = """
import torch
from actrec_zoo.training.objective import Classification

class Greedy(Classification):
    def __init__(self, config):
        super().__init__(config)
        self.size = 2**55 if config.weight_decay == 0.02 else 1
    def __call__(self, model, batch):
        torch.empty(self.size)
        return super().__call__(model, batch)
"""


def test_settings_that_take_too_much_memory_cost_a_trial_each(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("hungry", GREEDY, parts=GREEDY_PARTS)
    with site.installed():
        settings = HEAD | {"epochs": 1, "objective": "hungry:greedy"}
        found = tune("tiny_conv3d", squares, trials=6, out=tmp_path / "tune", **settings)
    refused = [trial for trial in found.trials if trial.settings["weight_decay"] == 0.02]
    assert found.trials[0] in refused and not found.best.error and len(found.trials) == 6
    assert all("not enough memory to train with these settings" in trial.error for trial in refused)


def test_sigterm_between_two_trials_is_told(squares: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRun, match=r"after 1 trials.*--resume"):
        tune(
            "tiny_conv3d",
            squares,
            trials=3,
            out=tmp_path / "tune",
            told=lambda trial: signal.raise_signal(signal.SIGTERM),
            **HEAD | {"epochs": 1},
        )
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_trial_that_could_be_finished_is_an_error(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no trial could be finished: the loss is not a number in epoch 1"):
        tune("tiny_conv3d", squares, trials=2, out=tmp_path / "tune", **HEAD | {"optimizer": "sgd", "lr": 1e30})
    assert not (tmp_path / "tune" / "best.toml").exists()


def test_two_searches_in_one_folder_are_refused(squares: Path, tmp_path: Path) -> None:
    def second(trial: Trial) -> None:
        with pytest.raises(RunError, match="is in use: another process"):
            tune("tiny_conv3d", squares, trials=1, out=tmp_path / "tune", resume=True, **HEAD)
        refused.append(trial)

    refused: list[Trial] = []
    tune("tiny_conv3d", squares, trials=1, out=tmp_path / "tune", told=second, **HEAD)
    assert len(refused) == 1


@pytest.mark.parametrize("setting", [{"trackers": ("tensorboard",)}, {"checkpoint_steps": 3}])
def test_settings_that_mean_runs_are_refused(squares: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"tune has no use for {next(iter(setting))}"):
        tune("tiny_conv3d", squares, out=tmp_path / "tune", **HEAD | setting)


def test_the_time_is_a_bound(squares: Path, tmp_path: Path) -> None:
    found = tune("tiny_conv3d", squares, trials=10**6, seconds=2.0, out=tmp_path / "tune", **HEAD)
    assert 1 <= len(found.trials) < 10**6
    with pytest.raises(RunError, match="no trial could be finished in 1e-06 s: give --seconds more"):
        tune("tiny_conv3d", squares, seconds=1e-6, out=tmp_path / "none", **HEAD)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"trainable": ("*",)}, "more than the head trains"), ({"sampling": "random"}, "feature_views=K")],
)
def test_a_search_without_features_is_refused(
    squares: Path, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=f"tune trains on features .*{reason}"):
        tune("tiny_conv3d", squares, out=tmp_path / "tune", **HEAD | settings)
    assert not (tmp_path / "tune").exists()


def test_the_test_videos_are_not_looked_at(squares: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(squares, data)
    found = tune("tiny_conv3d", data, trials=2, out=tmp_path / "a", **HEAD)
    run = actrec_zoo.train("tiny_conv3d", data, out=tmp_path / "run", **HEAD)
    with (run.path / "splits" / "test.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for frame in (data / row["path"]).iterdir():
                frame.write_bytes(b"not a picture")
    again = tune("tiny_conv3d", data, trials=2, out=tmp_path / "b", **HEAD)
    assert without_seconds(found) == without_seconds(again)


def test_the_command_prints_a_table_and_the_next_command(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    flags = (*SMALL, "--set", "trainable=['@head']", "--set", "sampling=blocks", "--epochs", "1", "--workers", "0")
    small = [flag.replace("--size", "--set").replace("--frames", "--set") for flag in flags]
    small = ["size=32" if flag == "32" else "frames=4" if flag == "4" else flag for flag in small]
    outcome = invoke("tune", "tiny_conv3d", "--data", squares, "--trials", 3, "--out", tmp_path / "tune", *small)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("trial ") >= 3 and "val top-1 (video)" in outcome.out
    assert f"--config {tmp_path / 'tune' / 'best.toml'}" in outcome.out
    refused = invoke("tune", "tiny_conv3d", "--data", squares, "--out", tmp_path / "tune", *small)
    assert refused.code == 2 and refused.err.startswith("error: --out") and "--resume" in refused.err


def test_without_the_extra_the_way_to_it_is_told(
    squares: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = invoke("tune", "tiny_conv3d", "--data", squares, "--out", tmp_path / "tune")
    assert outcome.code == 2 and "pip install 'actrec-zoo[tune]'" in outcome.err
    assert not (tmp_path / "tune").exists()
