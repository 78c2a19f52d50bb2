"""Networks built without their weights, and filled from a file."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from actrec_zoo.errors import ConfigError, WeightsError
from actrec_zoo.hub.packing import _DTYPES, write_weights
from actrec_zoo.skeleton import Allowance, bounded, twins, untied_state
from actrec_zoo.tensor_file import ALIGNMENT, read_header
from actrec_zoo.weights import build_from_file, load_strictly


class Net(nn.Module):
    """Tied parameters, buffers in the file and not, a plain table, and sizes that are no multiple of 64 bytes."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(16, 16)
        self.decoder = nn.Linear(16, 16, bias=False)
        self.decoder.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(16)
        self.last = nn.Linear(16, 3)
        self.last.weight.requires_grad_(False)
        self.register_buffer("table", torch.linspace(0, 1, 16), persistent=False)
        self.steps = torch.arange(16.0)

    def forward(self, features: Tensor) -> Tensor:
        """Vectors [B, 16] to [B, 3]."""
        return self.last(self.norm(self.decoder(self.encoder(features))) * self.table + self.steps)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(8, 16))  # running statistics
    return net.eval()


@pytest.fixture
def file(net: Net, tmp_path: Path) -> Path:
    write_weights(tmp_path / "net.safetensors", net.state_dict())
    return tmp_path / "net.safetensors"


def same_logits(one: nn.Module, other: nn.Module) -> bool:
    features = torch.randn(4, 16)
    with torch.inference_mode():
        return torch.equal(one(features), other(features))


def test_filled_network_is_the_same(net: Net, file: Path) -> None:
    loaded = build_from_file(Net, file).eval()
    assert same_logits(loaded, net)
    assert all(p.requires_grad == q.requires_grad for p, q in zip(net.parameters(), loaded.parameters(), strict=True))
    assert all(tensor.data_ptr() % ALIGNMENT == 0 for tensor in loaded.state_dict().values())


def test_tied_tensors_are_written_once_and_tied_again(net: Net, file: Path) -> None:
    assert twins(net) == {"decoder.weight": "encoder.weight"}
    assert "decoder.weight" in read_header(file) and "encoder.weight" not in read_header(
        file
    )  # the first name in order
    loaded = build_from_file(Net, file)
    assert loaded.decoder.weight is loaded.encoder.weight
    assert same_logits(build_from_file(lambda: Plain(net), file).eval(), net)


def test_state_with_each_tensor_once(net: Net, tmp_path: Path) -> None:
    save_file(untied_state(net), tmp_path / "net.safetensors")
    other = Net().eval()
    load_strictly(other, load_file(tmp_path / "net.safetensors"), source="a test")
    assert untied_state(net).keys() == net.state_dict().keys() - {"decoder.weight"}
    assert same_logits(other, net)


class Plain(nn.Module):
    """As `Net`, by a builder that reads its parameters."""

    def __init__(self, like: Net) -> None:
        super().__init__()
        float(nn.Linear(2, 2).weight.sum().item())
        other = Net()
        for name, part in other.named_children():
            self.add_module(name, part)
        self.register_buffer("table", other.table, persistent=False)
        self.steps = other.steps
        self.forward = lambda features: Net.forward(self, features)  # type: ignore[method-assign, arg-type, assignment]


def test_nothing_is_initialised(file: Path) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build_from_file(Net, file)
    assert torch.equal(torch.get_rng_state(), before)


def test_filled_network_trains_copies_and_is_saved(net: Net, file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    loaded = build_from_file(Net, file)
    twin = copy.deepcopy(loaded)
    assert twin.decoder.weight is twin.encoder.weight
    optimizer = torch.optim.SGD(loaded.parameters(), lr=0.1)
    loaded(torch.randn(8, 16)).sum().backward()
    optimizer.step()
    assert not torch.equal(loaded.encoder.weight, net.encoder.weight)
    assert torch.equal(twin.encoder.weight, net.encoder.weight)
    assert file.read_bytes() == content
    write_weights(tmp_path / "again.safetensors", twin.state_dict())
    assert (tmp_path / "again.safetensors").read_bytes() == content


def test_other_files_give_the_same(net: Net, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for number, tensors in enumerate(
        (state, {n: t.double() if t.is_floating_point() else t for n, t in state.items()})
    ):
        save_file(tensors, tmp_path / f"{number}.safetensors")
        loaded = build_from_file(Net, tmp_path / f"{number}.safetensors").eval()
        assert loaded.last.weight.dtype == torch.float32
        assert same_logits(loaded, net)


@pytest.mark.parametrize(
    ("name", "tensor", "complaint"),
    [
        ("last.bias", None, "1 missing: last.bias"),
        ("other", torch.zeros(1), "1 unexpected: other"),
        ("last.bias", torch.zeros(4), r"1 of another shape: last.bias \(4,\) instead of \(3,\)"),
        ("last.bias", torch.zeros(3).long(), "1 of another type: last.bias torch.int64 instead of torch.float32"),
        ("last.bias", torch.zeros(3).bool(), "1 of another type: last.bias torch.bool"),
        ("norm.num_batches_tracked", torch.tensor(1.0), "1 of another type: norm.num_batches_tracked torch.float32"),
    ],
)
def test_what_does_not_fit_is_listed(
    net: Net, tmp_path: Path, name: str, tensor: Tensor | None, complaint: str
) -> None:
    state = {**net.state_dict(), name: tensor}
    write_weights(tmp_path / "w.safetensors", {n: t for n, t in state.items() if t is not None})
    with pytest.raises(WeightsError, match=rf"w\.safetensors does not fit the model\. {complaint}"):
        build_from_file(Net, tmp_path / "w.safetensors")


def test_refusals_of_a_builder_are_its_own(file: Path) -> None:
    calls = []

    def refuse() -> Net:
        calls.append(1)
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        build_from_file(refuse, file)
    assert len(calls) == 1


@pytest.mark.parametrize("part", [lambda: nn.Linear(1, 1), nn.ReLU])
def test_builder_that_goes_on_for_ever_is_stopped(file: Path, part: type[nn.Module]) -> None:
    def endless() -> nn.Module:
        net = nn.Module()
        for number in range(10**9):
            net.add_module(str(number), part())
        return net

    with pytest.raises(WeightsError, match=r"net\.safetensors: the options ask for a network that is much larger"):
        build_from_file(endless, file)


def test_another_thread_builds_as_ever() -> None:
    made = []
    with bounded(Allowance(0, 0, "a test"), on_meta=True):
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    assert not made[0].weight.is_meta


def test_files_are_laid_out_for_mapping(net: Net, file: Path) -> None:
    mapped = load_file(file)
    assert {name for name, tensor in mapped.items() if tensor.data_ptr() % ALIGNMENT} <= {
        name for name, tensor in mapped.items() if tensor.nbytes % ALIGNMENT
    }
    assert mapped.keys() == net.state_dict().keys() - {"encoder.weight"}


@pytest.mark.parametrize("dtype", _DTYPES)
def test_every_type_is_written_as_safetensors_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {
        "a": torch.ones(3, 5).to(dtype).t(),
        "b": torch.zeros((), dtype=dtype),
        "empty": torch.zeros(0, 4).to(dtype),
    }
    write_weights(tmp_path / "w.safetensors", state)
    read = load_file(tmp_path / "w.safetensors")
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) and read[name].dtype == dtype for name in state)
