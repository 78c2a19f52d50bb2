"""Study files: what is read, and what is said of a fault in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec_zoo import get_spec
from actrec_zoo.errors import ConfigError, UnknownNameError
from actrec_zoo.studies.definition import Study, read_study, shipped_studies

EXAMPLES = Path(__file__).parents[2] / "examples" / "studies"


def written(folder: Path, text: str) -> Path:
    file = folder / "own.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_study_is_read_whole(tmp_path: Path) -> None:
    study = read_study(
        written(
            tmp_path,
            """
            title = "Two widths"
            views = "2x3"
            seeds = [3, 1]
            [data]
            path = "videos"
            ratios = [0.5, 0.25, 0.25]
            [settings]
            epochs = 2
            [models.wide]
            model = "tiny_conv3d"
            options.width = 8
            published = { top1 = 0.5, dataset = "UCF101", protocol = "split 1", source = "a paper" }
            [models.tiny_conv3d]
            """,
        )
    )
    assert (study.title, study.seeds, study.data.path, study.data.ratios) == (
        "Two widths",
        (3, 1),
        "videos",
        (0.5, 0.25, 0.25),
    )
    assert (study.how.name, study.how.clips, study.how.crops) == ("views", 2, 3)
    wide = study.models["wide"]
    assert (wide.model, wide.settings) == ("tiny_conv3d", {"options": {"width": 8}})
    assert wide.published and wide.published.reference.top5 is None and wide.published.reference.top1 == 0.5
    assert study.models["tiny_conv3d"].settings == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'models' is missing"),
        ("models = {}", "'models' is {}"),
        ("seed = [1]\n[models.r3d]", "there is no key 'seed'. Did you mean seeds?"),
        ("[data]\nfolder = 'x'\n[models.r3d]", "there is no key 'data.folder'"),
        ("protocol = 'reprot'\n[models.r3d]", "unknown protocol 'reprot'"),
        ("protocol = 'report'\nviews = '2x1'\n[models.r3d]", "views 2x1 is a protocol of its own"),
        ("seeds = []\n[models.r3d]", "'seeds' is []"),
        ("seeds = [1, 1]\n[models.r3d]", "seeds: a seed is there twice"),
        ("[settings]\nsplits = 'x'\n[models.r3d]", "[settings] has splits, which is one for all runs"),
        ("[settings]\nmodel = 'r3d'\n[models.r3d]", "[settings] has model: give it in [models.NAME]"),
        ("[models.r3d]\nseed = 1", "[models.r3d] has a seed: list them in seeds"),
        ("[models.'a/b']", "'a/b' in [models] cannot be a name"),
        ("[models.r3d]\npublished = { top1 = 74.5 }", "'models.r3d.published.top1' is 74.5"),
        ("[models.r3d]\npublished = { top1 = 0.7, top = 1 }", "no key 'models.r3d.published.top'. Did you mean top"),
        ("[models.r3d", "is not valid TOML"),
    ],
)
def test_a_fault_is_named_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_study(written(tmp_path, text))
    assert "own.toml" in str(error.value) and said in str(error.value)


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no study 'reprot'. Did you mean report\?"):
        read_study("reprot")
    with pytest.raises(ConfigError, match=r"cannot read the study .*none.toml: No such file"):
        read_study(tmp_path / "none.toml")


def test_the_2023_study_says_nothing_twice() -> None:
    assert shipped_studies() == ["report"]
    study = read_study("report")
    assert study.how.name == "report" and len(study.models) == 13
    assert study.settings == {"size": 224, "resize": "square", "normalize": False}
    for name, entry in study.models.items():
        spec = get_spec(name)
        assert entry.settings == {} and entry.published is None
        assert spec.reference is None or (spec.reference.dataset, spec.reference.source) == (
            "HMDB_simp",
            "the 2023 study",
        )
        assert {key: spec.defaults[key] for key in ("epochs", "optimizer", "weight_decay", "sampling")} == {
            "epochs": 30,
            "optimizer": "adam",
            "weight_decay": 1e-4,
            "sampling": "blocks",
        }
    assert [name for name in study.models if get_spec(name).reference is None] == ["videomae_hybrid"]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_examples_are_studies(file: Path) -> None:
    study = read_study(file)
    assert isinstance(study, Study) and all(get_spec(entry.model or name) for name, entry in study.models.items())
