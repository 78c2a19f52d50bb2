"""Errors a user can act on: each message names the file or option and says what to do next.

The command line prints the message alone and exits with 2; Python callers catch `ActrecZooError`.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ActrecZooError(Exception):
    """Root of every error that actrec-zoo raises on purpose.

    Attributes:
        agreed: whether every process of a run raises it, so that one of them says it for all.
    """

    agreed = False


class UnknownNameError(ActrecZooError):
    """A model, option or component name that nothing is registered under."""


class PluginError(ActrecZooError):
    """A plugin that is broken, incompatible, or gave something it must not."""


class ConfigError(ActrecZooError):
    """A setting that does not exist or has a value that does not fit."""


class DataError(ActrecZooError):
    """A data set, split or video that cannot be used as it is."""


class WeightsError(ActrecZooError):
    """Weights that cannot be found, downloaded or fitted to a model."""


class HubError(ActrecZooError):
    """A model on the Hugging Face Hub that cannot be had, trusted or published."""


class RunError(ActrecZooError):
    """A run folder that cannot be written, read or continued."""


class InterruptedRun(Exception):  # noqa: N818 (an interruption is no error)
    """Ctrl-C during a run; the message says what was saved and how to go on.

    Attributes:
        agreed: whether every process of the run stops at the same step.
    """

    agreed = False


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line; its kind where it says nothing."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def did_you_mean(name: str, candidates: Iterable[str], limit: int = 3) -> str:
    """Return `" Did you mean a, b?"` for the candidates nearest to `name`, or an empty string."""
    nearest = get_close_matches(name, list(candidates), n=limit, cutoff=0.5)
    return f" Did you mean {', '.join(nearest)}?" if nearest else ""
