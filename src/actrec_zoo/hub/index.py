"""The index: which published weights answer to a name. A small file comes along, `ACTREC_ZOO_INDEX` names another one.

An entry names a repository of the Hub, or weights that come with the package, and their sha256: whatever the Hub holds
under a name some day, the weights are those, or an error.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from actrec_zoo.errors import HubError, RunError
from actrec_zoo.hub import remote
from actrec_zoo.hub.integrity import sha256_of
from actrec_zoo.hub.package import WEIGHTS_FILE
from actrec_zoo.hub.reference import Reference
from actrec_zoo.hub.strict_json import read_strict_json

VARIABLE = "ACTREC_ZOO_INDEX"
_FORMAT = 1
_PACKAGE = Path(str(resources.files("actrec_zoo.hub")))
_FILE = _PACKAGE / "index.json"
_SHIPPED = _PACKAGE / "shipped"


class Entry(BaseModel):
    """Where the weights of a name are.

    Attributes:
        repository: on the Hub, `org/name`.
        revision: of it.
        shipped: folder of the package instead.
        sha256: of model.safetensors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repository: str | None = None
    revision: str | None = None
    shipped: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.shipped is None) == (self.repository is None):
            raise ValueError("names no repository")
        if self.repository is not None:
            if not self.revision:
                raise ValueError("names no revision")
            Reference.parse(f"{self.repository}@{self.revision}")
        return self

    @property
    def told(self) -> str:
        """Where the weights are, in words."""
        return f"hf:{self.repository}@{self.revision}" if self.repository else "which come with actrec-zoo"

    def fetch(self) -> Path:
        """The folder of the model, pulled where it is on the Hub.

        Raises:
            HubError: it cannot be had, or the weights are others.
        """
        if self.repository:
            return remote.pull(str(Reference(self.repository, self.revision)), sha256=self.sha256)
        folder = _SHIPPED / str(self.shipped)
        weights = folder / WEIGHTS_FILE
        if not weights.is_file() or sha256_of(weights) != self.sha256:
            raise HubError(
                f"{weights} is missing or has other bytes than those that were shipped: reinstall actrec-zoo"
            )
        return folder


def find(*names: str) -> Entry | None:
    """The entry of the first of these names that has one.

    Raises:
        HubError: the file that `ACTREC_ZOO_INDEX` names cannot be used.
    """
    known = entries()
    return next((known[name] for name in names if name in known), None)


def entries() -> dict[str, Entry]:
    """All entries by name; those of the user's own file come before those that come along.

    Raises:
        HubError: the file that `ACTREC_ZOO_INDEX` names cannot be used.
    """
    own = os.environ.get(VARIABLE)
    return _read(_FILE, own=False) | (_read(Path(own).expanduser(), own=True) if own else {})


def _read(file: Path, *, own: bool) -> dict[str, Entry]:
    where = f"{VARIABLE}={file}" if own else str(file)
    try:
        values = read_strict_json(file)
        found = _Index.model_validate(values)
    except RunError as error:
        raise HubError(f"{where} cannot be used as an index: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise HubError(f"{where} is no index of models ({key}: {first['msg']})") from error
    shipped = [name for name, entry in found.models.items() if entry.shipped]
    if own and shipped:
        raise HubError(f"{where} is no index of models ({shipped[0]}: names no repository)")
    return found.models


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Annotated[int, Field(ge=_FORMAT, le=_FORMAT)]
    models: dict[Annotated[str, Field(pattern=r"^\w[\w.:-]*$")], Entry]
