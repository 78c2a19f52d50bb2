"""A server on this machine that answers the Hub's client as the Hub does for one public repository."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """One repository at one commit, which is main and has the tag v1.

    `<repository>` with its name replaced by `no-<file>` is the same repository without that file.

    Args:
        folder: files of the repository.
        repository: its id.
        commit: its commit.
    """

    def __init__(self, folder: Path, repository: str = "org/name", commit: str = COMMIT) -> None:
        self.folder = folder
        self.organisation, self.name = repository.split("/")
        self.commit = commit
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def find(self, path: str) -> Path | tuple[str, str]:
        """The file that a path leads to, or the code and message of the error."""
        organisation, name, action, revision, file = [*path.split("/")[1:], *[""] * 5][:5]
        known = organisation == self.organisation and (name == self.name or name.startswith("no-"))
        if not known or action != "resolve":
            return "RepoNotFound", "Repository not found"
        if revision not in ("main", "v1", self.commit):
            return "RevisionNotFound", "Invalid rev id"
        if name == f"no-{file}" or not (self.folder / file).is_file():
            return "EntryNotFound", "Entry not found"
        return self.folder / file

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

            def _answer(self, *, with_body: bool) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                found = hub.find(self.path)
                if isinstance(found, Path):
                    body = found.read_bytes()
                    self._send(200, body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=hub.commit)
                    if with_body:
                        self.wfile.write(body)
                else:
                    self._send(404, b"", X_Error_Code=found[0], X_Error_Message=found[1])

            def _send(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()

        return Handler

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Hub]:
        """Answer requests in a thread of its own."""
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables that lead a process of its own here, since the client reads its settings at import."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "",
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
        }
