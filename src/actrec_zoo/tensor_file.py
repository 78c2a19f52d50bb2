"""The header of a safetensors file, looked at before anything else of it is read; no torch.

safetensors itself checks that the header is JSON of the right form, that the tensors lie one after the other without
gaps or overlaps, and that they fill the file. Here it is asked to, and what it leaves open is bounded.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from actrec_zoo.errors import WeightsError, first_line

ALIGNMENT = 64
"""Bytes; where torch's allocator lets tensors begin on the CPU."""
LARGEST_HEADER = 4 * 2**20
"""Bytes; a hundred times what the largest network of the zoo needs."""
MOST_TENSORS = 20_000
LONGEST_NAME = 1_000
"""Characters."""

_MAGIC = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it: it may hold code and is not opened",
    b"\x80": "a pickle: it may hold code and is not opened",
    b"<": "a web page or XML, which a server may have sent in its place",
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file: fetch it with `git lfs pull`",
    b"\x89HDF": "an HDF5 file",
}


class StoredTensor(NamedTuple):
    """What a header says of a tensor: its type in safetensors' words, such as `F32`, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name; their numbers are not read.

    Raises:
        WeightsError: the file is missing, is something else, or its header is out of bounds.
    """
    from safetensors import SafetensorError, safe_open

    _require_plausible(path)
    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            if len(names) > MOST_TENSORS:
                raise WeightsError(f"{path} has {len(names)} tensors, {MOST_TENSORS} are allowed")
            slices = {name: file.get_slice(name) for name in names}
            header = {name: StoredTensor(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {first_line(error)}") from error
    _require_names(path, header)
    return header


def _require_plausible(path: Path) -> None:
    """Name what a file is that is no safetensors file, and bound the header before it is parsed."""
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and length > LARGEST_HEADER:
        raise WeightsError(f"{path} states a header of {length} bytes, {LARGEST_HEADER} are allowed")
    if start[8:9] == b"{":
        return
    found = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), "")
    raise WeightsError(f"{path} is not a readable safetensors file{f', but {found}' if found else ''}")


def _require_names(path: Path, header: Mapping[str, StoredTensor]) -> None:
    odd = next((name for name in header if len(name) > LONGEST_NAME or not name.isprintable()), None)
    if odd is not None:
        raise WeightsError(f"{path} has a tensor with an impossible name: {odd[:80]!r}")
