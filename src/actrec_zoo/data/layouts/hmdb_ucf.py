"""HMDB51 and UCF101 with their official lists: three folds, each of training and test videos."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from actrec_zoo.data.layouts.official import find_listed, list_folders, read_lines, without_suffix
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError

FOLDS = (1, 2, 3)
_HMDB_SPLITS = {"0": "", "1": "train", "2": "test"}
_HMDB_TRAITS = re.compile(r"_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]{3}_\d+$")  # body, camera, people, view, quality
_UCF_CLIP = re.compile(r"_c\d+$")


class Hmdb51Reader:
    """HMDB51: `<class>_test_split<fold>.txt` with a line `name.avi 0|1|2`: in no split, train, test.

    A source group is the film that clips of a class are cut from, as their names tell it.

    Args:
        fold: 1, 2 or 3.
    """

    def __init__(self, fold: int) -> None:
        self._suffix = f"_test_split{fold}.txt"

    def matches(self, path: Path) -> bool:
        return path.is_dir() and bool(self._files(path))

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        files = self._files(path)
        if not files:
            raise DataError(
                f"{path} holds no <class>{self._suffix}: put the official lists of HMDB51 beside the videos"
            )
        return find_listed(path, (entry for file in files for entry in self._listed(file, skipped)), skipped)

    def _files(self, path: Path) -> list[Path]:
        return next(filter(None, (sorted(folder.glob(f"*{self._suffix}")) for folder in list_folders(path))), [])

    def _listed(self, file: Path, skipped: Counter[str]) -> Iterator[Entry]:
        label = file.name.removesuffix(self._suffix)
        for number, line in read_lines(file):
            name, _, flag = line.rpartition(" ")
            if flag not in _HMDB_SPLITS or not name:
                raise DataError(f"{file}, line {number}: {line!r} is not a video name and 0, 1 or 2")
            if flag == "0":
                skipped["video in no split of this fold"] += 1
                continue
            film = _HMDB_TRAITS.sub("", without_suffix(name.strip())).removesuffix(f"_{label}")
            yield Entry(name.strip(), label, f"{label}/{film}", _HMDB_SPLITS[flag])


class Ucf101Reader:
    """UCF101: `trainlist0<fold>.txt` and `testlist0<fold>.txt` with a line `Class/v_Class_g01_c01.avi`.

    A source group is the number behind `g`, within the class.

    Args:
        fold: 1, 2 or 3.
    """

    def __init__(self, fold: int) -> None:
        self._names = {"train": f"trainlist0{fold}.txt", "test": f"testlist0{fold}.txt"}

    def matches(self, path: Path) -> bool:
        return path.is_dir() and self._folder(path) is not None

    def root(self, path: Path) -> Path:
        return path

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        folder = self._folder(path)
        if folder is None:
            raise DataError(
                f"{path} holds no {self._names['train']}: put the official lists of UCF101 beside the videos"
            )
        listed = (e for split, name in self._names.items() for e in self._listed(folder / name, split))
        return find_listed(path, listed, skipped)

    def _folder(self, path: Path) -> Path | None:
        return next((folder for folder in list_folders(path) if (folder / self._names["train"]).is_file()), None)

    def _listed(self, file: Path, split: str) -> Iterator[Entry]:
        for number, line in read_lines(file):
            path = PurePosixPath(re.sub(r" \d+$", "", line))
            if len(path.parts) != 2:
                raise DataError(f"{file}, line {number}: {line!r} is not of the form Class/video.avi")
            yield Entry(str(path), path.parts[0], _UCF_CLIP.sub("", without_suffix(str(path))), split)
