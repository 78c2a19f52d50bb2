"""JSON that anybody may have written: read within bounds, and nothing in it that JSON does not have."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from actrec_zoo.errors import RunError

LARGEST_FILE = 16 * 2**20
"""Bytes."""
LONGEST_TEXT = 10_000
"""Characters of one string."""
LARGEST_NUMBER = 2**53
"""Whole numbers beyond it are not the same in every reader of JSON."""
DEEPEST = 32
"""Objects and lists within each other."""


def read_strict_json(path: Path, *, largest: int = LARGEST_FILE) -> Any:
    """Read a JSON file that need not be trusted.

    Args:
        path: the file; bytes that are no UTF-8 stay as they are in file names.
        largest: bytes that it may have.

    Raises:
        RunError: it cannot be read, is no JSON, or is beyond the bounds of this module; the message names the key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > largest:
        raise RunError(f"{path} has more than {largest} bytes: it is not what actrec-zoo writes")
    try:
        values = json.loads(content.decode("utf-8", errors="surrogateescape"), parse_constant=_refuse)
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON: {error}") from error
    _check(values, path, "", 0)
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _too_deep(path: Path) -> RunError:
    return RunError(f"{path} has lists or objects within each other, more than {DEEPEST} deep")


def _check(value: Any, path: Path, key: str, depth: int) -> None:
    """Refuse what is too deep, too long or too large; `key` says where it is."""
    where = f"{path}: {key}" if key else f"{path}"
    if depth > DEEPEST:
        raise _too_deep(path)
    match value:
        case str() if len(value) > LONGEST_TEXT:
            raise RunError(f"{where} has {len(value)} characters, {LONGEST_TEXT} are allowed")
        case int() if abs(value) > LARGEST_NUMBER:
            raise RunError(f"{where} is too large a number")
        case float() if not math.isfinite(value):
            raise RunError(f"{where} is too large a number")
        case dict():
            for name, inner in value.items():
                _check(name, path, "a key", depth)
                _check(inner, path, f"{key}.{name}" if key else name, depth + 1)
        case list():
            for number, inner in enumerate(value):
                _check(inner, path, f"{key}[{number}]", depth + 1)
