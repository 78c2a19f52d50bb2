"""Rules on a built network that is used: shapes, independence of clips, saving, export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from actrec_zoo.fitting import meta_network
from actrec_zoo.skeleton import untied_state
from actrec_zoo.testing.rule import Verdict, require, rule
from actrec_zoo.testing.subject import (
    BATCH,
    CLASSES,
    Subject,
    close,
    random_clips,
)
from actrec_zoo.training.parameters import is_of_head
from actrec_zoo.weights import load_strictly


@rule("run the builder by hand with the options that the message names")
def build(subject: Subject) -> None:
    """The network is built at 3 classes."""
    subject.classifier()


@rule("write the true number into ModelSpec.parameters")
def parameter_count(subject: Subject) -> None:
    """The spec's number of parameters is true."""
    spec = subject.spec
    count = sum(p.numel() for p in meta_network(subject.model, spec.num_classes).parameters())
    require(
        count == spec.parameters,
        f"the network has {count:,} parameters with {spec.num_classes} classes, the spec says {spec.parameters:,}",
    )


@rule("let num_classes size the last layer alone, and name that layer in ModelSpec.classifier")
def new_classifier(subject: Subject) -> None:
    """With another number of classes the classifier's tensors change shape, and no others."""
    few, many = (subject.meta_network(classes).state_dict() for classes in (CLASSES, CLASSES + 4))
    require(few.keys() == many.keys(), "tensors come or go with the number of classes")
    changed = [name for name in few if few[name].shape != many[name].shape]
    outside = [name for name in changed if not name.startswith(f"{subject.spec.classifier}.")]
    require(bool(changed), "no tensor depends on the number of classes")
    require(not outside, f"{', '.join(outside)} depend on the number of classes outside {subject.spec.classifier}")


@rule("return logits [B, K]; let forward be forward_head of forward_features, as in actrec_zoo.nn.FeatureNetwork")
def forward(subject: Subject) -> None:
    """Logits are [B, K] and finite, and forward is forward_head of forward_features."""
    classifier = subject.classifier()
    clips = random_clips(classifier)
    with torch.inference_mode():
        logits = classifier(clips)
        composed = classifier.forward_head(classifier.forward_features(clips))
    require_logits(logits)
    require(close(logits, composed), "forward differs from forward_head(forward_features(clips))")


@rule("list an option in ModelSpec.head_options only where nothing before the head looks at it, with values that fit")
def head_options(subject: Subject) -> Verdict | None:
    """Options of the head leave the features as they are, at every value that a search tries."""
    listed = subject.spec.head_options
    if not listed:
        return Verdict("skipped", "the spec lists no options of the head")
    unknown = [name for name in listed if name not in subject.spec.options]
    require(not unknown, f"there is no option {', '.join(unknown)}")
    before = _shapes_before_head(subject, {})
    for name, values in listed.items():
        for value in values:
            require(_shapes_before_head(subject, {name: value}) == before, f"{name}={value!r} changes the backbone")
    together = {name: values[-1] for name, values in listed.items() if values}
    classifier, other = subject.classifier(), subject.with_options(together).classifier()
    backbone = {n: t for n, t in classifier.net.state_dict().items() if not is_of_head(n, subject.spec)}
    other.net.load_state_dict(backbone, strict=False)
    clips = random_clips(classifier)
    with torch.inference_mode():
        same = close(classifier.forward_features(clips), other.forward_features(clips))
    require(same, f"the features change with {together}")
    return None


@rule("look for attention, normalisation or pooling over dimension 0; a transformer layer needs batch_first=True")
def independent_clips(subject: Subject) -> None:
    """In evaluation mode a clip's logits depend neither on its neighbours nor on the size of the batch."""
    classifier = subject.classifier()
    clips = random_clips(classifier)
    with torch.inference_mode():
        together = classifier(clips)
        alone = torch.cat([classifier(clip.unsqueeze(0)) for clip in clips])
        swapped = classifier(torch.stack((clips[0], torch.randn_like(clips[1]))))
    require(close(together, alone), "a clip's logits change with the size of the batch")
    require(close(together[0], swapped[0]), "a clip's logits depend on the other clips of the batch")


@rule("see that forward_features uses its argument, and that nothing after it is constant")
def clips_matter(subject: Subject) -> None:
    """Different clips have different logits."""
    classifier = subject.classifier()
    with torch.inference_mode():
        logits = classifier(random_clips(classifier))
    same = close(logits[0], logits[1], tolerance=1e-5)
    require(not same, "two different clips have the same logits: the input is not looked at")


@rule("pass training=self.training to functional dropout, and draw no random numbers in evaluation mode")
def deterministic(subject: Subject) -> None:
    """In evaluation mode the same clips have the same logits, bit for bit."""
    classifier = subject.classifier()
    clips = random_clips(classifier)
    with torch.inference_mode():
        first, second = classifier(clips), classifier(clips)
    require(torch.equal(first, second), "the same clips have other logits the second time")


@rule("keep what the output depends on in parameters and persistent buffers, each with memory of its own or tied")
def round_trip(subject: Subject) -> None:
    """State dict to safetensors and back is exact, and holds all that the output depends on."""
    classifier = subject.classifier()
    state = {name: tensor.contiguous() for name, tensor in untied_state(classifier.net).items()}
    restored = safetensors.torch.load(safetensors.torch.save(state))
    require(restored.keys() == state.keys(), "safetensors does not keep all keys")
    require(all(torch.equal(restored[k], state[k]) for k in state), "safetensors does not keep all values")
    clips = random_clips(classifier)
    with torch.inference_mode():
        before = classifier(clips)
        for tensor in classifier.net.state_dict().values():
            tensor.zero_()
        load_strictly(classifier.net, restored, source="its own state dict")
        after = classifier(clips)
    require(torch.equal(before, after), "loaded back into the network, its state dict gives other logits")


@rule("make buffers persistent or compute them in forward, and compute nothing from a tensor's values in __init__")
def meta_device(subject: Subject) -> None:
    """Built on the meta device and filled from a state dict, the network is whole and gives the same logits."""
    classifier = subject.classifier()
    net = subject.meta_network().eval()
    load_strictly(net, classifier.net.state_dict(), source="its own state dict", assign=True)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        require(not tensor.is_meta, f"{name} is not in the state dict and stays on the meta device")
    clips = random_clips(classifier)
    with torch.inference_mode():
        same = close(classifier(clips), net(clips))
    require(same, "built on the meta device and loaded, the network gives other logits")


@rule("branch on no tensor's values and take sizes from .shape, never len(); or set exportable=False")
def export(subject: Subject) -> Verdict | None:
    """torch.export takes the network, for batches of any size, and what it makes gives the same logits."""
    if not subject.spec.exportable:
        return Verdict("skipped", "not declared exportable")
    classifier = subject.classifier()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(classifier.net, (random_clips(classifier),), dynamic_shapes=dynamic)
    clips = random_clips(classifier, clips=BATCH + 1)
    with torch.inference_mode():
        same = close(classifier(clips), program.module()(clips))
    require(same, "the exported program gives other logits")
    return None


def _shapes_before_head(subject: Subject, options: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    state = subject.with_options(options).meta_network().state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not is_of_head(name, subject.spec)}


def require_logits(logits: Tensor, when: str = "") -> None:
    """Break the rule where logits are not finite values [B, 3]."""
    require(logits.shape == (BATCH, CLASSES), f"logits are {tuple(logits.shape)}, not {(BATCH, CLASSES)}{when}")
    require(bool(torch.isfinite(logits).all()), f"logits are not finite{when}")
