"""How the rules of the contract went on one model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped", "allowed"]

_MARKS: dict[Status, str] = {"passed": "pass", "failed": "FAIL", "skipped": "skip", "allowed": "allow"}


@dataclass(frozen=True)
class Result:
    """How one rule went.

    Attributes:
        rule: its name.
        status: `passed`, `failed`, `skipped` (it does not apply, or could not run) or `allowed` (broken where the spec
            declares it).
        message: what holds, what is wrong, or why the rule was skipped.
        advice: what to do about a failure, else empty.
        seconds: how long the rule took.
    """

    rule: str
    status: Status
    message: str
    advice: str
    seconds: float

    def __str__(self) -> str:
        line = f"{_MARKS[self.status]:<5}  {self.rule:<20}  {self.message}"
        return f"{line}\n{'':<5}  {'':<20}  -> {self.advice}" if self.advice else line


@dataclass(frozen=True)
class Report:
    """How every rule went on one model; as text, a line a rule with advice below the broken ones, and a summary."""

    model: str
    results: tuple[Result, ...]

    @property
    def broken(self) -> tuple[Result, ...]:
        """The rules that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    def __getitem__(self, rule: str) -> Result:
        """How the rule of that name went."""
        return next(result for result in self.results if result.rule == rule)

    def __str__(self) -> str:
        return "\n".join((*map(str, self.results), self.summary))

    @property
    def summary(self) -> str:
        """One line: what is broken, or how many rules hold."""
        if self.broken:
            names = ", ".join(result.rule for result in self.broken)
            return f"{self.model}: {len(self.broken)} of {len(self.results)} rules broken: {names}"
        statuses = [result.status for result in self.results]
        others = [f"{statuses.count(status)} {status}" for status in ("allowed", "skipped") if status in statuses]
        return ", ".join((f"{self.model}: {statuses.count('passed')} rules pass", *others))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `actrec-zoo plugins check --json` prints them."""
        return {
            "model": self.model,
            "passed": self.passed,
            "rules": [dataclasses.asdict(result) for result in self.results],
        }
