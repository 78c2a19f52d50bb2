"""What is frozen costs no gradient: none is computed, and nothing is kept for one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.registry import get_registry
from actrec_zoo.training.objective import Classification
from actrec_zoo.training.update import TrainedNetwork
from tests.training.test_recompute import small
from tests.training.test_rehearsal import Blank


def trained(model: VideoClassifier, watched: list[nn.Module]) -> tuple[set[int], list[set[int]], set[str]]:
    """A step: storages that are kept for the backward pass, those that each watched module gave, and what has grad."""
    kept: set[int] = set()
    alive: list[Tensor] = []  # so that no storage takes the place of another
    given: list[set[int]] = [set() for _ in watched]

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        kept.add(tensor.untyped_storage().data_ptr())
        return tensor

    def note(number: int, result: Tensor) -> None:
        alive.append(result)
        given[number].add(result.untyped_storage().data_ptr())

    for number, module in enumerate(watched):
        module.register_forward_hook(lambda _module, _inputs, result, number=number: note(number, result))
    data = Blank(model.input.frames, model.input.size)
    config = TrainConfig(model=model.id, data="none")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss, _ = Classification(config)(TrainedNetwork(model, data), data.blank(torch.device("cpu")))
    loss.backward()
    return kept, given, {name for name, p in model.named_parameters() if p.grad is not None}


def named(model: VideoClassifier) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ["r3d_attn8", "squeezenet_attn", "timesformer", "tiny_conv3d"])
def test_under_a_frozen_backbone_nothing_is_kept(name: str) -> None:
    model = small(get_registry().find(name), ("@head",))
    inner = [module for key, module in model.net.named_modules() if key and not key.startswith(model.spec.head)]
    leaves = [module for module in inner if not list(module.children())]
    kept, given, with_gradient = trained(model, leaves[:-1])  # the last one gives the features themselves
    assert with_gradient == named(model) != set()
    assert kept and not any(kept & storages for storages in given[: len(given) // 2])
    frozen = {p.untyped_storage().data_ptr() for p in model.parameters() if not p.requires_grad}
    assert not kept & frozen, "frozen weights would be kept for a gradient that passes them"


def test_before_the_first_trained_layer_nothing_is_kept() -> None:
    model = small(get_registry().find("r3d_attn8"), ("backbone.layer4.*", "@head"))
    backbone = model.net.backbone
    before = [backbone.stem, *backbone.layer1, *backbone.layer2, backbone.layer3[0], backbone.layer3[0].conv1]
    kept, given, with_gradient = trained(model, [*before, backbone.layer3[1]])
    assert with_gradient == named(model)
    assert not any(kept & storages for storages in given[:-1])
    assert kept & given[-1], "the input of the first trained layer is kept for its weights"


def test_with_a_trained_stem_frozen_weights_pass_the_gradient_on_and_have_none() -> None:
    model = small(get_registry().find("r3d_stem"), ("@stem", "@head"))
    kept, _, with_gradient = trained(model, [])
    assert with_gradient == named(model)
    assert "net.backbone.stem.0.weight" in with_gradient and "net.backbone.layer2.0.conv1.0.weight" not in with_gradient
    assert kept
    frozen = [
        module for module in model.modules() if isinstance(module, nn.BatchNorm3d) and not module.weight.requires_grad
    ]
    assert frozen and not any(module.training for module in frozen)


def test_the_watch_sees_what_is_kept_where_everything_trains() -> None:
    model = small(get_registry().find("r3d_attn8"), ("*",))
    backbone = model.net.backbone
    kept, given, with_gradient = trained(model, [backbone.stem, *backbone.layer1])
    assert all(kept & storages for storages in given)
    assert with_gradient == {name for name, _ in model.named_parameters()}
