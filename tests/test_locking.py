"""Locks of folders, between real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actrec_zoo.errors import RunError
from actrec_zoo.locking import LOCK_FILE, is_locked, locked

HOLD = """
import os, sys, time
from pathlib import Path
from actrec_zoo.locking import locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:  # as the worker processes of a data loader, which may outlive the one that is killed
        sys.stdout.close()
        time.sleep(30)
    print("locked", flush=True)
    time.sleep(30)
"""


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    assert is_locked(tmp_path) is False and not (tmp_path / LOCK_FILE).exists()
    with locked(tmp_path):
        assert is_locked(tmp_path) is True
    assert is_locked(tmp_path) is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_that_is_killed_leaves_no_lock_behind_even_when_its_children_live_on(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
    try:
        assert is_locked(tmp_path) is True
        with pytest.raises(RunError, match=f"{tmp_path} is in use"), locked(tmp_path):
            raise AssertionError("the lock is held")
        holder.kill()
        holder.wait()
        assert is_locked(tmp_path) is False
        with locked(tmp_path):
            pass
    finally:
        os.killpg(holder.pid, 9)
        holder.stdout.close()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(RunError, match=f"cannot lock {tmp_path}"), locked(tmp_path):
        raise AssertionError("nothing is locked")
