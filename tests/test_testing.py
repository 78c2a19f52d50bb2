"""The contract finds what it is there to find: each small network here breaks one rule."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

import actrec_zoo_plugins.tiny
from actrec_zoo.plugin_manager import Plugin
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import InputSpec, ModelSpec, WeightsRef
from actrec_zoo.testing import RULES, Report, check_model, examine_model


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


class LostBranch(Good):
    """Its only branch is dropped in training, always."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.backbone.append(StochasticDepth(1.0, "row"))


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


class RowAPair(Good):
    """Its output has a row for every four frames."""

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips.unfold(2, 4, 4).permute(0, 2, 1, 5, 3, 4).flatten(0, 1))


class FramesInTheClassifier(Good):
    """Reads out four frames, and takes no notice of the option `frames` unless `follows` is set."""

    def __init__(self, num_classes: int, frames: int = 4, follows: bool = False) -> None:
        super().__init__(num_classes)
        self.head = nn.Sequential()
        self.head.classifier = nn.Linear(6 * (frames if follows else 4), num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        return self.backbone(clips).mean(dim=(3, 4)).flatten(1)


class JointProjection(Good):
    """Query, key and value in one linear layer of the usual name; only the value is used."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head.qkv = nn.Linear(6, 18, bias=False)

    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(self.head.qkv(features)[:, 12:])


class InfiniteGradient(Good):
    """The square root of a norm that is zero."""

    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(features) + (0 * self.head.classifier.weight).norm().sqrt()


class SinglePrecision(Good):
    """Normalises in single precision whatever it gets, as CLIP does."""

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips.float())


class SinglePrecisionAndUnused(SinglePrecision, Unused):
    pass


class WideBackbone(Good):
    """Has an option that is not the head's."""

    def __init__(self, num_classes: int, width: int = 2) -> None:
        super().__init__(num_classes)
        self.backbone.scale = nn.Parameter(torch.ones(width))


class Shifted(Good):
    """Has an option that no tensor shows."""

    def __init__(self, num_classes: int, shift: float = 0.0) -> None:
        super().__init__(num_classes)
        self.shift = shift

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips) + self.shift


class DropoutInTheHead(Good):
    """Has an option that is the head's."""

    def __init__(self, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(num_classes)
        self.head.norm = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(dropout))


class AlwaysDropout(Good):
    """Functional dropout that evaluation mode does not turn off."""

    def forward_features(self, clips: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward_features(clips), 0.5)


class SharedMemory(Good):
    """Two parameters in one place, which nothing ties."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head.mixed = nn.Linear(6, 6)
        self.head.again = nn.Linear(6, 6)
        self.head.again.weight = nn.Parameter(self.head.mixed.weight.detach())

    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(self.head.again(self.head.mixed(features)))


class Branching(Good):
    """Looks at a value to choose its way."""

    def forward_features(self, clips: Tensor) -> Tensor:
        features = super().forward_features(clips)
        return features if clips.mean() > 0 else features + 1


class FixedBatch(Good):
    """Takes the size of the batch for a constant, as `len` does."""

    def forward_features(self, clips: Tensor) -> Tensor:
        return super().forward_features(clips).reshape(len(clips), 6)


class ThreeLogits(Good):
    def forward_head(self, features: Tensor) -> Tensor:
        return super().forward_head(features)[:, :3]


class NotBuilt(Good):
    def __init__(self, num_classes: int) -> None:
        raise ValueError("no such luck")


WEIGHTS = WeightsRef(source="torchvision:A.B", url="https://a.b", trained_on="c", license="MIT")
NORMALIZED = InputSpec(frames=4, size=8, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


def registered(network: type[nn.Module], **changes: object) -> RegisteredModel:
    """A model that is not registered, built by a class of this module."""
    settings = {
        "name": "of_a_test",
        "summary": "Of a test",
        "architecture": "Test",
        "builder": f"{__name__}:build_{network.__name__}",
        "input": InputSpec(frames=4, size=8),
        "parameters": 0 if network is NotBuilt else parameters(network),
        "trainable": ("@head",),
        "exportable": True,
        "card": "actrec_zoo_plugins.tiny:card.md",
    }
    plugin = Plugin(name="test", distribution="test", version="0", first_party=False)
    return RegisteredModel(plugin, ModelSpec(**(settings | changes)))  # type: ignore[arg-type]


def parameters(network: type[nn.Module]) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in network(25).parameters())


def __getattr__(name: str) -> object:
    """`build_<class>`: a builder of that class."""
    network = globals().get(name.removeprefix("build_"))
    if network is None or not name.startswith("build_"):
        raise AttributeError(name)
    return lambda *, num_classes, pretrained=None, **options: network(num_classes, **options)


BREAKERS: list[tuple[str, type[nn.Module], dict[str, object], str]] = [
    ("names", Good, {"name": "Upper"}, "name 'Upper' is not lower case"),
    ("names", Good, {"summary": " "}, "the summary is empty"),
    ("names", Good, {"summary": "one\ntwo"}, "the summary is longer than a line"),
    ("names", Good, {"architecture": ""}, "the architecture is empty"),
    ("preprocessing", Good, {"weights": {"tag": WEIGHTS}}, "pretrained weights need the mean of their input"),
    (
        "preprocessing",
        Good,
        {"weights": {"tag": WEIGHTS}, "input": dataclasses.replace(NORMALIZED, std=(1.0, 1.0, 1.0))},
        "pretrained weights need the std of their input",
    ),
    (
        "preprocessing",
        Good,
        {"input": dataclasses.replace(NORMALIZED, mean=(123.7, 116.3, 103.5))},
        "mean (123.7, 116.3, 103.5) is not for frames scaled to 0..1",
    ),
    (
        "preprocessing",
        Good,
        {"input": dataclasses.replace(NORMALIZED, mean=[0.5, 0.5, 0.5])},
        "the input does not come back from config.json as it was",
    ),
    (
        "preprocessing",
        Good,
        {"weights": {"tag": dataclasses.replace(WEIGHTS, url="", license=" ")}, "input": NORMALIZED},
        "weights 'tag' lack url, license",
    ),
    ("card", Good, {"card": ""}, "the spec names no card"),
    ("card", Good, {"card": "actrec_zoo_plugins.tiny:no_card.md"}, "card actrec_zoo_plugins.tiny:no_card.md"),
    ("build", NotBuilt, {}, "test:of_a_test cannot be built with {}: no such luck"),
    ("build", Good, {"builder": "no_such_module:build"}, "No module named 'no_such_module'"),
    ("parameter_count", Good, {"parameters": 212}, "the network has 223 parameters with 25 classes, the spec says 212"),
    ("new_classifier", ClassesInTheBackbone, {}, "backbone.scale depend on the number of classes outside head.classif"),
    ("new_classifier", FixedClasses, {}, "no tensor depends on the number of classes"),
    ("forward", OtherForward, {}, "forward differs from forward_head(forward_features(clips))"),
    ("forward", NotFinite, {}, "logits are not finite"),
    ("forward", OneLogitTooMany, {}, "logits are (2, 4), not (2, 3)"),
    ("head_options", Good, {"head_options": {"width": (1,)}}, "there is no option width"),
    (
        "head_options",
        WideBackbone,
        {"options": {"width": 2}, "head_options": {"width": (2, 3)}},
        "width=3 changes the backbone",
    ),
    (
        "head_options",
        Shifted,
        {"options": {"shift": 0.0}, "head_options": {"shift": (0.0, 0.5)}},
        "the features change with {'shift': 0.5}",
    ),
    ("independent_clips", AcrossTheBatch, {}, "a clip's logits change with the size of the batch"),
    ("independent_clips", BatchStatistics, {}, "a clip's logits change with the size of the batch"),
    ("clips_matter", Blind, {}, "two different clips have the same logits"),
    ("deterministic", AlwaysDropout, {}, "the same clips have other logits the second time"),
    ("round_trip", SharedMemory, {}, "share memory"),
    ("meta_device", HiddenState, {}, "offset is not in the state dict and stays on the meta device"),
    ("export", Branching, {}, "data-dependent"),
    ("export", FixedBatch, {}, "specialized it to be a constant (2)"),
    ("groups", Good, {"groups": {"stem": ("nothing.*",)}}, "'@stem' matches no parameter"),
    ("groups", Good, {"trainable": ("@tail",)}, "no parameter group '@tail'"),
    ("groups", Good, {"head": "nose"}, "the network has no module 'nose'"),
    ("groups", Good, {"backbone": "spine"}, "the network has no module 'spine'"),
    ("groups", Good, {"classifier": "head.fc"}, "the network has no module 'head.fc'"),
    ("layers", Good, {"layers": ("backbone.0.*",)}, "the layers that of_a_test states leave out backbone.1.weight"),
    ("layers", Good, {"layers": ("spine.{n}.*",)}, "leave out backbone.0.weight"),
    ("layers", Good, {"layers": ("backbone.*", "backbone.{n}.*")}, "backbone.0.weight of of_a_test is in two layers"),
    ("layers", Good, {"layers": ("backbone.{n}.*", "head.*")}, "head.classifier.bias of the classifier are in a layer"),
    ("gradients", Unused, {}, "no gradient reaches head.forgotten.weight, head.forgotten.bias"),
    (
        "gradients",
        DeadAttention,
        {},
        "no gradient reaches head.encoder.self_attn.in_proj_weight (query), "
        "head.encoder.self_attn.in_proj_weight (key)",
    ),
    ("gradients", JointProjection, {}, "no gradient reaches head.qkv.weight (query), head.qkv.weight (key)"),
    ("gradients", InfiniteGradient, {}, "the gradient is not finite: head.classifier.weight"),
    ("gradients", Good, {"without_gradient": {"head.lost": "old"}}, "'head.lost' matches no parameter that trains"),
    (
        "gradients",
        Good,
        {"without_gradient": {"head.norm.*": "wrong"}},
        "all of without_gradient 'head.norm.*' get gradients: remove it",
    ),
    ("other_frame_counts", RowAPair, {"any_frames": True}, "logits are (4, 3), not (2, 3) with 8 frames"),
    ("other_frame_counts", FramesInTheClassifier, {"options": {"frames": None}}, "mat1 and mat2 shapes cannot be"),
    ("frozen", Drifting, {}, "changed by a training step: backbone.1.running_mean, backbone.1.running_var"),
    ("head_replacement", ThreeLogits, {}, "with 7 classes logits are (2, 3)"),
    ("head_replacement", ClassesInTheBackbone, {}, "backbone.scale (3,) instead of (7,)"),
]
"""A rule, a model that breaks it, and what the report says."""


@pytest.mark.parametrize(("rule", "network", "changes", "complaint"), BREAKERS)
def test_broken_rule_is_found(rule: str, network: type[nn.Module], changes: dict[str, object], complaint: str) -> None:
    result = examine_model(registered(network, **changes))[rule]
    assert (result.status, result.advice) == ("failed", next(r.advice for r in RULES if r.name == rule))
    assert complaint in result.message


def test_stochastic_depth_is_no_lack_of_gradients() -> None:
    assert examine_model(registered(LostBranch))["gradients"].status == "passed"


def test_plugin_that_imports_torch_is_found() -> None:
    assert "importing actrec_zoo.nn imports torch" in examined_plugin("actrec_zoo.nn")
    assert "No module named" in examined_plugin("tests.distributions", name="no_such_module")


def examined_plugin(module: str, name: str = "") -> str:
    """What the report says of a plugin with that module."""
    model, code = registered(Good), importlib.import_module(module)
    if name:
        code = type(code)(name)
    result = examine_model(dataclasses.replace(model, plugin=dataclasses.replace(model.plugin, module=code)))[
        "import_without_torch"
    ]
    assert result.status == "failed"
    return result.message


def test_card_in_a_package_that_imports_torch_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("import torch\n")
    shutil.copy(Path(actrec_zoo_plugins.tiny.__file__).with_name("card.md"), tmp_path / "heavy")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = examine_model(registered(Good, card="heavy:card.md"))["card"]
    assert (result.status, result.message) == ("failed", "importing heavy imports torch")


def test_every_rule_is_shown_to_fail() -> None:
    shown = {rule for rule, *_ in BREAKERS} | {"import_without_torch"}
    assert shown == {rule.name for rule in RULES}
    assert len(RULES) == len(shown)


def test_good_models_pass() -> None:
    assert statuses(check_model(registered(Good))) == {
        "head_options": "skipped",
        "import_without_torch": "skipped",
        "layers": "skipped",
        "other_frame_counts": "skipped",
    }
    everything = {"any_frames": True, "trainable": ("*",), "input": NORMALIZED, "weights": {"tag": WEIGHTS}}
    everything |= {"options": {"dropout": 0.0}, "head_options": {"dropout": (0.0, 0.5)}, "layers": ("backbone.{n}.*",)}
    assert statuses(check_model(registered(DropoutInTheHead, **everything))) == {"import_without_torch": "skipped"}


def statuses(report: Report) -> dict[str, str]:
    """Rules that did more or less than pass."""
    assert [result.rule for result in report.results] == [rule.name for rule in RULES]
    return {result.rule: result.status for result in report.results if result.status != "passed"}


def test_a_network_is_rebuilt_for_another_number_of_frames() -> None:
    model = registered(FramesInTheClassifier, options={"frames": None, "follows": True})
    assert examine_model(model)["other_frame_counts"].status == "passed"


def test_rules_that_do_not_apply_say_why() -> None:
    report = check_model(registered(RowAPair, exportable=False))
    assert report["export"].message == "not declared exportable"
    assert report["other_frame_counts"].message == "the spec has one frame count"


def test_declared_exception_is_allowed_and_reported_with_its_reason() -> None:
    report = check_model(registered(Unused, without_gradient={"head.forgotten.*": "upstream has these keys"}))
    assert (report["gradients"].status, report["gradients"].message) == (
        "allowed",
        "head.forgotten.*: upstream has these keys",
    )


def test_a_network_that_fixes_its_precision_is_checked_in_that() -> None:
    assert check_model(registered(SinglePrecision)).passed
    assert "head.forgotten" in examine_model(registered(SinglePrecisionAndUnused))["gradients"].message


def test_a_bias_before_a_batch_norm_counts_as_trained() -> None:
    assert check_model(registered(Good, trainable=("*",)))["gradients"].status == "passed"


def test_a_network_that_cannot_be_built_leaves_the_rules_on_it_not_run() -> None:
    report = examine_model(registered(NotBuilt, summary=""))
    assert [result.rule for result in report.broken] == ["names", "build"]
    after = report.results[[rule.name for rule in RULES].index("build") + 1 :]
    reason = "not run: the network cannot be built: test:of_a_test cannot be built with {}: no such luck"
    assert after and {(result.status, result.message) for result in after} == {("skipped", reason)}


def test_one_error_names_every_broken_rule_with_its_advice() -> None:
    with pytest.raises(AssertionError) as raised:
        check_model(registered(Unused, parameters=1, name="Upper"))
    text = str(raised.value)
    assert "test:Upper: 3 of 21 rules broken: names, parameter_count, gradients" in text
    assert all(rule.name in text for rule in RULES)
    assert all(f"-> {rule.advice}" in text for rule in RULES if rule.name in ("names", "parameter_count", "gradients"))


def test_rules_leave_the_network_and_the_random_numbers_as_they_were() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = examine_model(registered(DeadAttention))
    assert torch.equal(torch.rand(3), expected)
    assert [(r.rule, r.message) for r in first.results] == [
        (r.rule, r.message) for r in examine_model(registered(DeadAttention)).results
    ]


def test_shorter_clips() -> None:
    in_the_classifier = registered(FramesInTheClassifier, options={"frames": None})
    assert examine_model(in_the_classifier, frames=4)["forward"].status == "passed"
    assert "mat1 and mat2 shapes cannot be" in examine_model(in_the_classifier, frames=2)["forward"].message


def test_model_by_name_by_spec_and_at_another_size() -> None:
    check_model("tiny_conv3d", size=32, options={"width": 8})
    registered_one = get_registry().find("tiny:tiny_conv3d")
    assert check_model(registered_one, size=32)["import_without_torch"].status == "passed"
    report = check_model(registered_one.spec, size=32)
    assert (report.model, report["import_without_torch"].status) == ("unregistered:tiny_conv3d", "skipped")
