"""Videos on disk: which files and folders are one, and the layout with a folder a class."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from actrec_zoo.data.manifest import SPLIT_WORDS, Entry
from actrec_zoo.files import natural_order

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"}
)

_IMAGE_SUFFIXES, _VIDEO_SUFFIXES = tuple(IMAGE_SUFFIXES), tuple(VIDEO_SUFFIXES)


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


class SplitFolderReader:
    """Folders train, val and test, or some of them, each with a folder a class."""

    def matches(self, path: Path) -> bool:
        names = _split_folders(path) if path.is_dir() else {}
        return "train" in names.values() and len(names) > 1

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterator[Entry]:
        for name, split in _split_folders(path).items():
            for entry in ClassFolderReader().read(path / name, skipped):
                yield entry._replace(path=f"{name}/{entry.path}", split=split)


def list_frames(folder: Path) -> list[str]:
    """Names of the images of a frame folder, in natural order: `2.jpg` before `10.jpg`."""
    with os.scandir(folder) as items:
        return natural_order(item.name for item in items if _is_image(item.name))


def is_hidden(name: str) -> bool:
    """Whether a name is one that operating systems leave behind or hide."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def is_video_file(name: str) -> bool:
    """Whether a file name is that of a video."""
    return name.lower().endswith(_VIDEO_SUFFIXES) and not is_hidden(name)


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether an item is a folder; a link that leads to itself is none."""
    try:
        return item.is_dir()
    except OSError:
        return False


def has_image(folder: Path) -> bool:
    """Whether a folder holds an image: it is then one video. So is one that may not be looked into: it gets named."""
    try:
        with os.scandir(folder) as items:
            return any(_is_image(item.name) for item in items)
    except PermissionError:
        return True


def _split_folders(path: Path) -> dict[str, str]:
    """The splits by name of their folder; none where there are other folders too."""
    names = [item.name for item in path.iterdir() if item.is_dir() and not is_hidden(item.name)]
    if not all(SPLIT_WORDS.get(name.lower()) for name in names):
        return {}
    return {name: SPLIT_WORDS[name.lower()] for name in natural_order(names)}


def _read_class(folder: Path, skipped: Counter[str]) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        kinds = {item.name: is_folder(item) for item in items}
    label = folder.name
    for name in natural_order(kinds):
        if is_video_file(name) and not kinds[name]:
            yield Entry(f"{label}/{name}", label)
        elif is_hidden(name) or not kinds[name]:
            skipped["other file"] += 1
        elif has_image(folder / name):
            yield Entry(f"{label}/{name}", label)
        else:
            skipped["folder without frames"] += 1


def _is_image(name: str) -> bool:
    return name.lower().endswith(_IMAGE_SUFFIXES) and not is_hidden(name)
