"""Something-Something v2 with its JSON files: labels, training, validation, and test with the answers."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from actrec_zoo.data.layouts.official import find_listed, list_folders, read_lines
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError

_LISTS = {"train": "*train.json", "val": "*validation.json", "test": "*test.json"}
_LABELS, _ANSWERS = "*labels.json", "*test-answers.csv"


class SomethingReader:
    """`labels.json`, `train.json`, `validation.json` and `test.json`, also with the long names of the archive.

    A list has objects with `id` and `template`, whose brackets around placeholders go; videos are `<id>.webm`.
    Test videos get their labels from `test-answers.csv`, where it is.
    """

    def matches(self, path: Path) -> bool:
        return path.is_dir() and _folder(path) is not None

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        folder = _folder(path)
        if folder is None:
            raise DataError(f"{path} holds no labels.json and train.json of Something-Something v2")
        return find_listed(path, _listed(folder, skipped), skipped)


def _folder(path: Path) -> Path | None:
    folders = list_folders(path)
    return next((f for f in folders if _file(f, _LABELS) is not None and _file(f, _LISTS["train"]) is not None), None)


def _file(folder: Path, pattern: str) -> Path | None:
    return min(folder.glob(pattern), default=None)


def _listed(folder: Path, skipped: Counter[str]) -> Iterator[Entry]:
    labels_file, answers_file = _file(folder, _LABELS), _file(folder, _ANSWERS)
    classes = set(map(str, _read(labels_file))) if labels_file else set()
    answers = dict(line.split(";", 1) for _, line in read_lines(answers_file) if ";" in line) if answers_file else {}
    for split, pattern in _LISTS.items():
        file = _file(folder, pattern)
        for number, item in enumerate(_read(file) if file else ()):
            if not isinstance(item, dict) or "id" not in item:
                raise DataError(f"{file}, item {number}: there is no id")
            label = str(item.get("template") or answers.get(str(item["id"]), "")).replace("[", "").replace("]", "")
            if not label:
                skipped["video without label"] += 1
            elif label not in classes:
                raise DataError(f"{file}, item {number}: the class {label!r} is not in {labels_file}")
            else:
                yield Entry(str(item["id"]), label, "", split)


def _read(file: Path) -> Collection[Any]:
    """A list, or an object, whose keys are then meant."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    if not isinstance(content, list | dict):
        raise DataError(f"cannot read {file}: it holds neither a list nor an object")
    return content
