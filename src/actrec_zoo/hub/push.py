"""A model's files put into a repository of the Hub: one commit with all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actrec_zoo.errors import HubError
from actrec_zoo.hub.integrity import sha256_of
from actrec_zoo.hub.package import CARD_FILE, CONFIG_FILE, EVAL_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE
from actrec_zoo.hub.patience import is_of_the_client, patiently, status_of
from actrec_zoo.hub.reference import Reference
from actrec_zoo.hub.remote import LARGEST_TEXT_FILE, reason

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FILES = (CONFIG_FILE, WEIGHTS_FILE, EVAL_FILE, PREPROCESSOR_FILE, CARD_FILE)
"""What a published model is made of; all but the first two may be missing."""

_CONFLICTS = (409, 412)


@dataclass(frozen=True)
class Destination:
    """Where a model goes.

    Attributes:
        repository: `org/name`, made where it is not there.
        private: whether a repository that is made is.
        revision: branch, made where it is not there; None is the main one.
        tag: that the commit gets.
        create_pr: whether the commit is proposed in a pull request instead.
    """

    repository: str
    private: bool = False
    revision: str | None = None
    tag: str | None = None
    create_pr: bool = False


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        url: of the commit, or of the pull request.
        commit: its name.
        changed: whether there was something to change.
    """

    url: str
    commit: str
    changed: bool


def upload(files: Mapping[str, Path | str], to: Destination, merged_card: Callable[[str, str], str]) -> Pushed:
    """Put files into a repository in one commit; files of a model that are not among them go.

    Args:
        files: path on this machine, or text, by name in the repository.
        to: the repository.
        merged_card: makes README.md from the one that is there, of which it gets the text, and where it is.

    Raises:
        HubError: the Hub refuses it, or somebody else has committed meanwhile; nothing is changed then.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="actrec-zoo")
    with _named(to.repository):
        _prepare(api, to)
        head = _head(api, to)
        text = _card_there(to.repository, head)
        if text is not None:
            files = {**files, CARD_FILE: merged_card(text, f"README.md of {to.repository}")}
        pushed = _commit(api, files, to, head)
        if to.tag is not None:
            _tag(api, to, pushed.commit)
    return pushed


def _prepare(api: HfApi, to: Destination) -> None:
    """Make the repository and the branch where they are missing, and see that the tag is free."""
    private = True if to.private else None
    patiently(lambda: api.create_repo(to.repository, private=private, exist_ok=True))
    if to.revision is not None:
        revision = to.revision
        patiently(lambda: api.create_branch(to.repository, branch=revision, exist_ok=True))
    tags = {} if to.tag is None else {ref.name for ref in patiently(lambda: api.list_repo_refs(to.repository)).tags}
    if to.tag in tags:
        raise HubError(f"it has the tag {to.tag} already: choose another --tag. Nothing was uploaded")


@dataclass(frozen=True)
class _Head:
    """The last commit of a branch: its name, and its files with what the Hub states of their contents."""

    commit: str
    files: Mapping[str, str]


def _head(api: HfApi, to: Destination) -> _Head:
    info = patiently(lambda: api.model_info(to.repository, revision=to.revision, files_metadata=True))
    stated = {file.rfilename: file.lfs.sha256 if file.lfs else str(file.blob_id) for file in info.siblings or ()}
    return _Head(str(info.sha), stated)


def _card_there(repository: str, head: _Head) -> str | None:
    """README.md of a commit; None where there is none."""
    from huggingface_hub import hf_hub_download

    if CARD_FILE not in head.files:
        return None
    path = Path(patiently(lambda: hf_hub_download(repository, CARD_FILE, revision=head.commit)))
    if path.stat().st_size > LARGEST_TEXT_FILE:
        raise HubError(f"its README.md has more than {LARGEST_TEXT_FILE} bytes")
    return path.read_text(encoding="utf-8", errors="replace")


def _commit(api: HfApi, files: Mapping[str, Path | str], to: Destination, head: _Head) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def commit() -> Pushed:
        add = [
            CommitOperationAdd(name, content.encode() if isinstance(content, str) else content)
            for name, content in files.items()
        ]
        delete = [CommitOperationDelete(name) for name in FILES if name in head.files and name not in files]
        done = api.create_commit(
            to.repository,
            [*add, *delete],
            commit_message="Model, by actrec-zoo",
            revision=to.revision,
            create_pr=to.create_pr,
            parent_commit=head.commit,
        )
        return Pushed(done.pr_url or done.commit_url, done.oid, done.oid != head.commit)

    try:
        return patiently(commit)
    except Exception as error:
        landed = None if to.create_pr else _landed(api, files, to, head)
        if landed is not None:
            return landed
        if status_of(error) in _CONFLICTS:
            raise HubError("somebody else has committed meanwhile. Nothing was changed: push again") from error
        raise


def _landed(api: HfApi, files: Mapping[str, Path | str], to: Destination, head: _Head) -> Pushed | None:
    """The commit, where it was made and its answer got lost."""
    try:
        now = _head(api, to)
    except Exception:  # what is to be told is why the commit failed
        return None
    weights = files[WEIGHTS_FILE]
    if now.commit == head.commit or now.files.get(WEIGHTS_FILE) != sha256_of(Path(weights)):
        return None
    if set(FILES) & set(now.files) != set(files):
        return None
    return Pushed(f"{api.endpoint}/{to.repository}/commit/{now.commit}", now.commit, True)


def _tag(api: HfApi, to: Destination, commit: str) -> None:
    try:
        patiently(lambda: api.create_tag(to.repository, tag=str(to.tag), revision=commit))
    except Exception as error:
        raise HubError(f"commit {commit} is there, but without its tag {to.tag}: {reason(error)}") from error


@contextmanager
def _named(repository: str) -> Iterator[None]:
    """Within, what the client raises becomes a HubError that names the repository."""
    try:
        yield
    except HubError as error:
        raise HubError(f"cannot push to {Reference(repository)}: {error}") from error
    except Exception as error:
        if not is_of_the_client(error):
            raise
        raise HubError(f"cannot push to {Reference(repository)}: {reason(error)}") from error
