"""Video data sets of the Hugging Face `datasets` library, by `hf:org/name[@revision]` or `hf:folder`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actrec_zoo.data.manifest import SPLIT_WORDS, Entry
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.files import cache_folder, write_atomically

_PREFIX = "hf:"
_LABELS = ("label", "labels", "class", "category", "action")


class HuggingFaceReader:
    """A data set with a column of videos and one of labels: of class labels, or of text named `label` or the like.

    The videos are put as files into the cache folder, as they are, and read from there.
    """

    def matches(self, path: Path) -> bool:
        return str(path).startswith(_PREFIX)

    def root(self, path: Path) -> Path:
        return cache_folder() / "datasets" / re.sub(r"[^\w.@-]+", "--", str(path).removeprefix(_PREFIX))

    def read(self, path: Path, skipped: Counter[str]) -> Iterable[Entry]:
        parts = _load(str(path).removeprefix(_PREFIX))
        root = self.root(path)
        for name, rows in parts.items():
            split = SPLIT_WORDS.get(name.lower(), "") if len(parts) > 1 else ""  # one part alone is no split
            yield from _entries(root, name, split, rows, skipped)


def _load(name: str) -> Mapping[str, Any]:
    """The parts of a data set by name, videos not decoded."""
    try:
        import datasets
    except ImportError as error:
        raise DataError("data sets of the Hub need `pip install 'actrec-zoo[datasets]'`") from error
    repository, _, revision = name.partition("@")
    try:
        loaded = datasets.load_dataset(repository, revision=revision or None)
    except Exception as error:  # the library raises what its sources raise
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"cannot load the data set {name!r}: {reason or type(error).__name__}") from error
    undecoded = datasets.Video(decode=False)
    parts = {}
    for part, rows in loaded.items():
        video = next((c for c, kind in rows.features.items() if isinstance(kind, datasets.Video)), None)
        label = next((c for c, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)), None)
        label = label or next((c for c in _LABELS if c in rows.features), None)
        if video is None or label is None:
            raise DataError(f"{name!r} has no column of videos and of labels: it has {', '.join(rows.features)}")
        columns = rows.select_columns([video, label]).cast_column(video, undecoded)
        parts[part] = columns.rename_columns({video: "the video", label: "the label"})
    return parts


def _entries(root: Path, part: str, split: str, rows: Any, skipped: Counter[str]) -> Iterator[Entry]:
    names = getattr(rows.features["the label"], "names", None)
    for number, row in enumerate(rows):
        label, video = row["the label"], row["the video"]
        if names is not None:
            label = names[label] if label is not None and label >= 0 else None
        if label in (None, ""):
            skipped["video without label"] += 1
        elif not video or not (video["bytes"] or video["path"]):
            skipped["missing video"] += 1
        else:
            file = f"{part}/{number:06d}{Path(video['path'] or '').suffix or '.mp4'}"
            _put(root / file, video)
            yield Entry(file, str(label), "", split)


def _put(file: Path, video: Mapping[str, Any]) -> None:
    """Make the file: a link where the library keeps the video as one, else written from its bytes."""
    content, source = video["bytes"], video["path"]
    if content:
        if not file.is_file() or file.is_symlink() or file.stat().st_size != len(content):
            file.unlink(missing_ok=True)
            write_atomically(file, lambda temporary: temporary.write_bytes(content))
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.symlink_to(Path(source).absolute())
    except OSError as error:
        raise RunError(f"cannot write {file}: {error}. Free some space or set ACTREC_ZOO_CACHE.") from error
