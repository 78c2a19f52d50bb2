"""JSON within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.hub.strict_json import DEEPEST, LARGEST_NUMBER, LONGEST_TEXT, read_strict_json


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "some.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_what_is_within_bounds_is_read(tmp_path: Path) -> None:
    deep = "[" * DEEPEST + "]" * DEEPEST
    text = f'{{"a": [1, -2.5, true, null, "{"x" * LONGEST_TEXT}"], "b": {LARGEST_NUMBER}, "c": {deep}}}'.replace(
        deep, deep[1:-1]
    )
    values = read_strict_json(written(tmp_path, text))
    assert values["a"][:4] == [1, -2.5, True, None]
    assert values["b"] == LARGEST_NUMBER
    assert read_strict_json(written(tmp_path, b'"caf\xe9"')) == "caf\udce9"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("{'a': 1}", "is not valid JSON"),
        ('{"a": NaN}', "is not valid JSON: NaN is no JSON number"),
        ('{"a": -Infinity}', "is not valid JSON: -Infinity is no JSON number"),
        ('{"a": {"b": 1e999}}', r"a\.b is too large a number"),
        ('{"a": [1, 9007199254740993]}', r"a\[1\] is too large a number"),
        ("9" * 5000, "is not valid JSON"),
        (f'{{"a": "{"x" * 10_001}"}}', "a has 10001 characters, 10000 are allowed"),
        (f'{{"{"x" * 10_001}": 1}}', "a key has 10001 characters"),
        ("[" * 40 + "]" * 40, "more than 32 deep"),
        ("[" * 100_000, "more than 32 deep"),
        ("[" * 100_000 + "]" * 100_000, "more than 32 deep"),
        ('{"a":' * 100_000, "more than 32 deep"),
    ],
)
def test_what_is_not_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(RunError, match=rf"some\.json.*{complaint}"):
        read_strict_json(written(tmp_path, content))


def test_size_is_bounded_before_anything_is_parsed(tmp_path: Path) -> None:
    file = written(tmp_path, "[" + " " * 100)
    with pytest.raises(RunError, match="has more than 50 bytes"):
        read_strict_json(file, largest=50)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot read .*some\.json: No such file"):
        read_strict_json(tmp_path / "some.json")
