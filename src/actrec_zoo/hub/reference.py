"""References to models on the Hugging Face Hub: `hf:org/name` or `hf:org/name@revision`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from actrec_zoo.errors import HubError

PREFIX = "hf:"


@dataclass(frozen=True)
class Reference:
    """A model on the Hub.

    Attributes:
        repository: `org/name`.
        revision: branch, tag or commit; None is the main branch.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; whether a name is one that the Hub allows, its client says.

        Raises:
            HubError: it is none.
        """
        repository, at, revision = text.removeprefix(PREFIX).partition("@")
        owner, _, name = repository.partition("/")
        if not owner or not name or "/" in name or (at and not revision.strip()):
            raise HubError(f"{text!r} names no model on the Hub: write {PREFIX}org/name or {PREFIX}org/name@revision")
        return cls(repository, revision or None)

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")
