import logging
from pathlib import Path

import pytest

from actrec_zoo.data.grouping import group_by, hmdb51_group, ucf101_group
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.errors import DataError


def named(*paths: str, group: str = "") -> Manifest:
    """A manifest of `class/name` paths."""
    return Manifest.from_entries(Path("data"), [Entry(path, path.split("/")[0], group) for path in paths])


def groups(manifest: Manifest) -> list[str]:
    return [manifest.entry(i).group for i in range(len(manifest))]


@pytest.mark.parametrize(
    ("label", "name", "group"),
    [
        ("brush_hair", "April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09"),
        ("brush_hair", "April_09_brush_hair_u_nm_np1_ba_goo_0", "April_09"),
        ("clap", "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi", "#20_Rhythm"),
        ("climb", "(HQ)_Free_Solo_-_Dan_Osman_climb_f_cm_np1_ba_med_0.avi", "(HQ)_Free_Solo_-_Dan_Osman"),
        ("climb", "Kramer_vs._Kramer_climb_l_cm_np2_le_bad_12", "Kramer_vs._Kramer"),
        ("climb", "climb_stairs_movie_climb_h_nm_np1_ri_med_3.avi", "climb_stairs_movie"),
        ("run", "April_09_brush_hair_u_nm_np1_ba_goo_0.avi", ""),
        ("climb", "climb_f_cm_np1_ba_med_0.avi", ""),
        ("climb", "clip7.avi", ""),
    ],
)
def test_films_of_hmdb51(label: str, name: str, group: str) -> None:
    assert hmdb51_group(Entry(f"{label}/{name}", label)) == group


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("v_ApplyEyeMakeup_g01_c04.avi", "ApplyEyeMakeup_g01"),
        ("v_HandStandPushups_g25_c07", "HandStandPushups_g25"),
        ("v_g01_c04.avi", ""),
        ("ApplyEyeMakeup_g01_c04.avi", ""),
        ("v_ApplyEyeMakeup_g01_c04.old.avi", ""),
    ],
)
def test_groups_of_ucf101(name: str, group: str) -> None:
    assert ucf101_group(Entry(f"any/{name}", "any")) == group


def test_auto_knows_hmdb51_across_classes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    films = [f"{label}/Film_{n}_{label}_u_nm_np1_fr_med_{n}.avi" for label in ("eat", "sit") for n in range(20)]
    grouped = group_by(named(*films, "eat/odd.avi"))
    assert groups(grouped) == [f"Film_{n}" for _ in range(2) for n in range(20)] + [""]
    assert caplog.messages == ["groups from HMDB51's names: 20 sources; 1 videos without, each a source of its own"]


def test_auto_knows_ucf101(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    grouped = group_by(named("Dive/v_Dive_g01_c01.avi", "Dive/v_Dive_g01_c02.avi", "Run/v_Run_g01_c01.avi"))
    assert groups(grouped) == ["Dive_g01", "Dive_g01", "Run_g01"]
    assert caplog.messages == ["groups from UCF101's names: 2 sources"]


def test_auto_leaves_other_names_alone() -> None:
    mixed = named("Dive/v_Dive_g01_c01.avi", "Dive/clip.avi", "Run/clip.avi")
    assert group_by(mixed) is mixed


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"seq(\d+)", ["01", "02", ""]),
        (r"seq\d+", ["seq01", "seq02", ""]),
        (r"(set)\d+_(?P<group>\d+)", ["7", "", ""]),
        (r"^(\w+)/", ["hug", "push", "push"]),
        (r"set(9)?", ["", "9", ""]),
    ],
)
def test_a_pattern_finds_the_source_in_the_path(pattern: str, expected: list[str]) -> None:
    assert groups(group_by(named("hug/seq01_set1_7.avi", "push/seq02_set9.avi", "push/c.avi"), pattern)) == expected


def test_groups_that_the_data_states_stay() -> None:
    stated = Entry("hug/seq01_a.avi", "hug", "beach"), Entry("hug/seq01_b.avi", "hug")
    manifest = Manifest.from_entries(Path("data"), stated)
    assert groups(group_by(manifest, r"seq(\d+)")) == ["beach", "01"]
    assert groups(group_by(manifest, "none")) == ["beach", ""]
    assert group_by(manifest, "auto") is manifest
    all_stated = named("Dive/v_Dive_g01_c01.avi", group="pool")
    assert group_by(all_stated) is all_stated


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("seq(", r"--group-by 'seq\(' is no regular expression"),
        ("film", "'film' fits no path of data, such as hug/a.avi"),
    ],
)
def test_bad_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        group_by(named("hug/a.avi"), pattern)
