"""The Hub's HTTP interface, as huggingface_hub 0.x to 2.x uses it for models."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.server.faults import Fault
from tests.hub.server.repository import MAIN, File, RefusedError, Repository, is_large

if TYPE_CHECKING:
    from tests.hub.server import Hub

_NAME = "(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    (method, re.compile(pattern.replace("NAME", _NAME)), route)
    for method, pattern, route in (
        ("GET", "/api/whoami-v2", "whoami"),
        ("POST", "/api/repos/create", "create"),
        ("POST", "/api/validate-yaml", "validate_yaml"),
        ("GET", "/api/models", "models"),
        ("GET", "/api/models/NAME", "info"),
        ("GET", "/api/models/NAME/revision/(?P<revision>[^/]+)", "info"),
        ("GET", "/api/models/NAME/refs", "refs"),
        ("GET", "/api/models/NAME/tree/(?P<revision>[^/]+)", "tree"),
        ("POST", "/api/models/NAME/paths-info/(?P<revision>[^/]+)", "paths_info"),
        ("POST", "/api/models/NAME/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", "/api/models/NAME/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", "/api/models/NAME/branch/(?P<revision>[^/]+)", "branch"),
        ("POST", "/api/models/NAME/tag/(?P<revision>[^/]+)", "tag"),
        ("DELETE", "/api/models/NAME/tag/(?P<revision>[^/]+)", "untag"),
        ("POST", r"/NAME\.git/info/lfs/objects/batch", "lfs_batch"),
        ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", "lfs_put"),
        ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})/(?P<part>[0-9]+)", "lfs_part"),
        ("POST", "/lfs/(?P<oid>[0-9a-f]{64})/complete", "lfs_complete"),
        ("POST", "/lfs/(?P<oid>[0-9a-f]{64})/verify", "lfs_verify"),
        ("GET", "/NAME/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
        ("GET", "/cdn/(?P<oid>[0-9a-f]{64})", "cdn"),
    )
]
_SLOW_SECONDS = 0.3


class Handler(BaseHTTPRequestHandler):
    """Answers one request; a subclass has the Hub."""

    hub: Hub
    fault: Fault | None
    query: Mapping[str, list[str]]

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("GET")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def do_DELETE(self) -> None:
        self._dispatch("DELETE")

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def _dispatch(self, method: str) -> None:
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {self.path}")
        with contextlib.suppress(ConnectionError):
            for wanted, pattern, route in _ROUTES:
                found = pattern.fullmatch(address.path)
                if wanted == method and found:
                    parts = {key: unquote(value) for key, value in found.groupdict().items()}
                    return self._run(route, parts)
            self._refuse(RefusedError(404, f"no route {method} {address.path}"))
        return None

    def _run(self, route: str, parts: Mapping[str, str]) -> None:
        self.fault = self.hub.faults.take(route, self.path)
        kind = self.fault.kind if self.fault else ""
        try:
            if kind.isdigit():
                raise RefusedError(int(kind), f"fault {kind}", {"404": "RepoNotFound"}.get(kind, ""))
            with self.hub.lock if self.command != "GET" else contextlib.nullcontext():
                getattr(self, route)(**parts)
        except RefusedError as refused:
            self._refuse(refused)

    # What is answered

    def whoami(self) -> None:
        user = self._user()
        orgs = [{"name": name, "type": "org"} for name in sorted(self.hub.organisations[user])]
        self._json({"type": "user", "name": user, "orgs": orgs, "auth": {"accessToken": {"role": "write"}}})

    def create(self) -> None:
        wanted = json.loads(self.body)
        name = f"{wanted.get('organization') or self._user()}/{wanted['name']}"
        self._require_writer(name)
        repository = self.hub.create(name, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        self._json({"url": f"{self.hub.endpoint}/{repository.name}", "name": repository.name, "id": repository.name})

    def validate_yaml(self) -> None:
        self._json({"errors": [], "warnings": []})

    def models(self) -> None:
        author, wanted = self.query.get("author", [""])[0], set(self.query.get("filter", []))
        found = [
            self._about(repository, MAIN)
            for name, repository in sorted(self.hub.repositories.items())
            if self._may_read(repository) and author in ("", repository.owner)
        ]
        found = [model for model in found if wanted <= set(model["tags"])]
        start, size = int(self.query.get("cursor", ["0"])[0]), self.hub.page_size
        headers = {}
        if start + size < len(found):
            others = "".join(
                f"{key}={value}&" for key, values in self.query.items() if key != "cursor" for value in values
            )
            headers["Link"] = f'<{self.hub.endpoint}/api/models?{others}cursor={start + size}>; rel="next"'
        self._json(found[start : start + size], **headers)

    def info(self, name: str, revision: str = MAIN) -> None:
        self._json(self._about(self._repository(name), revision, blobs="blobs" in self.query))

    def refs(self, name: str) -> None:
        repository = self._repository(name)

        def listed(kind: str, refs: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in refs.items()]

        heads = {n: oid for n, oid in repository.branches.items() if not n.startswith("refs/")}
        pulls = {n: oid for n, oid in repository.branches.items() if n.startswith("refs/")}
        answer = {"branches": listed("heads", heads), "converts": [], "tags": listed("tags", repository.tags)}
        self._json({**answer, "pullRequests": [{"name": n, "ref": n, "targetCommit": oid} for n, oid in pulls.items()]})

    def tree(self, name: str, revision: str) -> None:
        files = self._repository(name).find(revision).files
        self._json([self._entry(path, file) for path, file in files.items()])

    def paths_info(self, name: str, revision: str) -> None:
        files = self._repository(name).find(revision).files
        wanted = json.loads(self.body)["paths"]
        self._json([self._entry(path, files[path]) for path in wanted if path in files])

    def preupload(self, name: str, revision: str) -> None:
        repository = self._writable(name)
        files = repository.find(revision).files if revision in repository.branches else {}
        self._json(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if is_large(file["path"], file["size"]) else "regular",
                        "shouldIgnore": False,
                        "oid": files[file["path"]].etag if file["path"] in files else None,
                    }
                    for file in json.loads(self.body)["files"]
                ]
            }
        )

    def lfs_batch(self, name: str) -> None:
        self._writable(name)
        objects = [self._upload_of(wanted["oid"], wanted["size"]) for wanted in json.loads(self.body)["objects"]]
        self._json({"transfer": "multipart" if self.hub.part_size else "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusedError(400, "the content has another sha256")
        self.hub.blobs.add(self.body)
        self._json({})

    def lfs_part(self, oid: str, part: str) -> None:
        self.hub.blobs.path(f"{oid}.{part}").write_bytes(self.body)
        self._json({}, ETag=f'"{hashlib.md5(self.body).hexdigest()}"')

    def lfs_complete(self, oid: str) -> None:
        parts = [part["partNumber"] for part in json.loads(self.body)["parts"]]
        content = b"".join(self.hub.blobs.path(f"{oid}.{part}").read_bytes() for part in parts)
        if hashlib.sha256(content).hexdigest() != oid:
            raise RefusedError(400, "the parts have another sha256")
        self.hub.blobs.add(content)
        self._json({})

    def lfs_verify(self, oid: str) -> None:
        if oid not in self.hub.blobs:
            raise RefusedError(404, "not uploaded")
        self._json({})

    def commit(self, name: str, revision: str) -> None:
        repository = self._writable(name)
        header, *operations = [json.loads(line) for line in self.body.splitlines() if line]
        if self.fault and self.fault.kind == "conflict":
            repository.commit("by somebody else", repository.find(revision).files, revision)
        head = repository.find(revision)
        asked = header["value"].get("parentCommit")
        if asked and asked != head.oid:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for operation in operations:
            self._apply(operation, files)
        pull = repository.new_pull_request() if "create_pr" in self.query else ""
        made = repository.commit(header["value"]["summary"], files, pull or revision, onto=revision)
        answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{made.oid}"}
        if pull:
            answer["pullRequestUrl"] = f"{self.hub.endpoint}/{name}/discussions/{pull.rsplit('/', 1)[1]}"
        self._json(answer)

    def branch(self, name: str, revision: str) -> None:
        repository = self._writable(name)
        if revision in repository.branches:
            raise RefusedError(409, "Reference already exists")
        start = (json.loads(self.body) if self.body else {}).get("startingPoint", MAIN)
        repository.branches[revision] = repository.find(start).oid
        repository.save()
        self._json({})

    def tag(self, name: str, revision: str) -> None:
        repository, wanted = self._writable(name), json.loads(self.body)["tag"]
        if wanted in repository.tags:
            raise RefusedError(409, "Tag reference exists already")
        repository.tags[wanted] = repository.find(revision).oid
        repository.save()
        self._json({})

    def untag(self, name: str, revision: str) -> None:
        repository = self._writable(name)
        if repository.tags.pop(revision, None) is None:
            raise RefusedError(404, "no such tag", "RevisionNotFound")
        repository.save()
        self._json({})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        commit = repository.find(revision)
        if path not in commit.files:
            raise RefusedError(404, "Entry not found", "EntryNotFound")
        if repository.gated:
            raise RefusedError(403, "Access to this model is restricted", "GatedRepo")
        file = commit.files[path]
        headers = {"X-Repo-Commit": commit.oid}
        if file.lfs:
            linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            self._send(302, b"", Location=f"{self.hub.store}/cdn/{file.sha256}", **headers, **linked)
        else:
            self._content(file.sha256, ETag=f'"{file.etag}"', **headers)

    def cdn(self, oid: str) -> None:
        self._content(oid, ETag=f'"{oid}"')

    # Parts of answers

    def _user(self) -> str:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        if not token:
            raise RefusedError(401, "Invalid username or password.")
        if token not in self.hub.users:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.hub.users[token]

    def _may_read(self, repository: Repository) -> bool:
        if not repository.private:
            return True
        try:
            self._require_writer(repository.name)
        except RefusedError:
            return False
        return True

    def _require_writer(self, name: str) -> None:
        user, owner = self._user(), name.partition("/")[0]
        if owner != user and owner not in self.hub.organisations[user]:
            raise RefusedError(403, f"You don't have the rights to write to {owner}")

    def _repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or not self._may_read(repository):
            raise RefusedError(
                404 if self.headers.get("Authorization") else 401, "Repository not found", "RepoNotFound"
            )
        return repository

    def _writable(self, name: str) -> Repository:
        repository = self._repository(name)
        self._require_writer(name)
        return repository

    def _about(self, repository: Repository, revision: str, *, blobs: bool = False) -> dict[str, Any]:
        commit = repository.find(revision)
        card = self._metadata(commit.files.get("README.md"))
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in commit.files]
        if blobs:
            for entry, file in zip(siblings, commit.files.values(), strict=True):
                entry |= {"size": file.size, "blobId": file.oid}
                entry |= {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 134}} if file.lfs else {}
        tags = [*map(str, card.get("tags") or ()), *([str(card["library_name"])] if "library_name" in card else [])]
        return {
            **{"_id": repository.name, "id": repository.name, "modelId": repository.name, "author": repository.owner},
            **{"sha": commit.oid, "private": repository.private, "gated": repository.gated, "disabled": False},
            **{"tags": list(dict.fromkeys(tags)), "downloads": 0, "likes": 0, "siblings": siblings, "cardData": card},
            **{key: card[key] for key in ("library_name", "pipeline_tag") if key in card},
            **{"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"},
        }

    def _metadata(self, readme: File | None) -> dict[str, Any]:
        import yaml

        if readme is None:
            return {}
        text = self.hub.blobs.path(readme.sha256).read_text(encoding="utf-8", errors="replace")
        found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.S)
        try:
            values = yaml.safe_load(found[1]) if found else {}
        except yaml.YAMLError:
            values = {}
        return json.loads(json.dumps(values, default=str)) if isinstance(values, dict) else {}

    def _entry(self, path: str, file: File) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
        return entry | ({"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.lfs else {})

    def _upload_of(self, oid: str, size: int) -> dict[str, Any]:
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if oid in self.hub.blobs:
            return answer
        address = f"{self.hub.endpoint}/lfs/{oid}"
        upload: dict[str, Any] = {"href": address}
        if self.hub.part_size and size > self.hub.part_size:
            parts = range(1, -(-size // self.hub.part_size) + 1)
            header = {"chunk_size": str(self.hub.part_size), **{str(part): f"{address}/{part}" for part in parts}}
            upload = {"href": f"{address}/complete", "header": header}
        return answer | {"actions": {"upload": upload, "verify": {"href": f"{address}/verify"}}}

    def _apply(self, operation: Mapping[str, Any], files: dict[str, File]) -> None:
        """Do one operation of a commit to the files of a state."""
        value = operation["value"]
        match operation["key"]:
            case "file":
                files[value["path"]] = self.hub.keep(base64.b64decode(value["content"]), lfs=False)
            case "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise RefusedError(400, f"{value['path']} was not uploaded")
                files[value["path"]] = File.of(self.hub.blobs.path(value["oid"]).read_bytes(), lfs=True)
            case "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
            case key:
                raise RefusedError(400, f"no operation {key}")

    # What is sent

    def _json(self, value: Any, **headers: str) -> None:
        self._send(200, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})

    def _refuse(self, refused: RefusedError) -> None:
        headers = {"X-Error-Message": refused.message, **({"X-Error-Code": refused.code} if refused.code else {})}
        if self.fault and self.fault.kind == "429":
            headers["Retry-After"] = str(self.fault.retry_after)
        body = json.dumps({"error": refused.message, **refused.said}).encode()
        self.fault = None
        self._send(refused.status, body, **{"Content-Type": "application/json", **headers})

    def _content(self, digest: str, **headers: str) -> None:
        """A file, or the part of it that is asked for."""
        content = self.hub.blobs.path(digest).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            return self._send(200, content, **{"Accept-Ranges": "bytes", **headers})
        start, end = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        if start >= len(content):
            return self._send(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
        part = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return self._send(206, content[start : end + 1], **part, **headers)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        kind = self.fault.kind if self.fault else ""
        if kind == "lost":
            self.close_connection = True
            return
        if kind == "wrong bytes":
            body = bytes(byte ^ 0x55 for byte in body)
        if kind == "short":
            body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            for piece in self._pieces(body, kind):
                self.wfile.write(piece)
                self.wfile.flush()

    def _pieces(self, body: bytes, kind: str) -> Iterator[bytes]:
        if kind == "cut":
            yield body[: len(body) // 2]
            self.close_connection = True
        elif kind == "slow":
            size = max(1, -(-len(body) // 4))
            for start in range(0, len(body), size):
                time.sleep(_SLOW_SECONDS)
                yield body[start : start + size]
        else:
            yield body
