"""Whether files of huggingface_hub's cache hold the bytes that the Hub states, which its client does not look at."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from actrec_zoo.errors import HubError
from actrec_zoo.files import cache_folder, read_json, write_json

_SHA256 = re.compile("[0-9a-f]{64}")
_SHA1 = re.compile("[0-9a-f]{40}")
_CHUNK = 2**20


def require_intact(path: Path, *, sha256: str | None = None) -> None:
    """Check a file of the cache, once; one that is not what it should be is removed from there.

    The cache names a file by what the Hub states of it: the sha256 of a large one, what git calls a small one.

    Args:
        path: in a snapshot of the cache.
        sha256: that the file has to have, whatever the Hub states.

    Raises:
        HubError: it has other bytes.
    """
    blob = path.resolve()
    stated = {blob.name} if _SHA256.fullmatch(blob.name) else set()
    if sha256 is not None:
        stated.add(sha256)
    if stated:
        found = sha256_of(blob)
        wrong = next((one for one in stated if one != found), None)
    else:
        found = _git_oid(blob)
        wrong = blob.name if _SHA1.fullmatch(blob.name) and blob.name != found else None
    if wrong is not None:
        blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise HubError(f"{path.name} has other bytes than stated: {found}, not {wrong}. It is removed from the cache")


def sha256_of(file: Path) -> str:
    """The sha256 of a file, which is read once as long as it stays as it is."""
    about = file.stat()
    state = [str(file), about.st_size, about.st_mtime_ns, about.st_ino]
    note = cache_folder() / "checked" / f"{hashlib.sha256(json.dumps(state).encode()).hexdigest()}.json"
    if note.is_file():
        known = read_json(note)
        if isinstance(known, dict) and known.get("file") == state and _SHA256.fullmatch(str(known.get("sha256"))):
            return str(known["sha256"])
    digest = _digest(file)
    write_json(note, {"file": state, "sha256": digest})
    return digest


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git_oid(file: Path) -> str:
    """What git calls a file."""
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
