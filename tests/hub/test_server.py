"""The Hub on this machine does what huggingface_hub's own client expects of one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.distributions import run_python
from tests.hub.server import Hub

README = b"---\nlibrary_name: actrec-zoo\ntags:\n- video-classification\n---\n# A model\n"
SCENARIO = """
import json, os, pathlib
from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

folder = pathlib.Path(os.environ["FOLDER"])
api, stranger = HfApi(), HfApi(token=False)
said = {"who": api.whoami()["name"]}

def refused(do):
    try:
        do()
    except HfHubHTTPError as error:
        return [type(error).__name__, error.response.status_code]

def add(**files):
    return [CommitOperationAdd(name.replace("_", "."), content) for name, content in files.items()]

said["url"] = str(api.create_repo("ann/model"))
api.create_repo("ann/model", exist_ok=True)
said["again"] = refused(lambda: api.create_repo("ann/model"))
said["not mine"] = refused(lambda: api.create_repo("bob/model"))
readme, weights = (folder / "README.md").read_bytes(), (folder / "model.safetensors").read_bytes()
first = api.create_commit("ann/model", add(README_md=readme, model_safetensors=weights), commit_message="first")
said["first"] = first.oid
api.create_tag("ann/model", tag="v1", revision=first.oid)
said["tag again"] = refused(lambda: api.create_tag("ann/model", tag="v1"))
second = api.create_commit("ann/model", add(config_json=b"{}"), commit_message="second", parent_commit=first.oid)
said["stale"] = refused(
    lambda: api.create_commit("ann/model", add(config_json=b"[]"), commit_message="x", parent_commit=first.oid)
)
same = api.create_commit("ann/model", add(README_md=readme), commit_message="nothing new")
said["same"] = same.oid == second.oid
pull = api.create_commit("ann/model", add(config_json=b"[1]"), commit_message="wish", create_pr=True)
said["pull"] = pull.pr_url
info = api.model_info("ann/model", files_metadata=True)
said["info"] = {s.rfilename: [s.size, s.lfs and s.lfs.sha256] for s in info.siblings}
said["library"] = info.library_name
said["refs"] = [r.name for r in api.list_repo_refs("ann/model").tags]
said["tree"] = sorted(file.path for file in api.list_repo_tree("ann/model", revision="v1"))
path = pathlib.Path(hf_hub_download("ann/model", "model.safetensors", revision="v1"))
said["same bytes"] = path.read_bytes() == weights and path.parent.name == first.oid
for n in range(5):
    api.create_repo(f"ann/other{n}")
    api.create_commit(f"ann/other{n}", add(README_md=readme), commit_message="card")
api.create_repo("club/hidden", private=True)
said["listed"] = [m.id for m in stranger.list_models(author="ann", filter="actrec-zoo")]
said["private"] = refused(lambda: stranger.model_info("club/hidden"))
said["seen by members"] = api.model_info("club/hidden").private
said["missing"] = [
    refused(lambda: api.model_info("ann/none")), refused(lambda: api.model_info("ann/model", revision="v9"))
]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    hub.add_user("ann", "hf_secret_of_ann", "club")
    hub.page_size, hub.part_size = 2, 40_000
    with hub.running():
        yield hub


@pytest.fixture(scope="module")
def said(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("model")
    (folder / "README.md").write_bytes(README)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    environ = hub.environment(folder / "home", "hf_secret_of_ann") | {"FOLDER": str(folder)}
    done = run_python("-c", SCENARIO, **environ)
    assert done.code == 0, done.err
    result: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return result


def test_users_and_repositories(hub: Hub, said: dict[str, Any]) -> None:
    assert said["who"] == "ann" and said["url"] == f"{hub.endpoint}/ann/model"
    assert said["again"] == ["HfHubHTTPError", 409] and said["not mine"][1] == 403
    assert said["private"][0] == "RepositoryNotFoundError" and said["seen by members"] is True
    assert said["missing"] == [["RepositoryNotFoundError", 404], ["RevisionNotFoundError", 404]]


def test_commits_tags_and_pull_requests(hub: Hub, said: dict[str, Any]) -> None:
    repository = hub.repositories["ann/model"]
    assert repository.tags == {"v1": said["first"]} and said["refs"] == ["v1"] and said["tag again"][1] == 409
    assert said["stale"][1] == 412 and said["same"]
    assert [c.title for c in repository.commits.values()] == ["initial commit", "first", "second", "wish"]
    assert hub.read("ann/model", "config.json") == b"{}"
    assert hub.read("ann/model", "config.json", "refs/pr/1") == b"[1]" and said["pull"].endswith("/discussions/1")
    assert json.loads((repository.folder / "repository.json").read_text())["tags"] == repository.tags


def test_files_large_and_small(hub: Hub, said: dict[str, Any]) -> None:
    assert said["same bytes"] and said["library"] == "actrec-zoo"
    assert said["info"]["model.safetensors"] == [
        102_400,
        hub.repositories["ann/model"].find("v1").files["model.safetensors"].sha256,
    ]
    assert said["info"]["README.md"] == [len(README), None]
    assert said["tree"] == [".gitattributes", "README.md", "model.safetensors"]
    parts = [request for request in hub.requests if re.match(r"PUT /lfs/\w+/\d", request)]
    assert len(parts) == 3, "102400 bytes come in parts of 40000"


def test_lists_come_in_pages(hub: Hub, said: dict[str, Any]) -> None:
    assert said["listed"] == ["ann/model", *(f"ann/other{n}" for n in range(5))]
    assert sum(request.startswith("GET /api/models?") for request in hub.requests) == 3


def test_a_part_of_a_file_can_be_asked_for(hub: Hub) -> None:
    from urllib.request import Request, urlopen

    hub.publish("ann/ranged", {"a.txt": b"0123456789"})
    asked = Request(f"{hub.endpoint}/ann/ranged/resolve/main/a.txt", headers={"Range": "bytes=4-"})
    with urlopen(asked) as answer:
        assert answer.status == 206 and answer.read() == b"456789"
        assert answer.headers["Content-Range"] == "bytes 4-9/10"
