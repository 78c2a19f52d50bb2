"""Weights from files and from torchvision: what does not fit is listed."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.spec import WeightsRef
from actrec_zoo.weights import load_strictly, read_safetensors, torchvision_model, url_state

URL = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_read_what_was_written(tmp_path: Path) -> None:
    state = {"a": torch.arange(4.0), "b": torch.ones(2, 2, dtype=torch.int64)}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    read = read_safetensors(tmp_path / "w.safetensors")
    assert read.keys() == state.keys()
    assert all(torch.equal(read[key], state[key]) for key in state)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no weights file .*w\.safetensors"):
        read_safetensors(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_safetensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x80\x02}q\x00."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth is not a readable safetensors file"):
        read_safetensors(file)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="is not a readable safetensors file"):
        read_safetensors(file)


def test_load_fills_everything() -> None:
    source, target = network(), network()
    source[1].running_mean.fill_(3)
    load_strictly(target, source.state_dict(), source="a test")
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())


def test_misfits_are_listed_and_nothing_is_loaded() -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = network().state_dict()
    state["0.bias"] = torch.zeros(7)
    state["2.weight"] = torch.zeros(1)
    del state["1.running_var"]
    with pytest.raises(WeightsError) as caught:
        load_strictly(net, state, source="w.safetensors")
    assert str(caught.value) == (
        "w.safetensors does not fit the model. 1 missing: 1.running_var. 1 unexpected: 2.weight. "
        "1 of another shape: 0.bias (7,) instead of (4,)."
    )
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_long_lists_are_cut() -> None:
    with pytest.raises(WeightsError, match=r"12 unexpected: x0, .*, x7 and 4 more\."):
        load_strictly(network(), network().state_dict() | {f"x{i}": torch.zeros(1) for i in range(12)}, source="w")


def test_ignored_keys_may_be_left_over_but_not_missing() -> None:
    state = network().state_dict() | {"fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    load_strictly(network(), state, source="w", ignore=("fc.*",))
    with pytest.raises(WeightsError, match=r"1 missing: 0\.weight"):
        load_strictly(network(), {k: v for k, v in state.items() if k != "0.weight"}, source="w", ignore=("*",))


def test_batch_counters_may_be_missing() -> None:
    net = network()
    net[1].num_batches_tracked.fill_(5)
    state = {k: v for k, v in network().state_dict().items() if not k.endswith("num_batches_tracked")}
    load_strictly(net, state, source="w")
    assert net[1].num_batches_tracked.item() == 0


def test_a_network_on_the_meta_device_is_assigned() -> None:
    with torch.device("meta"):
        net = network()
    state = {k: v for k, v in network().state_dict().items() if not k.endswith("num_batches_tracked")}
    load_strictly(net, state, source="w", assign=True)
    assert not any(tensor.is_meta for tensor in net.state_dict().values())


def test_torchvision_model_by_name_with_arguments() -> None:
    with torch.device("meta"):
        net = torchvision_model("resnet18", num_classes=7)
    assert net.fc.out_features == 7


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_ported_models_normalise_as_their_weights_expect_and_do_not_warn(name: str) -> None:
    with torch.device("meta"):
        assert torchvision_model(name).transform_input is True
        assert torchvision_model(name, transform_input=False).transform_input is False


def test_unknown_torchvision_model() -> None:
    with pytest.raises(ConfigError, match=r"torchvision has no backbone 'resnet19'\. Did you mean resnet1"):
        torchvision_model("resnet19")


def test_arguments_that_torchvision_refuses() -> None:
    with pytest.raises(ConfigError, match=r"torchvision cannot build 'resnet18' with \{'colour': 3\}: "):
        torchvision_model("resnet18", colour=3)


def test_weights_that_torchvision_does_not_have() -> None:
    with (
        torch.device("meta"),
        pytest.raises(WeightsError, match="no 'kinetics400' weights for 'resnet18'; it has IMAG"),
    ):
        torchvision_model("resnet18", pretrained="kinetics400")


@pytest.mark.usefixtures("no_network")
def test_download_that_fails_names_the_address_and_the_ways_on() -> None:
    with pytest.raises(WeightsError) as caught:
        torchvision_model("squeezenet1_1", pretrained="imagenet")
    message = str(caught.value)
    assert message.startswith(f"cannot download the pretrained weights {URL}: ")
    assert "Connection refused" in message
    assert "`--weights none`" in message
    assert "`--backbone-weights FILE.safetensors`" in message


# From an address


ADDRESS = "https://models.example.org/zoo/NET.pyth"


def addressed() -> WeightsRef:
    return WeightsRef(source=f"url:{ADDRESS}", url=ADDRESS, trained_on="nothing", license="MIT")


def downloaded(home: Path, content: object) -> Path:
    """A file where torch.hub would have put it."""
    file = home / "hub" / "checkpoints" / "NET.pyth"
    file.parent.mkdir(parents=True)
    torch.save(content, file)
    return file


@pytest.mark.parametrize("nested", [True, False])
def test_weights_of_an_address(torch_home: Path, *, nested: bool) -> None:
    state = {"a": torch.ones(2, dtype=torch.float16), "n": torch.tensor(3)}
    downloaded(torch_home, {"model_state": state, "epoch": 3, "cfg": "NET: x"} if nested else state)
    read = url_state(addressed())
    assert list(read) == ["a", "n"] and read["a"].dtype == torch.float32 and read["n"] == 3


@pytest.mark.usefixtures("no_network")
def test_an_address_that_cannot_be_reached_is_named_with_the_ways_on(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"cannot download the pretrained weights {ADDRESS}: .*`--weights none`"):
        url_state(addressed())
    assert not list((tmp_path / "torch").rglob("NET*"))


class Opened:
    """What an attacker's file would have run."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("opened"),)


@pytest.mark.parametrize(
    "content", [{"model_state": {"a": Opened()}}, {"model_state": [1]}, {"a": torch.ones(2).int()}]
)
def test_other_contents_of_an_address_are_refused(
    torch_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    monkeypatch.chdir(tmp_path)
    file = downloaded(torch_home, content)
    with pytest.raises(WeightsError, match=f"{file} holds no weights that can be read"):
        url_state(addressed())
    assert not Path("opened").exists()
