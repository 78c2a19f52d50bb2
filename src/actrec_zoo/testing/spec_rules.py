"""Rules on what a spec says, before any network is built."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from types import ModuleType

from actrec_zoo.hub.prose import read_prose
from actrec_zoo.spec import InputSpec
from actrec_zoo.testing.rule import Verdict, require, rule
from actrec_zoo.testing.subject import Subject

_IMPORTS_TORCH = 3
_WEIGHTS_TEXTS = ("url", "trained_on", "license")


@rule("give the ModelSpec a lower-case name, a one-line summary and an architecture")
def names(subject: Subject) -> None:
    """The name is lower case, and summary and architecture are there."""
    spec = subject.spec
    require(bool(re.fullmatch(r"[a-z0-9_.\-]+", spec.name)), f"name {spec.name!r} is not lower case without spaces")
    require(bool(spec.summary.strip()), "the summary is empty")
    require("\n" not in spec.summary, "the summary is longer than a line")
    require(bool(spec.architecture.strip()), "the architecture is empty")


@rule('name the builder as "module:function", and import torch in that module alone')
def import_without_torch(subject: Subject) -> Verdict | None:
    """The plugin's module imports without torch."""
    module = subject.model.plugin.module
    if module is None:
        return Verdict("skipped", "the spec comes from no plugin")
    name = module.__name__ if isinstance(module, ModuleType) else type(module).__module__
    _require_import_without_torch(name)
    return None


@rule("copy mean, std and crop from the preprocessing of the weights, and say where those are from")
def preprocessing(subject: Subject) -> None:
    """Mean and std are given on the scale 0..1, the input survives config.json, weights tell where they are from."""
    spec, input_spec = subject.spec, subject.spec.input
    for name in ("mean", "std"):
        values = getattr(input_spec, name)
        require(all(0 <= value <= 1 for value in values), f"{name} {values} is not for frames scaled to 0..1")
    require(
        InputSpec.from_dict(json.loads(json.dumps(input_spec.to_dict()))) == input_spec,
        "the input does not come back from config.json as it was: give tuples, not lists",
    )
    require(not spec.weights or any(input_spec.mean), "pretrained weights need the mean of their input")
    require(not spec.weights or input_spec.std != (1.0, 1.0, 1.0), "pretrained weights need the std of their input")
    for tag, weights in spec.weights.items():
        empty = [name for name in _WEIGHTS_TEXTS if not getattr(weights, name).strip()]
        require(not empty, f"weights {tag!r} lack {', '.join(empty)}")


@rule('write the sections in a Markdown file of the package, and name it: ModelSpec(card="package:file.md")')
def card(subject: Subject) -> None:
    """The model card has every section that a person writes, and is read without torch."""
    require(bool(subject.spec.card), "the spec names no card")
    read_prose(subject.spec)
    _require_import_without_torch(subject.spec.card.partition(":")[0])


@cache
def _import_in_a_new_process(module: str) -> tuple[int, str]:
    """Exit code, and the last line of the error, of importing a module where nothing is imported yet."""
    code = f"import sys, {module}; sys.exit({_IMPORTS_TORCH} if 'torch' in sys.modules else 0)"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environ)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def _require_import_without_torch(module: str) -> None:
    code, error = _import_in_a_new_process(module)
    require(code != _IMPORTS_TORCH, f"importing {module} imports torch")
    require(code == 0, f"{module} cannot be imported in a process of its own: {error}")
