"""Devices, workers and threads."""

from pathlib import Path

import pytest
import torch

from actrec_zoo.devices import cpu_threads, default_workers, resolve_device, seed_draws, usable_cores
from actrec_zoo.errors import ConfigError


def test_auto_is_a_device_that_is_there() -> None:
    assert torch.ones(1, device=resolve_device("auto")).sum() == 1
    assert resolve_device("cpu").type == "cpu"


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown device 'tpu'"):
        resolve_device("tpu")


def test_there_is_a_decoding_process_on_every_machine() -> None:
    assert 1 <= default_workers() <= 8


def test_threads_hold_in_the_block_alone() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with cpu_threads(None):
        assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), cpu_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_draws_begin_anew_as_with_torchs_own_seed() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    seed_draws(torch.device("cpu"), 7)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000\n", None), ("100000 100000\n", 1), ("50000 100000\n", 1), ("190000 100000\n", 1)],
)
def test_a_containers_share_of_the_cores_counts(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == (cores or usable_cores(tmp_path / "none"))
