"""Which class of a model each class of a data set is, where their names differ."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.errors import DataError, did_you_mean

LEFT_OUT = ""
"""What a map says of a class of the data that is not evaluated."""

_WAY_ON = (
    'Say which is which with --map-labels FILE, a TOML file with a table [labels] of lines "of the data" = "of the '
    'model"; with an empty table, classes of one name are the same, and some of the model may have no video'
)


def read_label_map(file: str | Path) -> dict[str, str]:
    """The table `[labels]` of a TOML file: classes of a model, or `LEFT_OUT`, by class of the data.

    Raises:
        DataError: the file cannot be read, or holds anything but that table of names.
    """
    try:
        tables = tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read --map-labels {file}: {error.strerror or error}") from error
    except ValueError as error:  # neither UTF-8 nor TOML
        raise DataError(f"--map-labels {file} is no TOML: {error}") from error
    labels = tables.get("labels")
    if set(tables) != {"labels"} or not isinstance(labels, dict):
        raise DataError(f'--map-labels {file}: write one table, [labels], of lines "of the data" = "of the model"')
    for name, known in labels.items():
        if not isinstance(known, str):
            raise DataError(f'--map-labels {file}: what {name!r} is has to be a name, or "" to leave its videos out')
    return labels


def match_classes(
    manifest: Manifest,
    known: Sequence[str],
    table: Mapping[str, str] | None = None,
    *,
    where: str = "--map-labels",
    narrowed: bool = False,
) -> dict[str, str]:
    """The class of a model, or `LEFT_OUT`, by class of the data; classes of one name are the same.

    Args:
        manifest: the data.
        known: classes of the model.
        table: where names differ; with it, classes of the model need not be in the data.
        where: the table comes from.
        narrowed: whether some classes of the data were left aside, so that a table may speak of them.

    Raises:
        DataError: a class of the data is unknown, one of the model is not in the data and there is no table, or a
            table has a name that does not exist.
    """
    if table is None:
        _require_equal(manifest, known)
        return {name: name for name in manifest.classes}
    for name, target in table.items():
        if name not in manifest.classes and not narrowed:
            hint = did_you_mean(name, manifest.classes)
            raise DataError(f"{where}: {name!r} is no class of {manifest.root}.{hint}")
        if target not in known and target != LEFT_OUT:
            raise DataError(f"{where}: {name!r} = {target!r} is no class of the model.{did_you_mean(target, known)}")
    matched = {name: table.get(name, name) for name in manifest.classes}
    unknown = [name for name, target in matched.items() if target not in known and target != LEFT_OUT]
    if unknown:
        raise DataError(
            f"{manifest.root} has {_listed(unknown)} that the model does not know and {where} does not name. "
            f'Give each a class of the model, or "" to leave its videos out'
        )
    return matched


def relabelled(
    manifest: Manifest, videos: IntArray, known: Sequence[str], matched: Mapping[str, str]
) -> tuple[Manifest, IntArray, dict[str, int]]:
    """Videos with the classes of a model, those of classes that are left out being gone.

    Args:
        manifest: the data.
        videos: some of its videos.
        known: classes of the model.
        matched: what `match_classes` found.

    Returns:
        A manifest, the same videos in it, and how many were left out by class of the data.

    Raises:
        DataError: no video is left.
    """
    there = np.array([matched[name] != LEFT_OUT for name in manifest.classes])
    if there.all():
        return manifest.with_classes(known, matched), videos, {}
    gone = np.bincount(manifest.labels[videos], minlength=len(manifest.classes))
    left_out = {name: int(gone[i]) for i, name in enumerate(manifest.classes) if not there[i]}
    kept = manifest.select(videos[there[manifest.labels[videos]]])
    if not len(kept):
        raise DataError(f"--map-labels leaves out every video that would be evaluated, {sum(left_out.values())} in all")
    return kept.with_classes(known, matched), np.arange(len(kept)), left_out


def _require_equal(manifest: Manifest, known: Sequence[str]) -> None:
    unknown = [name for name in manifest.classes if name not in known]
    lacking = [name for name in known if name not in manifest.classes]
    said = []
    if unknown:
        said.append(f"{manifest.root} has {_listed(unknown)} that the model does not know.")
    if lacking:
        said.append(f"The model knows {_listed(lacking)} without a video in {manifest.root}.")
    if said:
        narrower = ". --classes FILE keeps the classes that it lists" if unknown and not lacking else ""
        raise DataError(" ".join((*said, _WAY_ON)) + narrower)


def _listed(names: Sequence[str]) -> str:
    """How many classes, and which."""
    count = "1 class" if len(names) == 1 else f"{len(names)} classes"
    return f"{count} ({', '.join(names)})"
