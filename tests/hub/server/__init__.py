"""A Hub on this machine: what huggingface_hub's client asks of it is answered as the real one does, from files on disk.

    with Hub(folder).running() as hub:
        hub.add_user("ann", "hf_secret")
        run_python("-c", "...", **hub.environment(home, token="hf_secret"))

The client reads its settings at import, so that it runs in a process of its own, or is given `endpoint=`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.hub.server.faults import Faults
from tests.hub.server.repository import MAIN, Blobs, Commit, File, RefusedError, Repository, is_large

__all__ = ["COMMIT", "Hub", "RefusedError", "Repository"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories of models, their users, and what goes wrong with them.

    Args:
        folder: that everything is kept in.

    Attributes:
        repositories: by name.
        users: name of each, by token.
        organisations: names that each user writes to, beside its own.
        faults: what is to go wrong.
        requests: method and path of each, in their order.
        blobs: contents of all files.
        part_size: bytes from which an upload comes in parts; None for never.
        page_size: models on a page of a list.
        lock: held while something is changed.
    """

    def __init__(self, folder: Path) -> None:
        from tests.hub.server.handler import Handler

        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, str] = {}
        self.organisations: dict[str, set[str]] = {}
        self.faults = Faults()
        self.requests: list[str] = []
        self.blobs = Blobs(folder / "blobs")
        self.part_size: int | None = None
        self.page_size = 100
        self.lock = threading.RLock()
        self._folder = folder
        handler = type("HandlerOfHub", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True

    def add_user(self, name: str, token: str, *organisations: str) -> None:
        """Let the owner of a token read and write."""
        self.users[token] = name
        self.organisations[name] = set(organisations)

    def create(self, name: str, *, private: bool = False) -> Repository:
        """A new repository, which has an empty commit.

        Raises:
            RefusedError: it exists.
        """
        with self.lock:
            if name in self.repositories:
                raise RefusedError(409, "You already created this model repo", url=f"{self.endpoint}/{name}")
            repository = Repository(name, self._folder / "repositories" / name, private)
            self.repositories[name] = repository
            repository.commit("initial commit", {".gitattributes": self.keep(b"*.safetensors filter=lfs\n", lfs=False)})
            return repository

    def keep(self, content: bytes, *, lfs: bool) -> File:
        """Take a content over."""
        self.blobs.add(content)
        return File.of(content, lfs=lfs)

    def publish(
        self, name: str, files: Path | Mapping[str, bytes], *, commit: str = "", tag: str = "", branch: str = MAIN
    ) -> Commit:
        """Let a repository hold exactly some files.

        Args:
            name: of the repository, which is made if it is missing.
            files: folder, or contents by path.
            commit: name of the commit.
            tag: that it gets.
            branch: that it is on.
        """
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        repository = self.repositories.get(name) or self.create(name)
        kept = {path: self.keep(content, lfs=is_large(path, len(content))) for path, content in files.items()}
        made = repository.commit("published", kept, branch, oid=commit)
        if tag:
            repository.tags[tag] = made.oid
        return made

    def read(self, name: str, path: str, revision: str = MAIN) -> bytes:
        """What a repository holds at a path.

        Raises:
            KeyError: there is no such file.
        """
        return self.blobs.path(self.repositories[name].find(revision).files[path].sha256).read_bytes()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def store(self) -> str:
        """Where large files are had: another host than the Hub's, as far as a client can tell."""
        return f"http://localhost:{self.server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Hub]:
        """Answer requests in threads of its own."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def environment(self, home: Path, token: str = "") -> dict[str, str]:
        """Variables that lead a process of its own here; the token is of a user."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "",
            "HF_TOKEN": token,
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        }
