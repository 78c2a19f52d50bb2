"""The runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from actrec_zoo.errors import RunError
from actrec_zoo.runs.record import HISTORY, RUN, RunRecord, read_run


def list_runs(folder: Path) -> list[RunRecord]:
    """Every run in a folder and below, the newest first; also those that are damaged.

    Raises:
        RunError: there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}: name the one that holds the runs")
    return sorted((read_run(path) for path in _run_folders(folder)), key=lambda run: run.started, reverse=True)


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders that hold a run, or what is left of one; what lies in a run is not looked at."""
    for place, folders, files in os.walk(folder):
        if RUN in files or HISTORY in files or "checkpoints" in folders:
            folders.clear()
            yield Path(place)
        folders.sort()
