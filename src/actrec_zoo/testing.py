"""The model contract, for plugin authors and for the zoo's own tests.

    from actrec_zoo.testing import check_model
    check_model("my_plugin:my_model")

Each rule is a function that raises AssertionError with what is wrong. Networks are built at the spec's own size, with
random weights; parameters are randomised before gradients are looked at, since layers that start at zero hide
mistakes.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import safetensors.torch
import torch
from torch import Tensor, nn

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import ConfigError
from actrec_zoo.loading import build, create, resolve_options
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec
from actrec_zoo.training.parameters import set_trainable, set_training_mode
from actrec_zoo.weights import load_strictly

CLASSES = 3
_BATCH = 2
_TOLERANCE = 1e-4


def check_model(model: str | RegisteredModel, *, size: int | None = None) -> None:
    """Assert every rule of the contract on one model.

    Args:
        model: name or id, or a model that is not registered.
        size: input side in pixels, to save time; None takes the spec's.

    Raises:
        AssertionError: a rule is broken; the message says which and how.
    """
    registered = get_registry().find(model) if isinstance(model, str) else model
    check_spec(registered)
    check_new_classifier(registered)
    classifier = random_classifier(registered, size=size)
    for rule in RULES:
        rule(copy.deepcopy(classifier))
    check_meta_device(registered, classifier)


def random_classifier(model: RegisteredModel, *, size: int | None = None, seed: int = 0) -> VideoClassifier:
    """The model at 3 classes, every parameter and statistic random."""
    torch.manual_seed(seed)
    spec = model.spec.input.with_size(size) if size else model.spec.input
    classifier = create(model, labels=[f"class{i}" for i in range(CLASSES)], input=spec)
    randomise(classifier.net)
    return classifier


def randomise(net: nn.Module) -> None:
    """Give every parameter a random value of a size that keeps signals alive, and batch norms random statistics."""
    for parameter in net.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        with torch.no_grad():
            parameter.copy_(torch.randn_like(parameter) * fan**-0.5 if fan > 1 else _near_one(parameter))
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)


def check_spec(model: RegisteredModel) -> None:
    """The spec is complete, its plugin imports no torch, and its parameter count is true."""
    spec = model.spec
    assert re.fullmatch(r"[a-z0-9_.\-]+", spec.name), f"name {spec.name!r} is not lower case without spaces"
    assert spec.summary and spec.architecture, f"{spec.name} lacks a summary or an architecture"
    assert not spec.weights or any(spec.input.mean), f"{spec.name}: pretrained weights need the mean of their input"
    if isinstance(model.plugin.module, ModuleType):
        module = model.plugin.module.__name__
        code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
        assert done.returncode == 0, f"importing {module} imports torch, or fails: {done.stderr.decode()[-500:]}"
    net = meta_network(model, spec.num_classes)
    count = sum(p.numel() for p in net.parameters())
    assert count == spec.parameters, f"{spec.name} has {count:,} parameters, its spec says {spec.parameters:,}"


def check_new_classifier(model: RegisteredModel) -> None:
    """With another number of classes, only the classifier's tensors change shape."""
    few, many = (meta_network(model, classes).state_dict() for classes in (CLASSES, CLASSES + 4))
    assert few.keys() == many.keys(), "tensors come or go with the number of classes"
    changed = [name for name in few if few[name].shape != many[name].shape]
    outside = [name for name in changed if not name.startswith(f"{model.spec.classifier}.")]
    assert changed, "no tensor depends on the number of classes"
    assert not outside, f"{', '.join(outside)} depend on the number of classes outside {model.spec.classifier}"


def check_meta_device(model: RegisteredModel, classifier: VideoClassifier) -> None:
    """Built on the meta device and filled from a state dict, the network is whole and gives the same output."""
    net = meta_network(model, input=classifier.input)
    load_strictly(net, classifier.net.state_dict(), source="its own state dict", assign=True)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        assert not tensor.is_meta, f"{name} stays on the meta device: make it persistent, or compute it in forward"
    clips = random_clips(classifier)
    with torch.inference_mode():
        same = _close(classifier.eval()(clips), net.eval()(clips))
    assert same, "built on the meta device and loaded, the network gives another output"


def meta_network(
    model: RegisteredModel,
    num_classes: int = CLASSES,
    input: InputSpec | None = None,  # noqa: A002
) -> nn.Module:
    """The network on the meta device: shapes without memory."""
    options = resolve_options(model, input or model.spec.input, {})
    with torch.device("meta"):
        return build(model, num_classes=num_classes, options=options)


def check_groups(model: VideoClassifier) -> None:
    """Every group, those of backbone, head and classifier among them, and the default patterns match parameters."""
    try:
        for group in model.spec.all_groups:
            set_trainable(model.net, model.spec, [f"@{group}"])
        set_trainable(model.net, model.spec, model.spec.trainable)
    except ConfigError as error:
        raise AssertionError(str(error)) from error


def check_forward(model: VideoClassifier) -> None:
    """Logits have the right shape, and forward is forward_head of forward_features."""
    clips = random_clips(model)
    with torch.inference_mode():
        logits = model.eval()(clips)
        composed = model.forward_head(model.forward_features(clips))
    assert logits.shape == (_BATCH, CLASSES), f"logits are {tuple(logits.shape)}, not {(_BATCH, CLASSES)}"
    assert torch.isfinite(logits).all(), "logits are not finite"
    assert _close(logits, composed), "forward differs from forward_head(forward_features(clips))"


def check_other_frame_counts(model: VideoClassifier) -> None:
    """A model that says so takes another number of frames."""
    if model.spec.any_frames:
        with torch.inference_mode():
            logits = model.eval()(random_clips(model, frames=2 * model.input.frames))
        assert logits.shape == (_BATCH, CLASSES), "any_frames is set, but twice as many frames give other shapes"


def check_rows_are_independent(model: VideoClassifier) -> None:
    """In evaluation mode a clip's logits depend neither on its neighbours nor on the size of the batch."""
    clips = random_clips(model)
    with torch.inference_mode():
        together = model.eval()(clips)
        alone = torch.cat([model(clip.unsqueeze(0)) for clip in clips])
        swapped = model(torch.stack((clips[0], torch.randn_like(clips[1]))))
    assert _close(together, alone), "a clip's logits change with the size of the batch"
    assert _close(together[0], swapped[0]), "a clip's logits depend on the other clips of the batch"


def check_clips_matter(model: VideoClassifier) -> None:
    """Different clips give different logits."""
    with torch.inference_mode():
        logits = model.eval()(random_clips(model))
    assert not _close(logits[0], logits[1]), "two different clips have the same logits: the input is not looked at"


def check_gradients(model: VideoClassifier) -> None:
    """Every parameter that trains by default gets a gradient; of query, key and value each."""
    trained = set_trainable(model.net, model.spec, model.spec.trainable)
    set_training_mode(model)
    logits = model(random_clips(model))
    nn.functional.cross_entropy(logits, torch.arange(_BATCH) % CLASSES).backward()  # type: ignore[no-untyped-call]
    parameters = dict(model.net.named_parameters())
    for name in trained:
        for part, gradient in _gradient_parts(name, parameters[name]):
            assert gradient is not None and gradient.abs().sum() > 0, f"{part} trains but gets no gradient"


def check_frozen_stays(model: VideoClassifier) -> None:
    """A training step changes nothing that is frozen, statistics included."""
    trained = set(set_trainable(model.net, model.spec, model.spec.trainable))
    set_training_mode(model)
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(random_clips(model)).square().mean().backward()
    optimizer.step()
    owners = {name.rpartition(".")[0] for name in trained}
    for name, tensor in model.net.state_dict().items():
        frozen = name not in trained and name.rpartition(".")[0] not in owners
        assert not frozen or torch.equal(tensor, before[name]), f"{name} is frozen and changed in a training step"


def check_round_trip(model: VideoClassifier) -> None:
    """State dict to safetensors and back is exact."""
    state = {name: tensor.contiguous() for name, tensor in model.net.state_dict().items()}
    restored = safetensors.torch.load(safetensors.torch.save(state))
    assert restored.keys() == state.keys(), "safetensors does not keep all keys"
    assert all(torch.equal(restored[name], state[name]) for name in state), "safetensors does not keep all values"
    clips = random_clips(model)
    with torch.inference_mode():
        before = model.eval()(clips)
        for tensor in model.net.state_dict().values():
            tensor.zero_()
        model.net.load_state_dict(restored)
        after = model(clips)
    assert torch.equal(before, after), "the state dict does not hold all that the output depends on"


RULES: tuple[Callable[[VideoClassifier], None], ...] = (
    check_groups,
    check_forward,
    check_other_frame_counts,
    check_rows_are_independent,
    check_clips_matter,
    check_gradients,
    check_frozen_stays,
    check_round_trip,
)
"""The rules on a built model; each may change the model it is given."""


def random_clips(model: VideoClassifier, frames: int | None = None) -> Tensor:
    """Normalised random clips of the model's input, [2, 3, T, S, S]."""
    size = model.input.size
    return torch.randn(_BATCH, 3, frames or model.input.frames, size, size)


def _near_one(parameter: nn.Parameter) -> Tensor:
    return 1 + 0.1 * torch.randn_like(parameter) if parameter.dim() == 1 else torch.randn_like(parameter)


def _close(first: Tensor, second: Tensor) -> bool:
    scale = max(1.0, float(first.abs().max()))
    return bool((first - second).abs().max() <= _TOLERANCE * scale)


def _gradient_parts(name: str, parameter: nn.Parameter) -> list[tuple[str, Tensor | None]]:
    """The gradient of a parameter; that of a joint query-key-value projection in its three parts."""
    if parameter.grad is not None and "in_proj_weight" in name:
        parts = parameter.grad.chunk(3)
        return [(f"{name} ({part})", g) for part, g in zip(("query", "key", "value"), parts, strict=True)]
    return [(name, parameter.grad)]
