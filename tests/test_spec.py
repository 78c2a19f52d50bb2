import dataclasses
import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from actrec_zoo.errors import ConfigError, PluginError
from actrec_zoo.spec import InputSpec, ModelSpec, WeightsRef, import_object

SPEC = InputSpec(frames=8, size=224, resize=(256, 340), mean=(0.1, 0.2, 0.3), sampling="uniform", views=2)


def model(**values: Any) -> ModelSpec:
    given = {"name": "m", "summary": "", "architecture": "", "builder": "a:b", "input": SPEC, "parameters": 1}
    return ModelSpec(**(given | values))


@pytest.mark.parametrize("spec", [SPEC, InputSpec(frames=1, size=1), InputSpec(frames=4, size=112, resize=128)])
def test_input_survives_json(spec: InputSpec) -> None:
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "input frames must be a whole number of at least 1, not 0"),
        ({"size": -1}, "input size"),
        ({"stride": 1.5}, "input stride"),
        ({"views": True}, "input views"),
        ({"frames": "8"}, "input frames"),
        ({"sampling": "random"}, "must be 'blocks' or 'uniform', not 'random'"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"resize": 200}, "resize 200 is smaller than the crop of 224"),
        ({"resize": [300, 223]}, "smaller than the crop"),
        ({"resize": ["a", 223]}, "do not fit"),
        ({"colour": 1, "alpha": 2}, "unknown input keys: alpha, colour"),
    ],
    ids=str,
)
def test_bad_input_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InputSpec.from_dict(SPEC.to_dict() | change)


def test_a_missing_input_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="size"):
        InputSpec.from_dict({"frames": 8})


@pytest.mark.parametrize(
    ("resize", "expected"), [((256, 340), (128, 170)), (256, 128), (None, None), (224, 112), ((224, 224), (112, 112))]
)
def test_another_size_scales_the_resize(
    resize: tuple[int, int] | int | None, expected: tuple[int, int] | int | None
) -> None:
    spec = dataclasses.replace(SPEC, resize=resize)
    assert spec.with_size(112) == dataclasses.replace(SPEC, size=112, resize=expected)


def test_every_size_can_be_chosen() -> None:
    for resize in (224, 225, (224, 225), None):
        for size in range(1, 500):
            assert dataclasses.replace(SPEC, resize=resize).with_size(size).size == size


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.frames = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a b", "@a", "a\\b", ".a"])
def test_model_names_and_aliases_hold_no_separators(name: str) -> None:
    for given in ({"name": name}, {"aliases": ("fine", name)}):
        with pytest.raises(PluginError, match="may not be empty or hold"):
            model(**given)


def test_every_model_has_three_groups_and_may_say_otherwise() -> None:
    assert model(backbone="stem", head="top", classifier="top.fc").all_groups == {
        "backbone": ("stem.*",),
        "head": ("top.*",),
        "classifier": ("top.fc.*",),
    }
    own = model(groups={"head": ("a.*", "b.*"), "late": ("c.*",)}).all_groups
    assert own["head"] == ("a.*", "b.*")
    assert set(own) == {"backbone", "head", "classifier", "late"}


def test_import_object() -> None:
    assert import_object("collections:Counter") is Counter


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("collections", "is not of the form 'module:attribute'"),
        ("collections:", "is not of the form"),
        ("collections:Nothing", "cannot import 'collections:Nothing'"),
        ("no_such_module:a", "No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_imported_is_named(reference: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        import_object(reference)


def test_specs_do_not_import_torch() -> None:
    code = "import sys, actrec_zoo.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("source", ["hf:org/name@0123456789abcdef0123456789abcdef01234567", "torchvision:A_Weights.B"])
def test_sources_of_weights(source: str) -> None:
    assert WeightsRef(source=source, url="", trained_on="", license="").source == source


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("hf:org/name", "is not pinned"),
        ("hf:org/name@main", "is not pinned"),
        ("hf:org/name@0123456", "is not pinned"),
        ("url:http://host/file.pyth", "is not fetched safely: write url:https://"),
        ("org/name", "is none of torchvision:Enum.MEMBER, hf:org/name@COMMIT"),
        ("torchvision:", "is none of"),
    ],
)
def test_sources_that_are_not_pinned_or_not_known(source: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        WeightsRef(source=source, url="", trained_on="", license="")


@pytest.mark.parametrize(
    ("field", "value", "kind"), [("card", 5, "str"), ("summary", None, "str"), ("input", {}, "InputSpec")]
)
def test_fields_of_another_type_are_refused(field: str, value: Any, kind: str) -> None:
    with pytest.raises(PluginError, match=f"{field} of model 'm' must be of type {kind}"):
        model(**{field: value})
