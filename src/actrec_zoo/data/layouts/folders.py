"""Videos on disk: which files and folders are one, and the layout with a folder a class."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from actrec_zoo.data.manifest import Entry
from actrec_zoo.files import natural_order

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"}
)


class ClassFolderReader:
    """A folder a class, holding video files, or a folder of frames a video, or both."""

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        for class_name in natural_order(item.name for item in path.iterdir()):
            folder = path / class_name
            if is_hidden(class_name) or not folder.is_dir():
                skipped["other file"] += 1
                continue
            entries = list(_read_class(folder, skipped))
            if not entries:
                skipped["class folder without videos"] += 1
            yield from entries


def list_frames(folder: Path) -> list[str]:
    """Names of the images of a frame folder, in natural order: `2.jpg` before `10.jpg`."""
    with os.scandir(folder) as items:
        return natural_order(item.name for item in items if _is_image(item.name))


def is_hidden(name: str) -> bool:
    """Whether a name is one that operating systems leave behind or hide."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def is_video_file(name: str) -> bool:
    """Whether a file name is that of a video."""
    return not is_hidden(name) and Path(name).suffix.lower() in VIDEO_SUFFIXES


def has_image(folder: Path) -> bool:
    """Whether a folder holds an image: it is then one video."""
    with os.scandir(folder) as items:
        return any(_is_image(item.name) for item in items)


def _read_class(folder: Path, skipped: Counter[str]) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        kinds = {item.name: item.is_dir() for item in items}
    for name in natural_order(kinds):
        if is_hidden(name):
            skipped["other file"] += 1
        elif kinds[name]:
            if has_image(folder / name):
                yield Entry(f"{folder.name}/{name}", folder.name)
            else:
                skipped["folder without frames"] += 1
        elif is_video_file(name):
            yield Entry(f"{folder.name}/{name}", folder.name)
        else:
            skipped["other file"] += 1


def _is_image(name: str) -> bool:
    return not is_hidden(name) and Path(name).suffix.lower() in IMAGE_SUFFIXES
