"""What a check finds, and the CSV file of it."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from actrec_zoo.files import write_text

KINDS = {
    "unreadable": "a frame cannot be decoded",
    "truncated": "the file ends before the video that its header states",
    "empty": "no frames",
    "one frame": "a single frame: there is no motion to recognise",
    "duplicate": "two videos with the same content",
    "shared video": "the same video in two splits",
    "shared group": "the same source in two splits",
    "near-duplicate": "videos of two splits that show the same",
    "missing class": "a split has no video of the class",
}


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: key of `KINDS`.
        path: of the video, relative to the data; or the group or class.
        other: path of the other video, or the split.
        detail: what was seen.
    """

    kind: str
    path: str
    other: str = ""
    detail: str = ""


def write_findings(file: Path, findings: Iterable[Finding]) -> None:
    """Write a CSV file with the columns kind,path,other,detail.

    Raises:
        RunError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Finding._fields)
    writer.writerows(findings)
    write_text(file, text.getvalue())
