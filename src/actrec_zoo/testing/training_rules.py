"""Rules on a network that trains: groups, gradients, frames, what is frozen, a new head on trained weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.fitting import meta_network
from actrec_zoo.loading import create, load_trained
from actrec_zoo.spec import InputSpec
from actrec_zoo.testing.network_rules import require_logits
from actrec_zoo.testing.rule import Verdict, require, rule
from actrec_zoo.testing.subject import BATCH, CLASSES, Subject, random_clips
from actrec_zoo.training.parameters import layers_of, set_trainable, set_training_mode

_LISTED = 6


@rule("correct the patterns: they are matched against the names in net.named_parameters()")
def groups(subject: Subject) -> None:
    """Every group, @backbone, @head and @classifier among them, and the default patterns match parameters."""
    net, spec = meta_network(subject.model), subject.spec
    for name in (spec.backbone, *spec.head_modules, spec.classifier):
        require(name in dict(net.named_modules()), f"the network has no module {name!r}")
    for group in spec.all_groups:
        set_trainable(net, spec, [f"@{group}"])
    set_trainable(net, spec, spec.trainable)


@rule("let ModelSpec.layers cover every parameter of the backbone once, from the input to the head")
def layers(subject: Subject) -> Verdict | None:
    """The layers cover the backbone, each parameter once, and not the classifier."""
    spec = subject.spec
    if not spec.layers:
        return Verdict("skipped", "the spec states no layers")
    names = [name for name, _ in meta_network(subject.model).named_parameters()]
    inside = [name for layer in layers_of(names, spec) for name in layer if name.startswith(f"{spec.classifier}.")]
    require(
        not inside, f"{', '.join(inside)} of the classifier are in a layer, and nothing would train at the full rate"
    )
    return None


@rule("use the parameter, remove it, or declare it: ModelSpec(without_gradient={pattern: reason})")
def gradients(subject: Subject) -> Verdict | None:
    """Every parameter that trains by default gets a finite gradient, query, key and value each."""
    declared = subject.spec.without_gradient
    trained, dead = _without_gradient(subject)
    _require_needed(declared, trained, dead)
    missing = [part for name, parts in dead.items() if not _matches(name, declared) for part in parts]
    require(not missing, f"no gradient reaches {_listing(missing)}")
    if declared:
        return Verdict("allowed", "; ".join(f"{pattern}: {reason}" for pattern, reason in declared.items()))
    return None


@rule("let the network follow the number of frames, or do not promise it: any_frames, or an option `frames` of None")
def other_frame_counts(subject: Subject) -> Verdict | None:
    """Where the spec says so, clips of twice the frames go forward and backward."""
    frames = 2 * subject.input.frames
    if subject.spec.any_frames:
        classifier = subject.classifier()
    elif _is_built_for_its_frames(subject):
        classifier = _new(subject, CLASSES, replace(subject.input, frames=frames))
    else:
        return Verdict("skipped", "the spec has one frame count")
    _start_training(classifier, subject.spec.trainable)
    _backward(classifier, random_clips(classifier, frames=frames), f" with {frames} frames")
    return None


@rule("do not call train() in forward, and write to no buffer of a module that is in evaluation mode")
def frozen(subject: Subject) -> None:
    """A training step changes nothing that is frozen, batch-norm statistics included."""
    for patterns in dict.fromkeys((tuple(subject.spec.trainable), ("@head",))):
        classifier = subject.classifier()
        trained = set(_start_training(classifier, patterns))
        before = {name: tensor.clone() for name, tensor in classifier.net.state_dict().items()}
        _step(classifier)
        owners = {name.rpartition(".")[0] for name in trained}
        changed = [
            name
            for name, tensor in classifier.net.state_dict().items()
            if name not in trained and name.rpartition(".")[0] not in owners and not torch.equal(tensor, before[name])
        ]
        require(not changed, f"frozen, and changed by a training step: {_listing(changed)}")


@rule("let num_classes size the last layer alone, so that all others fit a network with other classes")
def head_replacement(subject: Subject) -> None:
    """Trained weights go into a network with other classes: it keeps all of them but the classifier's."""
    trained, classes = subject.classifier(), CLASSES + 4
    state = trained.net.state_dict()
    other = _new(subject, classes, subject.input).eval()
    load_trained(other, state, "its own state dict", trained.labels)
    prefix = f"{subject.spec.classifier}."
    kept = other.net.state_dict()
    lost = [name for name in state if not name.startswith(prefix) and not torch.equal(kept[name], state[name])]
    require(not lost, f"a new classifier changes {_listing(lost)}")
    with torch.inference_mode():
        logits = other(random_clips(other))
    require(logits.shape == (BATCH, classes), f"with {classes} classes logits are {tuple(logits.shape)}")


def _start_training(classifier: VideoClassifier, patterns: Sequence[str]) -> list[str]:
    """Names of the parameters that train; the network is in training mode as far as they go."""
    trained = set_trainable(classifier.net, classifier.spec, patterns)
    set_training_mode(classifier)
    return trained


def _backward(classifier: VideoClassifier, clips: Tensor, when: str = "") -> None:
    """A loss forward and backward, to logits of the right shape and gradients without NaN."""
    logits = classifier(clips)
    require_logits(logits, when)
    nn.functional.cross_entropy(logits, torch.arange(BATCH) % CLASSES).backward()  # type: ignore[no-untyped-call]
    found = {name: parameter.grad for name, parameter in classifier.net.named_parameters()}
    bad = [name for name, gradient in found.items() if gradient is not None and not torch.isfinite(gradient).all()]
    require(not bad, f"the gradient is not finite{when}: {_listing(bad)}")


def _new(subject: Subject, classes: int, preprocessing: InputSpec) -> VideoClassifier:
    """A further network of the model."""
    labels = [str(number) for number in range(classes)]
    return create(subject.model, labels=labels, input=preprocessing, options=subject.options)


def _is_built_for_its_frames(subject: Subject) -> bool:
    options = {**subject.spec.options, **subject.options}
    return "frames" in options and options["frames"] is None


def _step(classifier: VideoClassifier) -> None:
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=0.1)
    classifier(random_clips(classifier)).square().mean().backward()
    optimizer.step()


def _without_gradient(subject: Subject) -> tuple[list[str], dict[str, list[str]]]:
    """What trains by default, and of that what no gradient reaches, each with the parts of it that are meant.

    Double precision, since rounding can look like a gradient; single for a network that fixes its own precision.
    """
    try:
        return _gradients_of(subject, torch.float64, nothing=1e-9)
    except RuntimeError:
        return _gradients_of(subject, torch.float32, nothing=1e-7)


def _gradients_of(subject: Subject, dtype: torch.dtype, nothing: float) -> tuple[list[str], dict[str, list[str]]]:
    """As `_without_gradient`; a gradient that is so small, relative to the largest one, is none.

    Batch norms keep their statistics: those of the batch would take off any shift before them, and with it the gradient
    of biases that count in evaluation mode. Stochastic depth keeps every branch.
    """
    classifier = subject.classifier()
    trained = _start_training(classifier, subject.spec.trainable)
    for module in classifier.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | StochasticDepth):
            module.eval()
    classifier.to(dtype)
    _backward(classifier, random_clips(classifier).to(dtype))
    parameters = dict(classifier.net.named_parameters())
    sizes = {name: _gradient_sizes(name, parameters[name]) for name in trained}
    largest = max(size for parts in sizes.values() for size in parts.values())
    dead = {name: [part for part, size in parts.items() if size <= nothing * largest] for name, parts in sizes.items()}
    return trained, {name: parts for name, parts in dead.items() if parts}


def _gradient_sizes(name: str, parameter: nn.Parameter) -> dict[str, float]:
    """Largest value in a parameter's gradient; in those of query, key and value where they are one projection."""
    gradient = parameter.grad
    if gradient is None:
        return {name: 0.0}
    if not _is_joint_projection(name, parameter):
        return {name: float(gradient.abs().max())}
    thirds = zip(("query", "key", "value"), gradient.chunk(3), strict=True)
    return {f"{name} ({part})": float(third.abs().max()) for part, third in thirds}


def _is_joint_projection(name: str, parameter: nn.Parameter) -> bool:
    if parameter.dim() != 2 or parameter.shape[0] != 3 * parameter.shape[1]:
        return False
    return name.endswith("in_proj_weight") or ("qkv" in name and name.endswith("weight"))


def _require_needed(declared: Iterable[str], trained: Sequence[str], dead: Mapping[str, object]) -> None:
    """Every declared exception covers a parameter that trains and gets no gradient."""
    for pattern in declared:
        covered = [name for name in trained if fnmatchcase(name, pattern)]
        require(bool(covered), f"without_gradient {pattern!r} matches no parameter that trains: remove it")
        require(any(name in dead for name in covered), f"all of without_gradient {pattern!r} get gradients: remove it")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
