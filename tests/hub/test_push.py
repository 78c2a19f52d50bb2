"""push: what is refused, what arrives, and what goes wrong on the way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch

import actrec_zoo
from actrec_zoo.errors import ActrecZooError, ConfigError, HubError
from actrec_zoo.hub.package import CARD_FILE, CONFIG_FILE, EVAL_FILE, WEIGHTS_FILE
from actrec_zoo.hub.push import Destination
from actrec_zoo.hub.readme import metadata
from actrec_zoo.publishing import prepare
from tests.conftest import Outcome
from tests.hub.client import Client
from tests.hub.server import Hub
from tests.hub.server.faults import Kind

TOKEN = "hf_never_to_be_seen"
FILES = {CONFIG_FILE, WEIGHTS_FILE, EVAL_FILE, CARD_FILE}
SMALL: dict[str, Any] = {"options": {"width": 4}, "size": 32, "frames": 4, "device": "cpu", "workers": 0}
PUSHER = """
import actrec_zoo
def answer(asked):
    pushed = actrec_zoo.push(**asked)
    return {"url": pushed.url, "commit": pushed.commit, "changed": pushed.changed}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path_factory.mktemp("runs") / "run", epochs=1, **SMALL)
    actrec_zoo.evaluate(run.path, squares, workers=0, device="cpu", report=False)
    return run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "plots"))


def change(run: Path, **values: Any) -> None:
    file = run / EVAL_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


class World(NamedTuple):
    hub: Hub
    client: Client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("push")
    hub = Hub(folder / "server")
    hub.add_user("ann", TOKEN, "club")
    with hub.running():
        client = Client(hub, folder / "home", PUSHER, TOKEN)
        try:
            yield World(hub, client)
        finally:
            assert TOKEN not in client.end()


# What is refused


def refused(run: Path, **options: Any) -> str:
    with pytest.raises(HubError) as raised:
        prepare(run, Destination("ann/model"), **{"license": "mit", **options})
    return str(raised.value)


def test_a_run_that_is_fit_is_prepared(run: Path) -> None:
    publication = prepare(run, Destination("ann/model"), license="mit")
    assert set(publication.files) == FILES
    assert publication.sizes[WEIGHTS_FILE] == (run / WEIGHTS_FILE).stat().st_size
    card = str(publication.files[CARD_FILE])
    assert metadata(card, "")["license"] == "mit" and "model-index" in metadata(card, "")
    assert 'actrec_zoo.load("hf:ann/model")' in card and "run.json" not in card


def test_without_an_evaluation(run: Path) -> None:
    (run / EVAL_FILE).unlink()
    assert "it has no evaluation. Run `actrec-zoo eval`, or give --unevaluated" in refused(run)
    publication = prepare(run, Destination("ann/model"), license="mit", unevaluated=True)
    assert EVAL_FILE not in publication.files and "Not evaluated yet" in str(publication.files[CARD_FILE])


def test_without_a_licence(run: Path) -> None:
    assert "licence of its weights. Say which: --license cc-by-4.0" in refused(run, license=None)


def test_every_reason_is_told_at_once(run: Path) -> None:
    report = json.loads((run / EVAL_FILE).read_text())
    change(run, n_failed=1, protocol=report["protocol"] | {"seen": 3})
    told = refused(run, license=None)
    for reason in ("1 of 2 videos could not be read", "3 videos that it was trained or chosen on", "--license"):
        assert reason in told


def test_an_evaluation_of_other_weights(run: Path) -> None:
    change(run, identity={"weights": "0" * 64})
    assert "eval.json is of other weights than model.safetensors" in refused(run)


def test_a_run_that_has_not_finished(run: Path) -> None:
    (run / WEIGHTS_FILE).unlink()
    with pytest.raises(ActrecZooError, match="the run has not finished"):
        prepare(run, Destination("ann/model"), license="mit")


@pytest.mark.parametrize("name", ["model", "a/b/c", "", "/x"])
def test_a_name_that_is_none(run: Path, name: str) -> None:
    with pytest.raises(HubError, match="names no model on the Hub"):
        prepare(run, Destination(name), license="mit")


def test_a_pull_request_has_no_tag(run: Path) -> None:
    with pytest.raises(ConfigError, match="--tag and --create-pr exclude each other"):
        prepare(run, Destination("ann/model", tag="v1", create_pr=True), license="mit")


def test_a_dry_run_shows_and_asks_nothing(run: Path, invoke: Callable[..., Outcome]) -> None:
    code, out, err = invoke("push", run, "ann/model", "--license", "mit", "--dry-run", "--tag", "v1")
    assert (code, err) == (0, "")
    assert all(name in out for name in FILES) and "for ann/model, tag v1" in out and "nothing was uploaded" in out


# What arrives


def test_a_model_arrives_whole_in_one_commit(world: World, run: Path) -> None:
    pushed = world.client(run=str(run), repository="ann/first", license="mit", tag="v1")
    repository = world.hub.repositories["ann/first"]
    assert pushed["changed"] and repository.tags == {"v1": pushed["commit"]}
    assert [commit.title for commit in repository.commits.values()] == ["initial commit", "Model, by actrec-zoo"]
    assert set(repository.find("v1").files) == FILES | {".gitattributes"}
    assert world.hub.read("ann/first", WEIGHTS_FILE) == (run / WEIGHTS_FILE).read_bytes()
    safetensors.torch.load(world.hub.read("ann/first", WEIGHTS_FILE))
    again = world.client(run=str(run), repository="ann/first", license="mit")
    assert not again["changed"] and again["commit"] == pushed["commit"] and len(repository.commits) == 2


def test_what_a_person_wrote_on_the_hub_stays(world: World, run: Path) -> None:
    world.client(run=str(run), repository="ann/edited", license="mit", unevaluated=True)
    text = world.hub.read("ann/edited", CARD_FILE).decode()
    edited = (
        text.replace("# tiny", "# By hand: tiny").replace("license: mit", "license: mit\nlanguage: de") + "\nThanks.\n"
    )
    edited = edited.replace("Split test", "Split no more")
    kept = {name: world.hub.read("ann/edited", name) for name in FILES}
    world.hub.publish("ann/edited", {**kept, CARD_FILE: edited.encode()})
    world.client(run=str(run), repository="ann/edited", license="cc-by-4.0")
    after = world.hub.read("ann/edited", CARD_FILE).decode()
    assert "# By hand: tiny" in after and after.endswith("\nThanks.\n") and "Split test" in after
    assert metadata(after, "")["language"] == "de" and metadata(after, "")["license"] == "cc-by-4.0"


def test_an_old_evaluation_does_not_stay_with_new_weights(world: World, run: Path) -> None:
    world.client(run=str(run), repository="ann/stale", license="mit")
    (run / EVAL_FILE).unlink()
    world.client(run=str(run), repository="ann/stale", license="mit", unevaluated=True)
    assert EVAL_FILE not in world.hub.repositories["ann/stale"].find("main").files
    assert "model-index" not in metadata(world.hub.read("ann/stale", CARD_FILE).decode(), "")


def test_branches_pull_requests_and_private_repositories(world: World, run: Path) -> None:
    asked = {"run": str(run), "repository": "club/secret", "license": "mit"}
    world.client(**asked, private=True)
    repository = world.hub.repositories["club/secret"]
    assert repository.private
    world.client(**asked | {"license": "apache-2.0"}, revision="next")
    assert metadata(world.hub.read("club/secret", CARD_FILE, "next").decode(), "")["license"] == "apache-2.0"
    assert metadata(world.hub.read("club/secret", CARD_FILE).decode(), "")["license"] == "mit"
    proposed = world.client(**asked | {"license": "cc-by-4.0"}, create_pr=True)
    assert proposed["url"].endswith("/club/secret/discussions/1") and "refs/pr/1" in repository.branches
    assert metadata(world.hub.read("club/secret", CARD_FILE).decode(), "")["license"] == "mit"


def test_a_tag_that_is_taken_is_told_before_anything_is_uploaded(world: World, run: Path) -> None:
    asked = {"run": str(run), "repository": "ann/tagged", "license": "mit", "tag": "v1"}
    world.client(**asked)
    before = dict(world.hub.repositories["ann/tagged"].commits)
    error = world.client(**asked | {"license": "apache-2.0"})["error"]
    assert (
        error == "cannot push to hf:ann/tagged: it has the tag v1 already: choose another --tag. Nothing was uploaded"
    )
    assert world.hub.repositories["ann/tagged"].commits == before


def test_a_broken_readme_on_the_hub_is_named_and_left(world: World, run: Path) -> None:
    world.hub.publish("ann/broken", {CARD_FILE: b"---\na: [\n---\nwords\n"})
    error = world.client(run=str(run), repository="ann/broken", license="mit")["error"]
    assert "the head of README.md of ann/broken is no YAML, repair it" in error
    assert world.hub.read("ann/broken", CARD_FILE) == b"---\na: [\n---\nwords\n"


def test_the_namespace_of_somebody_else(world: World, run: Path) -> None:
    error = world.client(run=str(run), repository="bob/model", license="mit")["error"]
    assert error.startswith("cannot push to hf:bob/model: ") and "403" in error and "\n" not in error
    assert "bob/model" not in world.hub.repositories


def test_published_models_are_listed(world: World, run: Path) -> None:
    from tests.distributions import run_python

    world.client(run=str(run), repository="ann/listed", license="mit")
    world.hub.publish("ann/other", {CARD_FILE: b"---\nlibrary_name: timm\n---\n"})
    environ = world.hub.environment(run.parent / "home")
    found = run_python("-m", "actrec_zoo", "list", "--hub", "ann", "--json", **environ)
    listed = {model["repository"]: model for model in json.loads(found.out)}
    assert "ann/listed" in listed and "ann/other" not in listed
    assert (listed["ann/listed"]["license"], listed["ann/listed"]["tags"]) == ("mit", ["tiny"])
    refused = run_python("-m", "actrec_zoo", "list", "--hub", "ann", "--pretrained", **environ)
    assert refused.code == 2 and "--hub takes a namespace" in refused.err


# What goes wrong

ROUTES = ("create", "info", "validate_yaml", "preupload", "lfs_batch", "lfs_put", "lfs_verify", "commit", "tag")


def fresh(world: World, run: Path, name: str) -> dict[str, Any]:
    """Weights that the Hub has not seen, and what to ask."""
    weights = safetensors.torch.load_file(run / WEIGHTS_FILE)
    key = sorted(weights)[0]
    weights[key] = weights[key] + 1 + len(world.hub.repositories)
    safetensors.torch.save_file(weights, run / WEIGHTS_FILE, {"format": "pt"})
    (run / EVAL_FILE).unlink()
    world.hub.faults.clear()
    return {"run": str(run), "repository": f"ann/{name}", "license": "mit", "unevaluated": True, "tag": "v1"}


def assert_whole(world: World, name: str, run: Path) -> None:
    repository = world.hub.repositories[f"ann/{name}"]
    assert repository.tags == {"v1": repository.branches["main"]} and len(repository.commits) == 2
    assert world.hub.read(f"ann/{name}", WEIGHTS_FILE) == (run / WEIGHTS_FILE).read_bytes()


def cases(kinds: tuple[Kind, ...], quick: set[tuple[str, Kind]]) -> list[Any]:
    """Every route with every kind; those that are not quick are slow ones."""
    return [
        pytest.param(route, kind, marks=[] if (route, kind) in quick else [pytest.mark.slow])
        for route in ROUTES
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("route", "kind"), cases(("500", "503", "429"), {("create", "429"), ("lfs_put", "500"), ("commit", "503")})
)
def test_what_passes_is_waited_for(world: World, run: Path, route: str, kind: Kind) -> None:
    asked = fresh(world, run, f"busy-{route}-{kind}")
    world.hub.faults.add(route, kind, 1)
    assert "error" not in world.client(**asked)
    assert world.hub.faults.left == 0
    assert_whole(world, f"busy-{route}-{kind}", run)


@pytest.mark.parametrize("route", ["lfs_put", "commit"])
def test_an_answer_that_is_lost_is_no_second_commit(world: World, run: Path, route: str) -> None:
    asked = fresh(world, run, f"lost-{route}")
    world.hub.faults.add(route, "lost")
    assert "error" not in world.client(**asked)
    assert_whole(world, f"lost-{route}", run)


@pytest.mark.parametrize(
    ("route", "kind"),
    cases(("401", "403", "404"), {("create", "401"), ("preupload", "403"), ("commit", "404"), ("tag", "403")}),
)
def test_what_does_not_pass_changes_nothing_and_is_said(world: World, run: Path, route: str, kind: Kind) -> None:
    name = f"down-{route}-{kind}"
    asked = fresh(world, run, name)
    world.hub.faults.add(route, kind, 1)
    error = world.client(**asked)["error"]
    assert error.startswith(f"cannot push to hf:ann/{name}: ") and "\n" not in error and TOKEN not in error
    repository = world.hub.repositories.get(f"ann/{name}")
    if route == "tag":
        assert repository and f"commit {repository.branches['main']} is there, but without its tag v1" in error
    else:
        assert repository is None or list(repository.find("main").files) == [".gitattributes"]
        assert "error" not in world.client(**asked)
        assert_whole(world, name, run)


def test_somebody_else_commits_meanwhile(world: World, run: Path) -> None:
    asked = fresh(world, run, "conflict")
    world.hub.faults.add("commit", "conflict")
    error = world.client(**asked)["error"]
    assert error == (
        "cannot push to hf:ann/conflict: somebody else has committed meanwhile. Nothing was changed: push again"
    )
    assert WEIGHTS_FILE not in world.hub.repositories["ann/conflict"].find("main").files
    assert "error" not in world.client(**asked)
    assert re.fullmatch("[0-9a-f]{40}", world.hub.repositories["ann/conflict"].tags["v1"])
