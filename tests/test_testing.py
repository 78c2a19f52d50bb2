"""The contract finds what it is there to find: each small network here breaks one rule."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import torch
from torch import Tensor, nn

from actrec_zoo.plugin_manager import Plugin
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec, ModelSpec
from actrec_zoo.testing import check_model


class Head(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.classifier = nn.Linear(6, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.norm(features))


class Good(nn.Module):
    """Channel means and a linear layer; keeps every rule."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv3d(3, 6, 1), nn.BatchNorm3d(6), nn.ReLU())
        self.head = Head(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        return self.backbone(clips).mean(dim=(2, 3, 4))

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(features)

    def forward(self, clips: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(clips))


class AcrossTheBatch(Good):
    """The study's mistake: an encoder layer over [B, D] takes the batch for the sequence."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head.encoder = nn.TransformerEncoderLayer(6, 2, 6, 0.0)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.head.encoder(features))


class BatchStatistics(Good):
    """Normalises over the batch, in evaluation mode too."""

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips - clips.mean(dim=0))


class Unused(Good):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head.forgotten = nn.Linear(6, 6)


class DeadAttention(Good):
    """Attention over one token: query and key get no gradient."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head.encoder = nn.TransformerEncoderLayer(6, 2, 6, 0.0, batch_first=True)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.head.encoder(features.unsqueeze(1)).squeeze(1))


class Drifting(Good):
    """Puts its frozen batch norm into training mode."""

    def forward_features(self, clips: Tensor) -> Tensor:
        self.backbone.train(self.training)
        return super().forward_features(clips)


class OtherForward(Good):
    def forward(self, clips: Tensor) -> Tensor:
        return 2 * super().forward(clips)


class Blind(Good):
    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(torch.ones_like(clips))


class NotFinite(Good):
    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(features) / 0


class OneLogitTooMany(Good):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes + 1)


class ClassesInTheBackbone(Good):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.backbone.scale = nn.Parameter(torch.zeros(num_classes))


class FixedClasses(Good):
    def __init__(self, num_classes: int) -> None:
        super().__init__(3)


class HiddenState(Good):
    """A plain attribute that the state dict does not hold."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("offset", torch.arange(6.0), persistent=False)

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips) + self.offset


class TwoFramesOnly(Good):
    """Its output has a row a pair of frames."""

    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(features)

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips.unfold(2, 4, 4).permute(0, 2, 1, 5, 3, 4).flatten(0, 1))


def registered(network: type[nn.Module], **changes: object) -> RegisteredModel:
    """A model that is not registered, built by a class of this module."""
    with torch.device("meta"):
        parameters = sum(p.numel() for p in network(25).parameters())
    settings = {
        "name": "of_a_test",
        "summary": "Of a test",
        "architecture": "Test",
        "builder": f"{__name__}:build_{network.__name__}",
        "input": InputSpec(frames=4, size=8),
        "parameters": parameters,
        "trainable": ("@head",),
    }
    plugin = Plugin(name="test", distribution="test", version="0", first_party=False)
    return RegisteredModel(plugin, ModelSpec(**(settings | changes)))  # type: ignore[arg-type]


def __getattr__(name: str) -> object:
    """`build_<class>`: a builder of that class."""
    network = globals().get(name.removeprefix("build_"))
    if network is None or not name.startswith("build_"):
        raise AttributeError(name)
    return lambda *, num_classes, pretrained=None: network(num_classes)


def test_good_model_passes() -> None:
    check_model(registered(Good))
    check_model(registered(Good, any_frames=True, trainable=("*",)))


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (AcrossTheBatch, "a clip's logits change with the size of the batch"),
        (BatchStatistics, "a clip's logits change with the size of the batch"),
        (Unused, "head.forgotten.weight trains but gets no gradient"),
        (DeadAttention, r"in_proj_weight \(query\) trains but gets no gradient"),
        (Drifting, r"backbone\.1\.(running_mean|running_var|num_batches_tracked) is frozen and changed"),
        (OtherForward, r"forward differs from forward_head\(forward_features\(clips\)\)"),
        (Blind, "two different clips have the same logits"),
        (NotFinite, "logits are not finite"),
        (OneLogitTooMany, r"logits are \(2, 4\), not \(2, 3\)"),
        (ClassesInTheBackbone, "backbone.scale depend on the number of classes outside head.classifier"),
        (FixedClasses, "no tensor depends on the number of classes"),
        (HiddenState, "offset stays on the meta device"),
    ],
)
def test_broken_network_is_found(network: type[nn.Module], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_model(registered(network))


def test_wrong_parameter_count_is_found() -> None:
    with pytest.raises(AssertionError, match="of_a_test has 223 parameters, its spec says 212"):
        check_model(registered(Good, parameters=212))


def test_frames_that_do_not_fit_are_found() -> None:
    check_model(registered(TwoFramesOnly))
    with pytest.raises(AssertionError, match="any_frames is set, but twice as many frames"):
        check_model(registered(TwoFramesOnly, any_frames=True))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Upper"}, "name 'Upper' is not lower case"),
        ({"summary": ""}, "lacks a summary"),
        ({"weights": {"imagenet": None}}, "pretrained weights need the mean of their input"),
    ],
)
def test_incomplete_spec_is_found(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_model(registered(Good, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"groups": {"stem": ("nothing.*",)}}, {"trainable": ("@tail",)}, {"head": "nose"}, {"backbone": "spine"}],
)
def test_names_that_lead_nowhere_are_found(changes: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match=r"matches no parameter|no parameter group"):
        check_model(registered(Good, **changes))


def test_plugin_that_imports_torch_is_found() -> None:
    model = registered(Good)
    plugin = dataclasses.replace(model.plugin, module=importlib.import_module("actrec_zoo.nn"))
    with pytest.raises(AssertionError, match=r"importing actrec_zoo\.nn imports torch, or fails"):
        check_model(dataclasses.replace(model, plugin=plugin))


def test_model_by_name_and_at_another_size() -> None:
    check_model("tiny_conv3d", size=32)
    check_model(get_registry().find("tiny:tiny_conv3d"), size=32)
