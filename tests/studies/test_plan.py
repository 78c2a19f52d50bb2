"""What a study is going to do, before anything is read or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec_zoo.errors import ConfigError, UnknownNameError
from actrec_zoo.studies import Plan, look, plan_study

TWO = """
seeds = [0, 1]
[settings]
lr = 0.1
epochs = 5
[models.tiny_conv3d]
lr = 0.2
[models.wide]
model = "tiny_conv3d"
options.width = 32
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    file = tmp_path / "two.toml"
    file.write_text(TWO)
    return file


def settings(plan: Plan, name: str) -> dict[str, object]:
    (run,) = [run for run in plan.runs if run.name == name]
    return {"lr": run.config.lr, "epochs": run.config.epochs, "options": run.config.options, "seed": run.config.seed}


def test_the_nearer_setting_wins(two: Path) -> None:
    plan = plan_study(two, "videos", settings={"epochs": 7, "wide.lr": 0.3, "wide.options.width": 64})
    assert [run.name for run in plan.runs] == ["tiny_conv3d-seed0", "tiny_conv3d-seed1", "wide-seed0", "wide-seed1"]
    assert settings(plan, "tiny_conv3d-seed1") == {"lr": 0.2, "epochs": 7, "options": {}, "seed": 1}
    assert settings(plan, "wide-seed0") == {"lr": 0.3, "epochs": 7, "options": {"width": 64}, "seed": 0}
    assert {state for _, state in look(plan)} == {"new"}
    assert plan.folder == Path("studies/two") and not plan.folder.exists()


def test_models_and_seeds_are_chosen(two: Path) -> None:
    plan = plan_study(two, "videos", models=["wide"], seeds=[4])
    assert [run.name for run in plan.wanted] == ["wide-seed4"] and len(plan.runs) == 2


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"models": ["wdie"]}, UnknownNameError, r"no model 'wdie'. Did you mean wide\? It has tiny_conv3d, wide"),
        ({"seeds": [1, 1]}, ConfigError, "--seeds 1,1: one is there twice"),
        ({"settings": {"lrr": 1}}, ConfigError, r"no setting 'lrr' \(flag\). Did you mean lr"),
        ({"settings": {"fail_fast": True}}, ConfigError, r"no setting 'fail_fast' \(flag\)"),
        ({"settings": {"wide.options.widht": 1}}, ConfigError, r"no option 'widht'. Did you mean width\?"),
        ({"settings": {"epochs": 0}}, ConfigError, r"'epochs' \(flag\) is 0"),
        ({"settings": {"seed": 1}}, ConfigError, "give --seeds"),
        ({"settings": {"wide.ratios": 1}}, ConfigError, "the data are one for all"),
    ],
)
def test_what_does_not_fit_is_refused(two: Path, given: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        plan_study(two, "videos", **given)  # type: ignore[arg-type]


def test_a_setting_of_the_file_is_refused_with_its_table(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[models.r3d]\nlearning_rate = 1")
    with pytest.raises(ConfigError, match=r"no setting 'learning_rate' \(study, \[models.r3d\]\)"):
        plan_study(file, "videos")


def test_views_that_cannot_be_shown_are_told_before_hours_of_training(two: Path) -> None:
    two.write_text('views = "2x3"' + TWO)
    with pytest.raises(ConfigError, match=r"^tiny_conv3d: --views 2x3: the model's input .*: give --views 2x1"):
        plan_study(two, "videos")


def test_a_study_needs_data(two: Path) -> None:
    with pytest.raises(ConfigError, match="names no data: give --data"):
        plan_study(two)


def test_the_2023_study_sees_what_it_saw() -> None:
    plan = plan_study("report", "videos")
    inputs = {run.entry: run.config.input_of(run.model.spec) for run in plan.runs}
    assert {(i.size, i.resize, i.mean, i.std, i.stride) for i in inputs.values()} == {
        (224, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1)
    }
    assert {name: i.frames for name, i in inputs.items() if i.frames != 8} == {"timesformer_k600": 16}
    recipe = {run.entry: (run.config.lr, run.config.batch_size) for run in plan.runs}
    assert recipe["timesformer"] == (1e-4, 8) and recipe["r2d_attn"] == (1e-5, 8) and recipe["r3d"] == (3e-6, 20)
