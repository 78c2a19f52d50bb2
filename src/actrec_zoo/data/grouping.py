"""Source groups from the names of videos: which film, person or scene each was cut from."""

import logging
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from actrec_zoo.data.manifest import Entry, IntArray, Manifest
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.errors import DataError

AUTO, NONE = "auto", "none"
_NEARLY_ALL = 0.95
_log = logging.getLogger(__name__)


class Convention(NamedTuple):
    """How a data set names its videos: the data set's name, and the group of a video or an empty string."""

    name: str
    group: Callable[[Entry], str]


def hmdb51_group(entry: Entry) -> str:
    """The film of a name such as `April_09_brush_hair_u_nm_np1_ba_goo_0`: `April_09`; empty where the name is no such.

    A name is `<film>_<class>_<body part>_<camera motion>_<people>_<view>_<quality>_<number>`. Films and classes hold
    underscores, so the class has to be the video's own.
    """
    before, tags, _ = _HMDB51_TAGS.sub("\0", _name(entry)).partition("\0")
    film = before.removesuffix(f"_{entry.label}")
    return film if tags and film != before else ""


def ucf101_group(entry: Entry) -> str:
    """The group of a name such as `v_ApplyLipstick_g01_c02`: `ApplyLipstick_g01`; empty where the name is no such.

    UCF101 counts its groups from one within each class.
    """
    found = _UCF101_NAME.fullmatch(_name(entry))
    return found[1] if found else ""


CONVENTIONS = (Convention("HMDB51", hmdb51_group), Convention("UCF101", ucf101_group))
_SUFFIX = r"(?:\.\w+)?"
_HMDB51_TAGS = re.compile(rf"_[hufl]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+{_SUFFIX}$")
_UCF101_NAME = re.compile(rf"v_(\w+_g\d+)_c\d+{_SUFFIX}")


def group_by(manifest: Manifest, pattern: str = AUTO) -> Manifest:
    """The videos with their source groups; a group that the data states stays, and names give the others.

    Args:
        manifest: videos, with groups or without.
        pattern: `auto` takes groups from the names where nearly all are those of a known data set; `none` takes none
            from names; else a regular expression that is searched in the path of each video, whose group named
            `group`, or first group, or else the whole match, is the source.

    Raises:
        DataError: the pattern is no regular expression, or fits no video.
    """
    ungrouped = np.flatnonzero(manifest.groups < 0)
    if pattern == NONE or not len(ungrouped):
        return manifest
    if pattern == AUTO:
        return _by_convention(manifest, ungrouped)
    expression = _compile(pattern)
    names = PackedStrings(_search(expression, path) for path in manifest.paths.take(ungrouped))
    if not _named(names):
        example = manifest.paths[int(ungrouped[0])]
        raise DataError(f"--group-by {pattern!r} fits no path of {manifest.root}, such as {example}")
    return _grouped(manifest, ungrouped, names, f"the pattern {pattern}")


def _by_convention(manifest: Manifest, videos: IntArray) -> Manifest:
    for convention in CONVENTIONS:
        names = PackedStrings(convention.group(entry) for entry in manifest.entries(videos))
        if _named(names) >= _NEARLY_ALL * len(videos):
            return _grouped(manifest, videos, names, f"{convention.name}'s names")
    return manifest


def _named(names: PackedStrings) -> int:
    """How many of them are not empty."""
    return int(np.count_nonzero(names.lengths()))


def _grouped(manifest: Manifest, videos: IntArray, names: PackedStrings, origin: str) -> Manifest:
    grouped = manifest.with_groups(videos, names)
    without = int((grouped.groups < 0).sum())
    _log.info(
        "groups from %s: %d sources%s",
        origin,
        len(grouped.group_names),
        f"; {without} videos without, each a source of its own" if without else "",
    )
    return grouped


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"--group-by {pattern!r} is no regular expression: {error}") from error


def _search(pattern: re.Pattern[str], path: str) -> str:
    found = pattern.search(path)
    if found is None:
        return ""
    return found["group" if "group" in pattern.groupindex else 1 if pattern.groups else 0] or ""


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]
