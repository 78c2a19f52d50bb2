"""The model contract, for plugin authors and for the zoo's own tests.

    from actrec_zoo.testing import check_model
    check_model("my_plugin:my_model")

Each rule is a function of a `Subject`, the model under test, and says what to do when it is broken. All rules run, and
a `Report` tells how each went. Networks have random weights: every parameter is randomised, since layers that start at
zero hide mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from actrec_zoo.fitting import meta_network
from actrec_zoo.plugin_manager import Plugin
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import ModelSpec
from actrec_zoo.testing import network_rules, spec_rules, training_rules
from actrec_zoo.testing.report import Report, Result
from actrec_zoo.testing.rule import Rule
from actrec_zoo.testing.subject import CLASSES, Subject, random_classifier, random_clips, randomise

__all__ = [
    "CLASSES",
    "RULES",
    "Report",
    "Result",
    "Rule",
    "Subject",
    "check_model",
    "examine_model",
    "meta_network",
    "random_classifier",
    "random_clips",
    "randomise",
]

RULES: tuple[Rule, ...] = (
    spec_rules.names,
    spec_rules.import_without_torch,
    spec_rules.preprocessing,
    spec_rules.card,
    network_rules.build,
    network_rules.parameter_count,
    network_rules.new_classifier,
    network_rules.forward,
    network_rules.head_options,
    network_rules.independent_clips,
    network_rules.clips_matter,
    network_rules.deterministic,
    network_rules.round_trip,
    network_rules.meta_device,
    network_rules.export,
    training_rules.groups,
    training_rules.layers,
    training_rules.gradients,
    training_rules.other_frame_counts,
    training_rules.frozen,
    training_rules.head_replacement,
)
"""Every rule of the contract, in the order of a report; those after `build` need a network."""


def check_model(
    model: str | RegisteredModel | ModelSpec,
    *,
    size: int | None = None,
    frames: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Assert every rule of the contract on one model.

    Args:
        model: name or id, or a model that is not registered.
        size: input side in pixels, to save time; None takes the spec's.
        frames: frames a clip, to save time; None takes the spec's.
        options: architecture options, to save time, such as fewer layers. The number of parameters is always that of
            the spec's own options and size.

    Returns:
        How each rule went: passed, allowed (an exception that the spec declares) or skipped.

    Raises:
        AssertionError: rules are broken; the message is the report, with what to do.
    """
    report = examine_model(model, size=size, frames=frames, options=options)
    if not report.passed:
        raise AssertionError(f"the model contract is broken\n{report}")
    return report


def examine_model(
    model: str | RegisteredModel | ModelSpec,
    *,
    size: int | None = None,
    frames: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """As `check_model`, with the broken rules in the report."""
    subject = Subject(_registered(model), size=size, frames=frames, options=options)
    results: list[Result] = []
    not_built = None
    with torch.random.fork_rng(devices=[]):
        for rule in RULES:
            result = rule.run(subject) if not_built is None else rule.not_run(not_built)
            results.append(result)
            if rule is network_rules.build and result.status == "failed":
                not_built = f"the network cannot be built: {result.message}"
    return Report(subject.model.id, tuple(results))


def _registered(model: str | RegisteredModel | ModelSpec) -> RegisteredModel:
    if isinstance(model, str):
        return get_registry().find(model)
    if isinstance(model, ModelSpec):
        return RegisteredModel(Plugin(name="unregistered", distribution="none", version="0", first_party=False), model)
    return model
