"""Which study a folder is of, and how its data were divided: written with the splits, in one step."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actrec_zoo.data.classes import read_classes
from actrec_zoo.data.layouts import place_of
from actrec_zoo.data.manifest import SPLIT_NAMES, Manifest
from actrec_zoo.data.splits import Splits, write_splits
from actrec_zoo.errors import ConfigError, DataError, RunError
from actrec_zoo.evaluation.identity import file_digest
from actrec_zoo.files import read_json, write_json
from actrec_zoo.studies.plan import Plan

ORIGIN_FILE = "origin.json"
UNFINISHED = ".splits.part"
"""Splits that are being written."""

_FORMAT = 1
_OTHER = "Choose another --out"
_BY_CONTENT = {"classes": "the list of --classes", "splits": "the split files of --splits"}


def division(plan: Plan) -> dict[str, Any]:
    """What decides the splits of a study, and of what data they are; lists and files by their content.

    Raises:
        DataError: the list of classes, or the split files that are given, cannot be read.
    """
    data = plan.data
    return {
        "data": place_of(plan.path),
        "data_format": data.data_format,
        "classes": None if data.classes is None else _digest(read_classes(data.classes)),
        "splits": None if data.splits is None else _given(Path(data.splits)),
        "allow_leak": data.allow_leak,
        "ratios": list(data.ratios),
        "seed": data.seed,
    }


def write_origin(plan: Plan, divided: Mapping[str, Any], manifest: Manifest, splits: Splits) -> None:
    """Write the splits of a study with what they are of: all of it is there, or nothing.

    Args:
        plan: of the study.
        divided: its `division`, of before the data were read.
        manifest: the data.
        splits: of it.

    Raises:
        RunError: the folder cannot be written.
    """
    part = plan.folder / UNFINISHED
    shutil.rmtree(part, ignore_errors=True)
    try:
        write_splits(part, manifest, splits)
        write_json(
            part / ORIGIN_FILE,
            {"format": _FORMAT, "study": plan.name, "division": dict(divided), "files": _files(part)},
        )
        part.rename(plan.splits)
    except OSError as error:
        raise RunError(f"cannot write {plan.splits}: {error.strerror or error}. Choose another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_origin(folder: Path) -> dict[str, Any]:
    """What was written with the splits of a study.

    Args:
        folder: of the splits.

    Raises:
        RunError: it cannot be read.
    """
    file = folder / ORIGIN_FILE
    record = read_json(file)
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("division", "files")):
        raise RunError(f"{file} is not the record of a study. {_OTHER}")
    return record


def require_origin(plan: Plan) -> None:
    """Check that the splits of a folder are those of this study, as they were written.

    Raises:
        RunError: they are another study's, or were changed, or their record cannot be read.
        ConfigError: the study has other data now, or divides them otherwise.
        DataError: as `division`.
    """
    record = read_origin(plan.splits)
    if record.get("study") != plan.name:
        raise RunError(f"--out {plan.folder} holds the study {record.get('study')!r}, not {plan.name!r}. {_OTHER}")
    changed = "; ".join(_changes(record["division"], division(plan)))
    if changed:
        raise ConfigError(f"{plan.folder} was begun with other data than the study has now: {changed}. {_OTHER}")
    now = _files(plan.splits)
    for name in {**record["files"], **now}:
        if now.get(name) != record["files"].get(name):
            what = "is not as" if name in now else "is gone, and was there"
            raise RunError(
                f"{plan.splits / name} {what} when the study was begun: put that back. {_OTHER} to divide anew"
            )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in now:
        if before.get(key) == now[key]:
            continue
        if key in _BY_CONTENT and before.get(key) and now[key]:
            yield f"{_BY_CONTENT[key]} changed"
        elif key in _BY_CONTENT:
            yield f"{_BY_CONTENT[key]} {'was not there' if now[key] else 'was there'}"
        else:
            yield f"{key} {before.get(key)} -> {now[key]}"


def _given(folder: Path) -> dict[str, str]:
    found = _files(folder)
    if not found:
        raise DataError(f"{folder} holds none of train.csv, val.csv and test.csv: check --splits")
    return found


def _files(folder: Path) -> dict[str, str]:
    """Digests of the split files of a folder, by their names."""
    digests = {f"{name}.csv": file_digest(folder / f"{name}.csv") for name in SPLIT_NAMES}
    return {name: digest for name, digest in digests.items() if digest is not None}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
