"""Settings: where they come from, which one wins, and what is said about one that does not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import actrec_zoo
from actrec_zoo.config import Layer, Resolved, TrainConfig, flatten, parse_assignment, read_toml, resolve
from actrec_zoo.errors import ConfigError
from actrec_zoo.registry import get_registry

BASE = {"model": "r2d_attn:r2d_attn", "data": "videos"}


def resolved(*layers: tuple[str, dict[str, Any]], model: str = "r2d_attn") -> Resolved:
    return resolve(actrec_zoo.get_spec(model), [Layer("flag", BASE), *(Layer(*layer) for layer in layers)])


def test_defaults_of_the_model_win_over_those_of_the_zoo() -> None:
    result = resolved()
    assert (result.config.optimizer, result.config.lr, result.config.batch_size) == ("adam", 1e-5, 8)
    assert result.config.momentum == TrainConfig(**BASE).momentum
    assert result.origins["lr"] == "model"
    assert "momentum" not in result.origins


def test_later_layers_win_and_origins_are_kept() -> None:
    result = resolved(("my.toml", {"lr": 1e-2, "epochs": 3}), ("flag", {"lr": 1e-3}))
    assert (result.config.lr, result.config.epochs) == (1e-3, 3)
    assert result.origins["lr"] == "flag"
    assert result.origins["epochs"] == "my.toml"


def test_nested_settings_are_merged() -> None:
    result = resolved(
        ("my.toml", {"options": {"heads": 4, "layers": 2}, "lr_factors": {"stem": 0.1}}),
        ("flag", {"options.heads": 16, "options.backbone_args.width_mult": 0.35, "lr_factors.head": 2.0}),
    )
    assert result.config.options == {"heads": 16, "layers": 2, "backbone_args": {"width_mult": 0.35}}
    assert result.config.lr_factors == {"stem": 0.1, "head": 2.0}
    assert (result.origins["options.heads"], result.origins["options.layers"]) == ("flag", "my.toml")


def test_layers_are_not_changed() -> None:
    file = {"options": {"heads": 4}}
    resolved(("my.toml", file), ("flag", {"options.heads": 8}))
    assert file == {"options": {"heads": 4}}


def test_model_without_pretrained_weights_starts_at_random() -> None:
    result = resolved(model="tiny_conv3d")
    assert (result.config.weights, result.origins["weights"]) == ("none", "model")
    assert resolved().config.weights == "pretrained"


@pytest.mark.parametrize("name", [model.id for model in get_registry().models])
def test_defaults_of_every_model_are_valid(name: str) -> None:
    result = resolved(model=name)
    spec = actrec_zoo.get_spec(name)
    assert result.config.trainable_of(spec) == spec.trainable
    assert result.config.input_of(spec).frames == spec.defaults.get("frames", spec.input.frames)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("epoch", r"there is no setting 'epoch' \(flag\)\. Did you mean epochs"),
        ("option.heads", r"there is no setting 'option\.heads'.*options\.heads"),
        ("lr.stem", r"there is no setting 'lr\.stem'"),
        ("options.head", r"r2d_attn has no option 'head'\. Did you mean heads.*It has backbone, "),
        ("", "there is no setting ''"),
    ],
)
def test_unknown_key_tells_the_nearest(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved(("flag", {key: 1}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("epochs", 0), ("epochs", "many"), ("epochs", 1.5), ("batch_size", -1), ("lr", -1e-3), ("lr", "fast")),
        *(("lr", float("nan")), ("optimizer", "lion"), ("schedule", "linear"), ("sampling", "all"), ("device", "tpu")),
        *(("workers", -1), ("seed", -1), ("frames", 0), ("milestones", 5), ("trainable", "@head"), ("augment", "flip")),
        *(("options", 3), ("lr_factors", {"stem": "low"}), ("ratios", (0.5, 0.5)), ("label_smoothing", 1)),
        *(("layer_decay", 0), ("layer_decay", 1.1), ("betas", (0.9, 1.0)), ("betas", (0.9,)), ("mixup", -0.1)),
        *(("randaugment_magnitude", 31), ("randaugment_ops", 0), ("erasing", 1.5), ("balance", "both")),
    ],
)
def test_value_that_does_not_fit_is_named_with_its_origin(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"setting '{key}.*' \(my\.toml\) is ") as caught:
        resolved(("my.toml", {key: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "sgd", "momentum": 0.0, "nesterov": True}, "nesterov=true needs a momentum above 0"),
        ({"lr": 1e-3, "min_lr": 0.01}, "min_lr=0.01 is above lr=0.001"),
        ({"lr": 1e-3, "warmup_lr": 0.01}, "warmup_lr=0.01 is above lr=0.001"),
    ],
)
def test_values_that_do_not_fit_each_other_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(("flag", settings))
    assert str(caught.value) == message


def test_all_values_that_do_not_fit_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(("a.toml", {"epochs": 0}), ("flag", {"lr": -1}))
    assert "'epochs' (a.toml)" in str(caught.value)
    assert "'lr' (flag)" in str(caught.value)


def test_input_of_a_run() -> None:
    spec = actrec_zoo.get_spec("r3d")
    config = resolved(("flag", {"frames": 16, "size": 56, "stride": 2, "sampling": "random"}), model="r3d").config
    own = config.input_of(spec)
    assert (own.frames, own.size, own.resize, own.stride, own.sampling) == (16, 56, (64, 86), 2, "blocks")
    assert own.mean == spec.input.mean
    uniform = resolved(("flag", {"sampling": "uniform", "views": 3}), model="r3d").config.input_of(spec)
    assert (uniform.sampling, uniform.views) == ("uniform", 3)


def test_a_rate_of_clip_frames_and_a_stride_take_the_place_of_each_other() -> None:
    spec = actrec_zoo.get_spec("r3d")
    timed = dataclasses.replace(spec, input=dataclasses.replace(spec.input, fps=15.0))
    assert resolved(model="r3d").config.input_of(timed).fps == 15
    assert resolved(("flag", {"fps": 10}), model="r3d").config.input_of(timed).fps == 10
    assert resolved(("flag", {"stride": 2}), model="r3d").config.input_of(timed).fps is None
    for bad in (0, -1.0, "fast"):
        with pytest.raises(ConfigError, match="'fps'"):
            resolved(("flag", {"fps": bad}), model="r3d")


def test_trainable_of_a_run() -> None:
    spec = actrec_zoo.get_spec("r3d")
    assert resolved(("flag", {"trainable": ("@stem",)}), model="r3d").config.trainable_of(spec) == ("@stem",)
    assert resolved(("flag", {"trainable": ()}), model="r3d").config.trainable_of(spec) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-3", ("lr", 1e-3)),
        ("epochs=3", ("epochs", 3)),
        (" epochs = 3 ", ("epochs", 3)),
        ("augment=['flip']", ("augment", ["flip"])),
        ("options.grid=[1, 2, 2]", ("options.grid", [1, 2, 2])),
        ("options.center=true", ("options.center", True)),
        ("optimizer=sgd", ("optimizer", "sgd")),
        ("weights=./runs/a=b", ("weights", "./runs/a=b")),
        ("trainer='1'", ("trainer", "1")),
        ("splits=", ("splits", "")),
        ("trainer=a\nb = 2", ("trainer", "a\nb = 2")),
        ("trainer=1\nb = 2", ("trainer", "1\nb = 2")),
    ],
)
def test_assignment(text: str, expected: tuple[str, object]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["lr", "=3", " =3", ""])
def test_assignment_without_a_key(text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form key=value"):
        parse_assignment(text)


def test_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('lr = 0.1\ntrainable = ["@head"]\n[options]\nheads = 4\n[lr_factors]\nstem = 0.1\n')
    layer = read_toml(file)
    assert layer.origin == "my.toml"
    assert flatten(layer.values) == {
        "lr": 0.1,
        "trainable": ["@head"],
        "options.heads": 4,
        "lr_factors.stem": 0.1,
    }


def test_toml_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read --config"):
            read_toml(path)
    for content in (b"lr = = 1", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
            read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("settings", "processes", "clips"),
    [
        ({}, 1, 16),
        ({"accumulate": 3}, 2, 3),
        ({"batch_size": 2, "accumulate": 4}, 1, 1),
        ({"eval_batch_size": 8}, 4, 8),
    ],
)
def test_clips_at_once_where_nothing_trains(settings: dict[str, Any], processes: int, clips: int) -> None:
    config = TrainConfig.model_validate({"model": "tiny_conv3d", "data": "data", **settings})
    assert config.evaluated_at_once(processes) == clips


def test_config_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        resolved().config.lr = 1  # type: ignore[misc]
