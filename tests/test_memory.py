from pathlib import Path

import pytest
import torch

from actrec_zoo.errors import RunError
from actrec_zoo.memory import free_main_memory, free_memory, in_words, is_shortage, shortages_named
from tests.watching import watched

GIB = 2**30


def container(folder: Path, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\nactive_file 7\n")
    return folder


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * 2**20} kB\n")
    assert free_main_memory(meminfo, tmp_path) == 8 * GIB
    assert free_main_memory(meminfo, container(tmp_path, "max", 3 * GIB, 0)) == 8 * GIB
    assert free_main_memory(meminfo, container(tmp_path, str(4 * GIB), 3 * GIB, GIB)) == 2 * GIB
    assert free_main_memory(meminfo, container(tmp_path, str(40 * GIB), 3 * GIB, 0)) == 8 * GIB
    assert free_main_memory(meminfo, container(tmp_path, str(GIB), 3 * GIB, 0)) == 0


def test_this_machine_has_some() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


def test_an_allocation_that_fails_says_what_to_lower() -> None:
    def allocate() -> None:
        with shortages_named("test", "Take less."):
            torch.zeros(600 * 2**20, dtype=torch.uint8)

    assert watched(allocate) == (RunError, "not enough memory to test (600 MiB were asked for at once). Take less.")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), shortages_named("test", "Take less."):
        raise RuntimeError("the shapes do not fit")
    assert is_shortage(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")) and is_shortage(
        MemoryError()
    )
    assert not is_shortage(ValueError("out of memory"))


def test_sizes_in_words() -> None:
    assert (in_words(5 * 2**20), in_words(5 * GIB), in_words("12.00 MiB")) == ("5 MiB", "5.0 GiB", "12.00 MiB")
    assert in_words(f"{3 * GIB} bytes") == "3.0 GiB"
