"""Text lists with a line a video: Jester (`id;label`), Moments in Time (`path,label,...`), and `path label`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from actrec_zoo.data.layouts.folders import is_video_file
from actrec_zoo.data.layouts.official import find_listed, list_folders, read_lines, split_of
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError
from actrec_zoo.files import natural_order

_SUFFIXES = (".txt", ".csv")
_NUMBER = re.compile(r"\d{1,9}")
_CLASS_FILES = re.compile(r"(classes|class_names|classind|categories|labels|label_map)\.(txt|csv)$", re.IGNORECASE)


class ListReader:
    """A list, or a folder whose lists have train, val or test in their names; the videos lie below.

    Fields are separated by `;`, else by `,`, else by spaces, where the label is the last. A label that is a number
    is looked up in a file of classes beside the list: a name a line from 0 on, or names with their numbers.
    """

    def matches(self, path: Path) -> bool:
        files = _files(path)
        return bool(files) and (path.is_file() or "train" in map(split_of, files))

    def root(self, path: Path) -> Path:
        return path.parent if path.is_file() else path

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        files = _files(path)
        if not files:
            raise DataError(f"{path} holds no list with lines such as id;label, path,label or path label")
        listed = (e for file in files for e in _listed(file, split_of(file) if path.is_dir() else "", skipped))
        return find_listed(self.root(path), listed, skipped)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() in _SUFFIXES and _is_list(path) else []
    found = []
    for folder in list_folders(path) if path.is_dir() else ():
        names = natural_order(f.name for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and f.is_file())
        found += [folder / n for n in names if split_of(folder / n) and not _CLASS_FILES.search(n)]
    return [file for file in found if _is_list(file)]


def _is_list(file: Path) -> bool:
    """Whether the first line is one of a list, not the header of a table."""
    _, line = next(read_lines(file), (1, ""))
    fields = _fields(line)
    if len(fields) < 2 or {"path", "label"} & {field.lower() for field in fields}:
        return False
    return ";" in line or is_video_file(Path(fields[0]).name) or fields[1].isdecimal()


def _fields(line: str) -> Sequence[str]:
    """What names the video, and the label."""
    for separator in (";", ","):
        if separator in line:
            return [field.strip() for field in line.split(separator)[:2]]
    counted = re.fullmatch(r"(.+?)\s+\d+\s+(\d+)", line)  # a folder, its number of frames, and the label
    return counted.groups() if counted else line.rsplit(maxsplit=1)


def _listed(file: Path, split: str, skipped: Counter[str]) -> Iterator[Entry]:
    names = _class_names(file.parent)
    for number, line in read_lines(file):
        fields = _fields(line)
        if len(fields) < 2 or not all(fields):
            skipped["line without label"] += 1
            continue
        path, label = fields
        if names and _NUMBER.fullmatch(label):
            if int(label) not in names:
                raise DataError(f"{file}, line {number}: the file of classes has no class {label}")
            label = names[int(label)]
        yield Entry(path, label, "", split)


def _class_names(folder: Path) -> Mapping[int, str]:
    """Class names by number; empty without a file of them."""
    file = min((f for f in folder.iterdir() if _CLASS_FILES.search(f.name)), default=None)
    names: dict[int, str] = {}
    for position, (_, line) in enumerate(read_lines(file) if file else ()):
        before, after = re.fullmatch(r"(\d{1,9})[\s,;]+(.+)", line), re.fullmatch(r"(.+?)[\s,;]+(\d{1,9})", line)
        if before:
            names[int(before[1])] = before[2]
        else:
            names[int(after[2]) if after else position] = after[1] if after else line
    return names
