"""Runs on features that are kept: what they give, when they are used again, and when they are not to be had."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import actrec_zoo
from actrec_zoo.api import FinishedRun
from actrec_zoo.data.feature_store import features_folder, kept_features
from actrec_zoo.errors import ConfigError, RunError
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from actrec_zoo.training.caching import describe_backbone
from actrec_zoo_plugins.tiny.model import TinyConv3d
from tests.conftest import moving_square, write_frames

FROZEN: dict[str, Any] = {
    "options.width": 4,
    "size": 32,
    "frames": 4,
    "stride": 1,
    "workers": 0,
    "device": "cpu",
    "batch_size": 4,
    "lr": 0.01,
    "epochs": 3,
    "trainable": ("@head",),
    "sampling": "blocks",
}
AUGMENTED: dict[str, Any] = FROZEN | {"augment": ("random_crop", "rotation")}


@pytest.fixture
def train(squares: Path, tmp_path: Path) -> Any:
    numbers = iter(range(100))

    def run(model: str = "tiny_conv3d", data: Path = squares, **settings: Any) -> FinishedRun:
        return actrec_zoo.train(model, data, out=tmp_path / f"run{next(numbers)}", **FROZEN | settings)

    return run


def require_same(cached: FinishedRun, live: FinishedRun, start: dict[str, torch.Tensor]) -> None:
    """The loss curve, the logits, and the weights relative to the distance that they travelled."""
    for one, other in zip(cached.result.history, live.result.history, strict=True):
        for name in ("train_loss", "train_top1", "val_loss", "val_top1"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5), name
    clips = torch.rand(4, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(cached.model(clips), live.model(clips), atol=1e-5)
    last = [_weights_at_the_end(run.path / "checkpoints") for run in (cached, live)]
    moved = 0
    for name, begun in start.items():
        ends = [tensors[f"model.{name}"].float() for tensors in last]
        way = (ends[1] - begun).norm()
        moved += int(way > 0)
        assert (ends[0] - ends[1]).norm() <= 1e-4 * way, name
    assert moved == sum(name.startswith("head.") for name in start)


def _weights_at_the_end(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "frozen.safetensors") | load_file(folder / "last.safetensors")


def start_of(run: FinishedRun) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = get_registry().find("tiny_conv3d")
    net = create(model, labels=["left", "right"], input=run.model.input, options={"width": 4}).net
    return {name: tensor.float() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_features_give_the_same_training_as_the_whole_network(train: Any, optimizer: str) -> None:
    live = train(cache_features="off", optimizer=optimizer)
    cached = [train(cache_features="on", optimizer=optimizer) for _ in range(2)]
    for run in cached:
        require_same(run, live, start_of(live))
    assert (cached[0].path / "model.safetensors").read_bytes() == (cached[1].path / "model.safetensors").read_bytes()


def test_as_many_views_as_epochs_are_the_augmented_training_itself(train: Any) -> None:
    live = train(**AUGMENTED)
    cached = train(**AUGMENTED, cache_features="on", feature_views=30)
    require_same(cached, live, start_of(live))
    assert len(kept_features(features_folder())) == 3 + 1, "no more views than epochs, and the validation clips"
    random = {"sampling": "random"}
    require_same(train(**random, feature_views=3), train(**random), start_of(live))


def test_fewer_views_come_round_again(train: Any) -> None:
    settings = AUGMENTED | {"lr": 0.0, "epochs": 4, "batch_size": 60}
    losses = [record.train_loss for record in train(**settings, feature_views=2).result.history]
    assert losses[0] == pytest.approx(losses[2]) and losses[1] == pytest.approx(losses[3])
    assert losses[0] != pytest.approx(losses[1])


def test_mirrored_clips_keep_the_class_that_they_were_given(train: Any) -> None:
    flip = {"augment": ("horizontal_flip",), "flip_labels": {"left": "right"}}
    live, cached = train(**flip), train(**flip, feature_views=3)
    require_same(cached, live, start_of(live))


def test_other_head_options_and_rates_find_the_features_of_the_first_run(
    train: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train()
    assert "are kept in" not in caplog.text
    train(**{"options.dropout": 0.5, "lr": 0.1, "epochs": 1, "batch_size": 7, "optimizer": "sgd"})
    assert caplog.text.count("features of 48 of 48 clips are kept in") == 1
    assert caplog.text.count("features of 6 of 6 clips are kept in") == 1
    caplog.clear()
    for other in ({"seed": 1}, {"size": 48}, {"options.width": 8}, {"features_dtype": "bfloat16"}):
        train(epochs=1, **other)
    assert "are kept in" not in caplog.text


def test_models_that_differ_in_the_head_alone_share_features() -> None:
    def described(name: str, **options: Any) -> dict[str, Any]:
        torch.manual_seed(0)
        return describe_backbone(create(get_registry().find(name), labels=["a", "b"], options=options))

    assert described("r3d_attn8") == described("r3d_attn16") == described("r3d_attn8", layers=1, readout="cls")
    assert described("r3d_attn8") != described("r3d_attn8", grid=(1, 2, 2))
    assert described("r3d_attn8")["options"] == described("r3d_attn8", layers=0)["options"]
    assert described("r3d_attn8") != described("r3d_attn8", layers=0), "other features, as the modules show"


def test_a_run_in_bf16_computes_its_features_in_bf16_and_shares_none_with_fp32(train: Any) -> None:
    cached, live = (train(cache_features=on, precision="bf16") for on in ("on", "off"))
    for one, other in zip(cached.result.history, live.result.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
    exact = train(cache_features="on", precision="fp32")
    assert exact.result.history[0].train_loss != cached.result.history[0].train_loss
    assert len(list(kept_features(features_folder()))) == 2 * len(("train", "val"))


def test_the_backbone_takes_as_many_clips_at_once_as_validation_does(train: Any) -> None:
    taken: list[int] = []
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: taken.append(len(inputs[0])) if isinstance(module, TinyConv3d) else None
    )
    with hook:
        train(cache_features="off", eval_batch_size=3, epochs=1, trainable=("*",))
    assert max(taken) == 4 and 3 in taken, taken


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_trains_as_well(train: Any, dtype: str) -> None:
    full, half = train(epochs=2), train(epochs=2, features_dtype=dtype)
    for one, other in zip(full.result.history, half.result.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"trainable": ("*",)}, r"more than the head trains \(backbone\.0\.0\.weight\).*--trainable @head"),
        ({"trainable": ("*",), "feature_views": 2}, "more than the head trains"),
        ({"sampling": "random"}, r"differ from epoch to epoch .* feature_views=K"),
    ],
)
def test_features_asked_for_in_vain_are_an_error(
    train: Any, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        train(**settings, cache_features="on")
    assert not (tmp_path / "run0").exists()
    assert kept_features(features_folder()) == []


def test_without_room_the_backbone_runs_in_every_epoch(
    train: Any, small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * 395_000)
    with_room = train(epochs=1)
    monkeypatch.setenv("ACTREC_ZOO_CACHE", str(small_disk))
    without = train(epochs=1)
    assert "the backbone runs in every epoch: features need" in caplog.text
    assert without.result.last.train_loss == pytest.approx(with_room.result.last.train_loss, rel=1e-5)
    with pytest.raises(RunError, match="cache_features=off"):
        train(epochs=1, cache_features="on")


def test_a_broken_video_is_skipped_in_every_view(train: Any, tmp_path: Path) -> None:
    for label, step in (("left", -2), ("right", 2)):
        for number in range(6):
            write_frames(tmp_path / "data" / label / f"clip{number}", moving_square(12, step=step, start=number))
    for number in range(6):
        frame = tmp_path / "data" / "left" / f"clip{number}" / "2.jpg"
        if number < 3:
            frame.write_bytes(frame.read_bytes()[:200])
    for settings in (FROZEN, AUGMENTED | {"feature_views": 2}):
        run = train(data=tmp_path / "data", **settings)
        again = train(data=tmp_path / "data", **settings)
        assert {f.path for f in run.result.failures} == {f.path for f in again.result.failures} != set()
