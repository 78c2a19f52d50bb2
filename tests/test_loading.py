"""`load`: names, folders, references, and every way they can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError, PluginError, RunError, UnknownNameError, WeightsError
from actrec_zoo.hub import store
from actrec_zoo.hub.packing import write_config, write_weights
from actrec_zoo.loading import create
from actrec_zoo.registry import get_registry
from tests.distributions import Site, model_code

LABELS = ("jump", "run", "sit")
SMALL = {"width": 4}


def small(labels: tuple[str, ...] = LABELS) -> VideoClassifier:
    model = get_registry().find("tiny_conv3d")
    return create(model, labels=labels, input=model.spec.input.with_size(32), options=SMALL)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained model's folder, `tmp_path/run`."""
    folder, model = tmp_path / "run", small()
    write_config(folder, model, {"distribution": "actrec-zoo", "version": "1"})
    write_weights(folder / "model.safetensors", model.net.state_dict())
    return folder


def same_weights(model: VideoClassifier, file: Path, but: tuple[str, ...] = ()) -> bool:
    state = safetensors.torch.load_file(file)
    own = model.net.state_dict()
    assert own.keys() == state.keys()
    return all(torch.equal(own[k], state[k]) for k in own if not k.startswith(but)) and not any(
        own[k].shape == state[k].shape and torch.equal(own[k], state[k]) for k in own if but and k.startswith(but)
    )


# Random weights


def test_without_weights() -> None:
    model = actrec_zoo.load("tiny_conv3d", weights=None)
    assert len(model.labels) == 25
    assert not model.training
    assert actrec_zoo.load("tiny_conv3d", weights="none", num_classes=3).labels == ("0", "1", "2")


def test_device() -> None:
    assert actrec_zoo.load("tiny_conv3d", weights=None, device="meta").device.type == "meta"


@pytest.mark.parametrize("classes", [0, -1])
def test_number_of_classes_is_positive(run: Path, classes: int) -> None:
    for name, weights in (("tiny_conv3d", None), (str(run), "auto"), (str(run), None)):
        with pytest.raises(ConfigError, match=f"num_classes must be at least 1, not {classes}"):
            actrec_zoo.load(name, weights=weights, num_classes=classes)


# Trained weights


def test_folder_of_a_model(run: Path) -> None:
    model = actrec_zoo.load(run)
    assert model.labels == LABELS
    assert (model.input.size, model.options) == (32, SMALL)
    assert same_weights(model, run / "model.safetensors")


def test_ways_to_write_a_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    monkeypatch.setenv("HOME", str(run.parent))
    for name in (run, str(run), "./run", Path("run"), "run", "~/run", run / "model.safetensors", run / "config.json"):
        assert actrec_zoo.load(name).labels == LABELS


@pytest.mark.usefixtures("empty_index")
def test_a_name_of_a_model_is_no_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.rename(run.parent / "tiny_conv3d")
    monkeypatch.chdir(run.parent)
    with pytest.raises(WeightsError, match="no trained weights of 'tiny_conv3d' are in the index or the local store"):
        actrec_zoo.load("tiny_conv3d")
    assert actrec_zoo.load("./tiny_conv3d").labels == LABELS


@pytest.mark.usefixtures("empty_index")
def test_name_leads_to_the_local_store(run: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        actrec_zoo.load("tiny_conv3d")
    assert "`actrec-zoo train tiny_conv3d --data DIR`" in str(caught.value)
    assert "weights=None" in str(caught.value)
    assert "pretrained" not in str(caught.value)
    store.register("tiny:tiny_conv3d", run)
    assert same_weights(actrec_zoo.load("tiny_conv3d"), run / "model.safetensors")
    assert actrec_zoo.load("tiny:tiny_conv3d").labels == LABELS


def test_the_index_comes_before_the_local_store(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.register("tiny:tiny_conv3d", run)
    with caplog.at_level("INFO"):
        assert "grow" in actrec_zoo.load("tiny_conv3d").labels
    assert f"weights of the index, which come with actrec-zoo; your own run is {run}" in caplog.text
    assert same_weights(actrec_zoo.load(run), run / "model.safetensors")


def test_message_offers_pretrained_weights_where_there_are_some() -> None:
    with pytest.raises(WeightsError, match='weights="pretrained"'):
        actrec_zoo.load("r3d")


def test_other_number_of_classes_keeps_all_but_the_classifier(run: Path) -> None:
    model = actrec_zoo.load(run, num_classes=5)
    assert model.labels == ("0", "1", "2", "3", "4")
    assert same_weights(model, run / "model.safetensors", but=("head.classifier.",))
    assert actrec_zoo.load(run, num_classes=3).labels == LABELS


def test_folder_without_its_weights(run: Path) -> None:
    model = actrec_zoo.load(run, weights=None)
    assert (model.labels, model.options) == (LABELS, SMALL)
    assert not same_weights(model, run / "model.safetensors")
    assert len(actrec_zoo.load(run, weights=None, num_classes=9).labels) == 9


def test_weights_of_another_run(run: Path) -> None:
    model = actrec_zoo.load("tiny_conv3d", weights=str(run))
    assert (model.labels, model.options, model.input.size) == (LABELS, SMALL, 32)
    assert same_weights(model, run / "model.safetensors")
    other = actrec_zoo.load("tiny_conv3d", weights=str(run), num_classes=2)
    assert same_weights(other, run / "model.safetensors", but=("head.classifier.",))


@pytest.mark.parametrize("name", ["bare.safetensors", "model.safetensors"])
def test_weights_of_a_bare_file(run: Path, tmp_path: Path, name: str) -> None:
    file = (run / "model.safetensors").rename(tmp_path / name)
    model = create(get_registry().find("tiny_conv3d"), labels=LABELS, options=SMALL, weights=str(file))
    assert same_weights(model, file)
    with pytest.raises(WeightsError, match=r"\.safetensors does not fit the model\. .*head\.classifier\.weight"):
        create(get_registry().find("tiny_conv3d"), labels=("a", "b"), options=SMALL, weights=str(file))


def test_weights_of_another_architecture(run: Path) -> None:
    with pytest.raises(WeightsError, match=r"are of tiny:tiny_conv3d, which is built otherwise than r3d:r3d"):
        actrec_zoo.load("r3d", weights=str(run))


@pytest.mark.parametrize("weights", ["imagenet", "nonsense"])
def test_unknown_weights(weights: str) -> None:
    with pytest.raises(WeightsError, match=f"r3d has no weights '{weights}': use pretrained, kinetics400, none, the p"):
        actrec_zoo.load("r3d", weights=weights)


def test_no_pretrained_weights() -> None:
    with pytest.raises(WeightsError, match="tiny_conv3d has no pretrained weights: use `--weights none`"):
        actrec_zoo.load("tiny_conv3d", weights="pretrained")


@pytest.mark.parametrize("name", ["./nothing", "no/where"])
def test_missing_folder(name: str) -> None:
    with pytest.raises(RunError, match="is no run or model folder"):
        actrec_zoo.load(name)
    with pytest.raises(WeightsError, match="there is no weights file"):
        actrec_zoo.load("tiny_conv3d", weights=name)


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"there is no model 'tiny_conv4d'\. Did you mean tiny_conv3d\?"):
        actrec_zoo.load("tiny_conv4d")


def test_damaged_weights(run: Path) -> None:
    (run / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"model\.safetensors is not a readable safetensors file"):
        actrec_zoo.load(run)


# Options


def test_options_are_checked() -> None:
    model = get_registry().find("tiny_conv3d")
    with pytest.raises(ConfigError, match=r"has no option 'widht'\. Did you mean width\? It has width, dropout"):
        create(model, labels=LABELS, options={"widht": 4})


@pytest.mark.parametrize("options", [{"width": -4}, {"dropout": 7}])
def test_options_that_the_builder_refuses(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="tiny:tiny_conv3d cannot be built with"):
        create(get_registry().find("tiny_conv3d"), labels=LABELS, options=options)


# Backbone files


def test_backbone_file(tmp_path: Path) -> None:
    source = small()
    file = tmp_path / "backbone.safetensors"
    write_weights(file, source.net.backbone.state_dict())
    model = create(get_registry().find("tiny_conv3d"), labels=LABELS, options=SMALL, backbone_weights=file)
    backbone = model.net.backbone.state_dict()
    assert all(torch.equal(backbone[k], v) for k, v in source.net.backbone.state_dict().items())
    assert not torch.equal(model.net.head.classifier.weight, source.net.head.classifier.weight)


def test_backbone_file_that_does_not_fit(tmp_path: Path) -> None:
    state = small().net.backbone.state_dict()
    state["9.weight"] = state.pop("0.0.weight")
    state["0.1.weight"] = torch.zeros(5)
    file = tmp_path / "backbone.safetensors"
    write_weights(file, state)
    with pytest.raises(WeightsError) as caught:
        create(get_registry().find("tiny_conv3d"), labels=LABELS, options=SMALL, backbone_weights=file)
    assert str(caught.value) == (
        f"--backbone-weights {file} does not fit the model. 1 missing: 0.0.weight. 1 unexpected: 9.weight. "
        "1 of another shape: 0.1.weight (5,) instead of (4,)."
    )


# Plugins


def test_builder_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add(
        "extra", model_code("net").replace("actrec_zoo_plugins.tiny.model:build", "MODULE.model:build"), model="1/0"
    )
    with site.installed(), pytest.raises(PluginError) as caught:
        actrec_zoo.load("net", weights=None)
    assert "plugin 'extra' of model 'extra:net' is broken: cannot import" in str(caught.value)
    assert "ZeroDivisionError" in str(caught.value)


def test_model_of_another_plugin_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("extra", model_code("net"))
    with site.installed():
        assert actrec_zoo.load("extra:net", weights=None).id == "extra:net"
