"""The sections of a model card that a person writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from actrec_zoo.errors import PluginError
from actrec_zoo.hub.prose import SECTIONS, read_prose
from actrec_zoo.registry import get_registry
from actrec_zoo.spec import InputSpec, ModelSpec
from tests.distributions import run_python

SPEC = ModelSpec(name="m", summary="", architecture="", builder="a:b", input=InputSpec(frames=4, size=32), parameters=1)
CITATION = "```bibtex\n@article{key,\n  title = {A title},\n}\n```"
TEXTS = dict.fromkeys(SECTIONS, "Some words.") | {"Citation": CITATION}


def written(texts: dict[str, str]) -> str:
    return "\n".join(f"## {heading}\n\n{text}\n" for heading, text in texts.items())


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A model whose card.md is not there yet; its package is named after the test's folder."""
    package = tmp_path / f"prose_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return dataclasses.replace(SPEC, card=f"{package.name}:card.md")


def put(tmp_path: Path, spec: ModelSpec, text: str) -> None:
    (tmp_path / spec.card.partition(":")[0] / "card.md").write_text(text, encoding="utf-8", newline="")


@pytest.mark.parametrize("model", get_registry().models, ids=lambda model: model.id)
def test_every_model_has_prose(model: object) -> None:
    prose = read_prose(model.spec)  # type: ignore[attr-defined]
    assert tuple(prose) == SECTIONS
    assert all(len(text) > 40 for text in prose.values())


def test_sections_come_in_one_order_and_without_outer_space(tmp_path: Path, spec: ModelSpec) -> None:
    put(tmp_path, spec, written(dict(reversed(TEXTS.items()))).replace("\n", "\r\n"))
    assert list(read_prose(spec).items()) == list(TEXTS.items())


def test_a_section_may_have_parts_of_its_own(tmp_path: Path, spec: ModelSpec) -> None:
    put(tmp_path, spec, written(TEXTS | {"Origin": "First.\n\n### Data\n\nThen."}))
    assert read_prose(spec)["Origin"] == "First.\n\n### Data\n\nThen."


@pytest.mark.parametrize("heading", SECTIONS)
def test_missing_and_empty_sections_are_named(tmp_path: Path, spec: ModelSpec, heading: str) -> None:
    put(tmp_path, spec, written({h: text for h, text in TEXTS.items() if h != heading}))
    with pytest.raises(PluginError, match=rf"card prose_\S+:card\.md of model 'm' has no section '## {heading}'"):
        read_prose(spec)
    put(tmp_path, spec, written(TEXTS | {heading: " \n"}))
    with pytest.raises(PluginError, match=f"has an empty section '## {heading}'"):
        read_prose(spec)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (written(TEXTS | {"Licence": "A."}), "section '## Licence' that is none of Architecture, Origin"),
        (written(TEXTS) + written({"Limits": "More."}), "more than one section '## Limits'"),
        ("# A title\n" + written(TEXTS), "begins with text that is in no section"),
        (written(TEXTS | {"Citation": "Nobody (2020)"}), "no BibTeX in '## Citation'"),
        (written(TEXTS | {"Citation": "```bibtex\n```"}), "no BibTeX in '## Citation'"),
        ("", "has no section '## Architecture'"),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, spec: ModelSpec, text: str, complaint: str) -> None:
    put(tmp_path, spec, text)
    with pytest.raises(PluginError, match=complaint):
        read_prose(spec)


def test_files_that_cannot_be_read(tmp_path: Path, spec: ModelSpec) -> None:
    with pytest.raises(PluginError, match=r"card\.md of model 'm' cannot be read: .*No such file"):
        read_prose(spec)
    (tmp_path / spec.card.partition(":")[0] / "card.md").write_bytes(b"## Limits\n\n\xff\n")
    with pytest.raises(PluginError, match=r"cannot be read: 'utf-8' codec"):
        read_prose(spec)


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ("", "model 'm' has no card: set card='package:file' in its spec"),
        ("card.md", "not of the form 'package:file'"),
        (":card.md", "not of the form 'package:file'"),
        ("package:", "not of the form 'package:file'"),
        ("no_such_package:card.md", "cannot be read: No module named 'no_such_package'"),
        ("actrec_zoo:/etc/hostname", "is outside its package"),
        ("actrec_zoo:../pyproject.toml", "is outside its package"),
        ("actrec_zoo:hub/../../a.md", "is outside its package"),
        ("actrec_zoo:hub\\..\\a.md", "is outside its package"),
        ("actrec_zoo:C:/a.md", "is outside its package"),
    ],
)
def test_wrong_references(card: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        read_prose(dataclasses.replace(SPEC, card=card))


def test_code_has_no_headings(tmp_path: Path, spec: ModelSpec) -> None:
    code = "```text\n## Limits\n```\n\n~~~~\n## Notes\n~~~\n```\n~~~~\n\n```one``` line"
    put(tmp_path, spec, written(TEXTS | {"Architecture": code}))
    assert read_prose(spec)["Architecture"] == code
    put(tmp_path, spec, written(TEXTS | {"Architecture": "```one``` line\n## Notes\n\nMore."}))
    with pytest.raises(PluginError, match="section '## Notes' that is none of"):
        read_prose(spec)


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, spec: ModelSpec) -> None:
    (tmp_path / spec.card.partition(":")[0] / "__init__.py").write_text("raise RuntimeError('no\\ndriver')")
    with pytest.raises(PluginError, match=r"card\.md of model 'm' cannot be read: no driver$"):
        read_prose(spec)


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys\nfrom actrec_zoo import get_spec\nfrom actrec_zoo.hub.prose import read_prose\n"
        "read_prose(get_spec('r3d'))\nsys.exit('torch' in sys.modules)"
    )
    assert run_python("-c", code).code == 0
