"""`push`: a finished and evaluated run becomes a model on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actrec_zoo.cards import run_card
from actrec_zoo.errors import ConfigError, HubError
from actrec_zoo.hub import readme
from actrec_zoo.hub.integrity import sha256_of
from actrec_zoo.hub.markdown import UNKNOWN
from actrec_zoo.hub.package import CARD_FILE, CONFIG_FILE, EVAL_FILE, PREPROCESSOR_FILE, read_package, require_weights
from actrec_zoo.hub.push import Destination, Pushed, upload
from actrec_zoo.hub.reference import Reference
from actrec_zoo.hub.report import read_report


@dataclass(frozen=True)
class Publication:
    """What is to be uploaded.

    Attributes:
        to: the repository.
        files: path on this machine, or text, by name in the repository.
    """

    to: Destination
    files: Mapping[str, Path | str]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(content.encode()) if isinstance(content, str) else content.stat().st_size
            for name, content in self.files.items()
        }


def push(
    run: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    create_pr: bool = False,
    unevaluated: bool = False,
    license: str | None = None,  # noqa: A002 (the Hub's word)
) -> Pushed:
    """Publish a finished run on the Hugging Face Hub: weights, configuration, evaluation and card, in one commit.

    The token is huggingface_hub's own: `hf auth login`, or HF_TOKEN.

    Args:
        run: folder of the run.
        repository: `org/name`, made where it is not there.
        private: whether a repository that is made is.
        revision: branch instead of the main one.
        tag: that the commit gets.
        create_pr: propose the commit in a pull request.
        unevaluated: publish without an evaluation; the card says so.
        license: of the trained weights; without it that of the weights that the run began with.

    Raises:
        HubError: the run is not fit to be published, or the Hub refuses it; nothing is changed there.
        ActrecZooError: the folder is no finished run, or its files do not fit.

    Example:
        >>> import actrec_zoo
        >>> actrec_zoo.push("runs/r3d", "me/r3d-dance", license="cc-by-4.0")  # doctest: +SKIP
    """
    to = Destination(repository, private, revision, tag, create_pr)
    return publish(prepare(run, to, unevaluated=unevaluated, license=license))


def prepare(
    run: str | Path,
    to: Destination,
    *,
    unevaluated: bool = False,
    license: str | None = None,  # noqa: A002 (the Hub's word)
) -> Publication:
    """Say what `push` would upload; the Hub is not asked, and nothing is written.

    Raises:
        HubError: the run is not fit to be published; the message has every reason.
        ActrecZooError: the folder is no finished run, or its files do not fit.
    """
    Reference.parse(to.repository)
    if to.tag is not None and to.create_pr:
        raise ConfigError("--tag and --create-pr exclude each other: a pull request is tagged once it is merged")
    folder = Path(run).expanduser()
    package = read_package(folder)
    weights = require_weights(package)
    report = read_report(folder / EVAL_FILE, package)
    card = run_card(folder, repository=to.repository, license=license)
    head = readme.metadata(card, "the card")
    obstacles = [*_of_the_evaluation(report, sha256_of(weights), unevaluated), *_of_the_licence(head)]
    if obstacles:
        raise HubError(f"{folder} is not fit to be published: {'; '.join(obstacles)}")
    optional = (EVAL_FILE, PREPROCESSOR_FILE)
    files: dict[str, Path | str] = {CONFIG_FILE: folder / CONFIG_FILE, weights.name: weights}
    files |= {name: folder / name for name in optional if (folder / name).is_file()}
    own = folder / CARD_FILE
    there = own.read_text(encoding="utf-8", errors="replace") if own.is_file() else ""
    return Publication(to, {**files, CARD_FILE: readme.merge(there, card, str(own))})


def publish(publication: Publication) -> Pushed:
    """Upload what was prepared.

    Raises:
        HubError: the Hub refuses it; nothing is changed there.
    """
    ours = publication.files[CARD_FILE]
    return upload(publication.files, publication.to, lambda there, source: readme.merge(there, str(ours), source))


def _of_the_evaluation(report: Mapping[str, Any] | None, weights: str, unevaluated: bool) -> Iterator[str]:
    """Why the figures are none to publish."""
    if report is None:
        if not unevaluated:
            yield "it has no evaluation. Run `actrec-zoo eval`, or give --unevaluated, which the card then says"
        return
    identity = report.get("identity")
    if isinstance(identity, Mapping) and identity.get("weights") not in (None, weights):
        yield "its eval.json is of other weights than model.safetensors. Run `actrec-zoo eval` again"
    if report["n_failed"]:
        yield f"{report['n_failed']} of {report['n_expected']} videos could not be read in its evaluation"
    if report["protocol"].get("seen"):
        yield f"it was evaluated on {report['protocol']['seen']} videos that it was trained or chosen on"


def _of_the_licence(head: Mapping[str, Any]) -> Iterator[str]:
    if head.get("license") in (None, UNKNOWN):
        yield "nobody knows the licence of its weights. Say which: --license cc-by-4.0"
