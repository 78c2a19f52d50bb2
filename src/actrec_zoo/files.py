"""Files written whole or not at all, and where the zoo keeps its own."""

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from actrec_zoo.errors import RunError

_DIGITS = re.compile(r"\d+")
_ZEROS = str.maketrans("123456789", "0" * 9)
_LEFTOVER = re.compile(r"\.(.+\.\w{8}\.tmp|tmp\w{6})")
"""Ours, and those that safetensors writes before it renames them."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    A reader sees the old file or the new one, never a part; a failure leaves the old one and no temporary file.

    Raises:
        RunError: the folder cannot be written or the disk is full; the message names the file and the reason.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(descriptor)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if _is_io_error(error):
            raise RunError(f"cannot write {path}: {error}. Free some space or choose another folder.") from error
        raise


def is_leftover(path: Path) -> bool:
    """Whether this is a temporary file of `write_atomically`, or of safetensors in it."""
    return _LEFTOVER.fullmatch(path.name) is not None


def remove_leftovers(folder: Path, older: float = 0) -> None:
    """Remove the temporary files that killed processes left in a folder, as far as that can be done.

    Args:
        folder: need not exist.
        older: seconds since they were written to; 0 where no other process can be writing there.
    """
    for path in filter(is_leftover, folder.iterdir() if folder.is_dir() else ()):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime >= older:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8; the bytes of file names that are no UTF-8 stay as they are."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with a newline at the end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RunError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON: {error}") from error


def require_folder(path: Path) -> None:
    """Check early that a folder exists or can be made and written.

    Raises:
        RunError: a file is in the way, or the folder may not be written.
    """
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise RunError(f"cannot make the folder {path}: {existing} is a file. Choose another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"cannot write in {existing}: choose another folder, or change its permissions")


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names as people count: `frame2` before `frame10`."""
    found = list(names)
    if len({name.translate(_ZEROS) for name in found}) == 1:
        return sorted(found)  # numbers of one width, as most are: as text they have the same order
    return sorted(found, key=_natural_key)


def cache_folder() -> Path:
    """Where things go that can be made again: `ACTREC_ZOO_CACHE`, else the user's cache folder."""
    own = os.environ.get("ACTREC_ZOO_CACHE")
    return Path(own) if own else _xdg("XDG_CACHE_HOME", ".cache") / "actrec-zoo"


def data_folder() -> Path:
    """Where the local store lives: `ACTREC_ZOO_HOME`, else the user's data folder."""
    own = os.environ.get("ACTREC_ZOO_HOME")
    return Path(own) if own else _xdg("XDG_DATA_HOME", ".local/share") / "actrec-zoo"


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback)


def _natural_key(name: str) -> tuple[str, str]:
    """Numbers by their lengths, then by their digits, and before all text."""
    return _DIGITS.sub(_number_key, name.casefold()), name


def _number_key(digits: re.Match[str]) -> str:
    number = str(int(digits[0]))
    return f"\0{chr(len(number))}{number}"


def _is_io_error(error: BaseException) -> bool:
    """safetensors reports a full disk as an error of its own, which is no OSError."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
