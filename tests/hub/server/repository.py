"""Repositories of models on disk: commits, branches, tags, pull requests, and files by their content."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAIN = "main"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".ckpt", ".h5")
LFS_FROM = 10 * 2**20
"""Bytes from which any file is a large one."""


class RefusedError(Exception):
    """What the Hub does not do: a status, its own code, a message, and what else the answer says."""

    def __init__(self, status: int, message: str, code: str = "", **said: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.said = status, code, message, said


class Blobs:
    """Contents by their sha256.

    Args:
        folder: that they are kept in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes) -> str:
        """Keep a content; return its sha256."""
        digest = hashlib.sha256(content).hexdigest()
        self.path(digest).write_bytes(content)
        return digest

    def path(self, digest: str) -> Path:
        return self._folder / digest

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()


@dataclass(frozen=True)
class File:
    """A file of a commit.

    Attributes:
        sha256: of its content.
        size: in bytes.
        oid: that git knows it by: of its content, or of the pointer to it.
        lfs: whether it is a large one.
    """

    sha256: str
    size: int
    oid: str
    lfs: bool

    @staticmethod
    def of(content: bytes, *, lfs: bool) -> File:
        digest = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()
        return File(digest, len(content), git_oid(pointer if lfs else content), lfs)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """A state of all files.

    Attributes:
        oid: its name.
        parent: the one before; empty for the first.
        title: its message.
        files: by path.
    """

    oid: str
    parent: str
    title: str
    files: Mapping[str, File]


@dataclass
class Repository:
    """A repository; every change is written to disk.

    Attributes:
        name: `owner/name`.
        folder: that it is kept in.
        private: whether its owner alone sees it.
        gated: whether nobody may have its files.
        commits: by name.
        branches: commit of each; `refs/pr/N` are pull requests.
        tags: commit of each.
    """

    name: str
    folder: Path
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    def find(self, revision: str) -> Commit:
        """The commit of a branch, a tag or a commit's name.

        Raises:
            RefusedError: there is none.
        """
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def commit(
        self, title: str, files: Mapping[str, File], branch: str = MAIN, *, onto: str = "", oid: str = ""
    ) -> Commit:
        """Let a branch go on with a state of all files.

        Args:
            title: message.
            files: all of them.
            branch: that goes on.
            onto: branch or commit that it goes on from; the branch itself without it.
            oid: name of the commit, instead of one that is made.
        """
        start = onto or branch
        parent = self.find(start).oid if start in self.branches or start in self.commits else ""
        seed = json.dumps([parent, title, len(self.commits), sorted((p, f.oid) for p, f in files.items())])
        made = Commit(oid or hashlib.sha1(seed.encode()).hexdigest(), parent, title, dict(files))
        self.commits[made.oid] = made
        self.branches[branch] = made.oid
        self.save()
        return made

    def new_pull_request(self) -> str:
        """A branch for a pull request."""
        return next(name for n in itertools.count(1) if (name := f"refs/pr/{n}") not in self.branches)

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            **{key: getattr(self, key) for key in ("name", "private", "gated", "branches", "tags")},
            "commits": {
                oid: {
                    "parent": commit.parent,
                    "title": commit.title,
                    "files": {path: vars(file) for path, file in commit.files.items()},
                }
                for oid, commit in self.commits.items()
            },
        }
        (self.folder / "repository.json").write_text(json.dumps(state, indent=1), encoding="utf-8")


def git_oid(content: bytes) -> str:
    """What git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str, size: int) -> bool:
    """Whether the Hub keeps a file outside of git."""
    return path.endswith(LFS_SUFFIXES) or size >= LFS_FROM
