"""Models on the Hugging Face Hub, pulled into huggingface_hub's cache: safetensors, JSON and Markdown, nothing else.

The endpoint, the cache, the token and offline mode are huggingface_hub's own: HF_ENDPOINT, HF_HOME, HF_TOKEN or
`hf auth login`, HF_HUB_OFFLINE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actrec_zoo.errors import HubError
from actrec_zoo.hub.integrity import require_intact
from actrec_zoo.hub.package import CARD_FILE, CONFIG_FILE, EVAL_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE
from actrec_zoo.hub.patience import chain, is_of_the_client, patiently, status_of
from actrec_zoo.hub.reference import Reference

LARGEST_TEXT_FILE = 16 * 2**20
"""Bytes of a file that is no weights."""

_OPTIONAL = (EVAL_FILE, CARD_FILE, PREPROCESSOR_FILE)
_LOGIN = "A private or gated model needs `hf auth login`, or HF_TOKEN"


def pull(reference: str, *, sha256: str | None = None) -> Path:
    """Download a model into huggingface_hub's cache, as far as it is not there, and check its bytes; return its folder.

    Without a connection, and with HF_HUB_OFFLINE, it is what was pulled before.

    Args:
        reference: `hf:org/name` or `hf:org/name@revision`.
        sha256: that the weights have to have, whatever the Hub states.

    Raises:
        HubError: the model cannot be had, or has other bytes than the Hub, or the caller, states.
    """
    wanted = Reference.parse(reference)
    with _named(str(wanted)):
        folder = _fetch(wanted.repository, CONFIG_FILE, wanted.revision).parent
        commit = folder.name
        weights = _fetch(wanted.repository, WEIGHTS_FILE, commit)
        require_intact(weights, sha256=sha256)
        for name in _OPTIONAL:
            _fetch_where_there(wanted.repository, name, commit)
    return folder


def _fetch(repository: str, name: str, revision: str | None) -> Path:
    """A file of a repository, in the cache."""
    from huggingface_hub import hf_hub_download

    if name != WEIGHTS_FILE:
        about = patiently(lambda: hf_hub_download(repository, name, revision=revision, dry_run=True))
        if about.file_size is not None and about.file_size > LARGEST_TEXT_FILE:
            raise HubError(
                f"{name} has {about.file_size} bytes, more than {LARGEST_TEXT_FILE}: no model of ours has that"
            )
    path = Path(patiently(lambda: hf_hub_download(repository, name, revision=revision)))
    if name != WEIGHTS_FILE:
        require_intact(path)
    return path


def _fetch_where_there(repository: str, name: str, commit: str) -> None:
    """As `_fetch`, of a file that a repository need not have."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if try_to_load_from_cache(repository, name, revision=commit) is not None:  # it is there, or known not to be
        return
    try:
        _fetch(repository, name, commit)
    except LocalEntryNotFoundError as error:  # offline, and nothing that loading needs
        if status_of(error) is not None:
            raise
    except EntryNotFoundError:
        return


@contextmanager
def _named(reference: str) -> Iterator[None]:
    """Within, what the client raises becomes a HubError that names the model."""
    try:
        yield
    except HubError as error:
        raise HubError(f"cannot get {reference} from the Hugging Face Hub: {error}") from error
    except Exception as error:
        if not is_of_the_client(error):
            raise
        raise HubError(f"cannot get {reference} from the Hugging Face Hub: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What the client says of an error, in one line, without its request id, and what a login could do about it."""
    telling = [one for one in chain(error) if getattr(one, "response", None) is not None] or [error]
    lines = (line.strip() for line in str(telling[0]).splitlines())
    said = " ".join(line for line in lines if line and "Request ID" not in line) or type(telling[0]).__name__
    return f"{said} {_LOGIN}" if status_of(error) in (401, 403) and "auth login" not in said else said
