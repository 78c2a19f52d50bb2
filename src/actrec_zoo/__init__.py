"""A plugin-based model zoo for video action recognition.

    >>> import actrec_zoo
    >>> "tiny_conv3d" in actrec_zoo.list_models()
    True
    >>> actrec_zoo.get_spec("r3d_attn_adaptive").input.frames
    8

Importing this package imports neither torch nor a plugin: each public name is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from actrec_zoo._version import __version__

if TYPE_CHECKING:
    from actrec_zoo.api import train
    from actrec_zoo.classifier import VideoClassifier
    from actrec_zoo.errors import ActrecZooError
    from actrec_zoo.evaluating import evaluate, evaluate_scores
    from actrec_zoo.evaluation.comparison import compare_evaluations
    from actrec_zoo.loading import load
    from actrec_zoo.plugin_manager import hookimpl
    from actrec_zoo.publishing import push
    from actrec_zoo.registry import get_spec, list_models
    from actrec_zoo.saving import save
    from actrec_zoo.studies import study
    from actrec_zoo.tuning import tune

__all__ = [
    "ActrecZooError",
    "VideoClassifier",
    "__version__",
    "compare_evaluations",
    "evaluate",
    "evaluate_scores",
    "get_spec",
    "hookimpl",
    "list_models",
    "load",
    "push",
    "save",
    "study",
    "train",
    "tune",
]

_HOMES = {
    "ActrecZooError": "actrec_zoo.errors",
    "VideoClassifier": "actrec_zoo.classifier",
    "compare_evaluations": "actrec_zoo.evaluation.comparison",
    "evaluate": "actrec_zoo.evaluating",
    "evaluate_scores": "actrec_zoo.evaluating",
    "get_spec": "actrec_zoo.registry",
    "hookimpl": "actrec_zoo.plugin_manager",
    "list_models": "actrec_zoo.registry",
    "load": "actrec_zoo.loading",
    "push": "actrec_zoo.publishing",
    "save": "actrec_zoo.saving",
    "study": "actrec_zoo.studies",
    "train": "actrec_zoo.api",
    "tune": "actrec_zoo.tuning",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
