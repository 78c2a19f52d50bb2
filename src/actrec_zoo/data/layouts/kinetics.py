"""Kinetics with its CSV files: label,youtube_id,time_start,time_end[,split]."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from actrec_zoo.data.layouts.official import find_listed, list_folders, read_lines, split_of
from actrec_zoo.data.layouts.tables import read_rows
from actrec_zoo.data.manifest import SPLIT_WORDS, Entry
from actrec_zoo.errors import DataError
from actrec_zoo.files import natural_order

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_TIMES = len("_000010_000020")


class KineticsReader:
    """A CSV file of Kinetics, or a folder with such files; the videos lie below, in class folders or flat.

    A video is `<youtube_id>_<start>_<end>.mp4`, the times in seconds as six digits, or `<youtube_id>.mp4`: cut already
    either way. The source group is the YouTube video.
    """

    def matches(self, path: Path) -> bool:
        return bool(_files(path))

    def root(self, path: Path) -> Path:
        return path.parent if path.is_file() else path

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        files = _files(path)
        if not files:
            raise DataError(f"{path} holds no CSV file with the columns {','.join(_COLUMNS)}")
        listed = (entry for file in files for entry in _listed(file, skipped))
        return find_listed(self.root(path), listed, skipped, _names)


def _files(path: Path) -> list[Path]:
    folders = list_folders(path) if path.is_dir() else []
    files = [folder / name for folder in folders for name in natural_order(f.name for f in folder.glob("*.csv"))]
    return [file for file in (files or [path]) if file.suffix.lower() == ".csv" and file.is_file() and _is_list(file)]


def _is_list(file: Path) -> bool:
    _, header = next(read_lines(file), (1, ""))
    return set(_COLUMNS) <= set(header.split(","))


def _listed(file: Path, skipped: Counter[str]) -> Iterator[Entry]:
    for line, row in read_rows(file, _COLUMNS):
        if not row["label"]:
            skipped["row without label"] += 1
            continue
        try:
            times = "_".join(f"{int(float(row[column])):06d}" for column in ("time_start", "time_end"))
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{file}, line {line}: time_start and time_end are not numbers of seconds") from None
        split = SPLIT_WORDS.get((row.get("split") or "").lower(), "") or split_of(file)
        yield Entry(f"{row['youtube_id']}_{times}", row["label"], row["youtube_id"], split)


def _names(entry: Entry) -> Sequence[str]:
    return entry.path, entry.path[:-_TIMES]
