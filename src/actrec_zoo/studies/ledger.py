"""What the folders of runs do not tell: how long they took, and why they could not be finished."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actrec_zoo.errors import RunError
from actrec_zoo.files import read_json, write_json

LEDGER_FILE = "ledger.json"
_FORMAT = 1


class Entry(BaseModel):
    """What is known of a run.

    Attributes:
        seconds: of the clock, for training and evaluation, of all attempts whose end was seen.
        untimed: attempts whose end was not seen: a process was killed, or somebody else trained.
        error: why it could not be finished the last time that it was tried.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: Annotated[float, Field(ge=0)] = 0.0
    untimed: Annotated[int, Field(ge=0)] = 0
    error: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    runs: dict[str, Entry]


@dataclass
class Ledger:
    """Of all runs that were ever begun in the folder of a study, planned now or not; every change is written at once.

    Attributes:
        file: it lies in.
        entries: by name of the run.
    """

    file: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Of earlier starts in this folder.

        Raises:
            RunError: it cannot be read, or is none.
        """
        file = folder / LEDGER_FILE
        if not file.is_file():
            return cls(file)
        try:
            return cls(file, _File.model_validate(read_json(file)).runs)
        except ValidationError as error:
            raise RunError(f"{file} is not the ledger of a study: remove it, and minutes are not known") from error

    def begin(self, name: str, *, afresh: bool) -> None:
        """Note that a run is tried; the error of the last time is gone.

        Args:
            name: of the run.
            afresh: whether nothing of it is there, so that earlier seconds are not in it.
        """
        known = self.entries.get(name)
        if known is None or afresh:
            known = Entry(untimed=0 if afresh else 1)
        self.entries[name] = known.model_copy(update={"untimed": known.untimed + 1, "error": None})
        self._write()

    def end(self, name: str, seconds: float, error: str | None) -> None:
        """Note how long that took, and why it failed, if it did."""
        entry = self.entries[name]
        self.entries[name] = Entry(seconds=entry.seconds + seconds, untimed=entry.untimed - 1, error=error)
        self._write()

    def seconds(self, name: str) -> float | None:
        """That a run took in all; None where some of it is not known."""
        entry = self.entries.get(name)
        return entry.seconds if entry and not entry.untimed else None

    def error(self, name: str) -> str | None:
        """Why a run could not be finished the last time; None where it could, or was not tried."""
        entry = self.entries.get(name)
        return entry.error if entry else None

    def _write(self) -> None:
        runs = {name: entry.model_dump() for name, entry in self.entries.items()}
        write_json(self.file, {"format": _FORMAT, "runs": runs})
