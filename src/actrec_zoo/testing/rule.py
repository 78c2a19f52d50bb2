"""What a rule of the contract is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from actrec_zoo.errors import ActrecZooError
from actrec_zoo.testing.report import Result, Status
from actrec_zoo.testing.subject import Subject

_LONGEST_MESSAGE = 500


class Verdict(NamedTuple):
    """What a rule that is not broken came to, where there is more to say than that it holds."""

    status: Status
    message: str


class BrokenRuleError(AssertionError):
    """The model breaks the rule; the message says how."""


def require(condition: bool, message: str) -> None:
    """Break the rule with `message` where the condition does not hold.

    Raises:
        BrokenRuleError: it does not hold.
    """
    if not condition:
        raise BrokenRuleError(message)


@dataclass(frozen=True)
class Rule:
    """One rule of the contract.

    Attributes:
        name: as it is called in reports.
        about: what holds where the rule is kept.
        advice: what to do where it is broken.
        check: looks at a model and raises where the rule is broken; None says that it is kept.
    """

    name: str
    about: str
    advice: str
    check: Callable[[Subject], Verdict | None]

    def run(self, subject: Subject) -> Result:
        """Check a model. Whatever its code raises breaks the rule."""
        start = perf_counter()
        try:
            verdict = self.check(subject) or Verdict("passed", self.about)
        except Exception as error:
            verdict = Verdict("failed", _one_line(error))
        advice = self.advice if verdict.status == "failed" else ""
        return Result(self.name, *verdict, advice, perf_counter() - start)

    def not_run(self, reason: str) -> Result:
        """The result where the rule cannot be checked."""
        return Result(self.name, "skipped", f"not run: {reason}", "", 0.0)


def rule(advice: str) -> Callable[[Callable[[Subject], Verdict | None]], Rule]:
    """Make a function a rule of its name; the first line of its docstring says what holds."""

    def decorate(check: Callable[[Subject], Verdict | None]) -> Rule:
        about = (check.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
        return Rule(check.__name__, about, advice, check)

    return decorate


def _one_line(error: Exception) -> str:
    """The message of an error; behind its type where it is none of ours."""
    known = isinstance(error, BrokenRuleError | ActrecZooError)
    text = " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} ..."
