"""What the official lists of public data sets have in common: they name videos that lie anywhere, or are lost."""

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from actrec_zoo.data.layouts.folders import VIDEO_SUFFIXES, has_image, is_folder, is_hidden, is_video_file
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError
from actrec_zoo.files import natural_order

_DEPTH = 6
_SHOWN = 5
_log = logging.getLogger(__name__)


class VideoFinder:
    """Finds the videos below a folder by what a list calls them: with or without folder and suffix.

    Args:
        root: files and folders of frames below it are indexed, at any depth.
    """

    def __init__(self, root: Path) -> None:
        self._paths: defaultdict[str, list[str]] = defaultdict(list)
        for path in walk_videos(root):
            self._paths[PurePosixPath(without_suffix(path)).name].append(path)

    def find(self, name: str, label: str) -> str | None:
        """Path of a video relative to the root, or None.

        Of several files of that name, the one in the folder that the list gives is meant, else the one in a folder
        that is called like the class; a name that stays ambiguous is not found.
        """
        wanted = PurePosixPath(without_suffix(name))
        paths = self._paths.get(wanted.name, [])
        for folder in (str(wanted.parent), label):
            inside = [path for path in paths if f"/{path}".endswith(f"/{folder}/{PurePosixPath(path).name}")]
            if len(inside) == 1:
                return inside[0]
        return paths[0] if len(paths) == 1 else None


def walk_videos(root: Path, prefix: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Video files and folders of frames below a folder, relative to it, in natural order.

    A link to a folder that it lies in is not followed.
    """
    status = (root / prefix).stat()
    here = (status.st_dev, status.st_ino)
    if here in above or len(above) > _DEPTH:
        return
    with os.scandir(root / prefix) as items:
        kinds = {item.name: is_folder(item) for item in items if not is_hidden(item.name)}
    inner = [name for name in natural_order(kinds) if kinds[name]]
    files = [name for name in natural_order(kinds) if not kinds[name] and is_video_file(name)]
    if prefix and not inner and not files and has_image(root / prefix):
        yield prefix
    for name in files:
        yield f"{prefix}/{name}" if prefix else name
    for name in inner:
        yield from walk_videos(root, f"{prefix}/{name}" if prefix else name, above | {here})


def without_suffix(name: str) -> str:
    """A path without the suffix of a video file."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else str(path)


def find_listed(
    root: Path,
    listed: Iterable[Entry],
    skipped: Counter[str],
    names: Callable[[Entry], Sequence[str]] = lambda entry: (entry.path,),
) -> list[Entry]:
    """The listed videos that are there, with their real paths; those that are not are counted and named in the log.

    A source group that the lists put into two splits is forgotten: the lists are what others measured with.

    Args:
        root: folder that holds the videos.
        listed: entries with the list's names as paths.
        skipped: counts what is missing.
        names: what the file of an entry may be called, best first.

    Raises:
        DataError: none of them is there.
    """
    finder = VideoFinder(root)
    found: list[Entry] = []
    missing: list[str] = []
    for entry in listed:
        path = next(filter(None, (finder.find(name, entry.label) for name in names(entry))), None)
        if path is None:
            missing.append(entry.path)
        else:
            found.append(entry._replace(path=path))
    if not found:
        named = f": {', '.join(missing[:_SHOWN])}, ..." if missing else ""
        raise DataError(
            f"none of the {len(missing)} videos that the lists of {root} name is below it{named}. "
            "Videos without the lists are read with --data-format folders"
        )
    if missing:
        skipped["missing video"] += len(missing)
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        _log.warning("%d of %d listed videos are missing: %s", len(missing), len(missing) + len(found), shown)
    return _without_shared_groups(found)


def list_folders(root: Path) -> list[Path]:
    """The folder of a data set and those below it that are called like folders of lists."""
    found = [root]
    for folder in found:
        if len(folder.relative_to(root).parts) < 2:
            found += [
                folder / name
                for name in natural_order(item.name for item in folder.iterdir())
                if re.search("split|list|annot|label", name, re.IGNORECASE) and (folder / name).is_dir()
            ]
    return found


def split_of(file: Path) -> str:
    """The split that a list is of by its name: `train`, `val` or `test`, or an empty string."""
    found = re.search("train|val|test", file.stem, re.IGNORECASE)
    return found[0].lower() if found else ""


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error


def _without_shared_groups(entries: Sequence[Entry]) -> list[Entry]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.group and entry.split:
            splits[entry.group].add(entry.split)
    shared = {group for group, names in splits.items() if len(names) > 1}
    if shared:
        _log.warning("%d source groups are in two of the official splits, such as %s", len(shared), min(shared))
    return [entry._replace(group="") if entry.group in shared else entry for entry in entries]
