from pathlib import Path

import pytest
from PIL import Image

from actrec_zoo.data.class_plot import plot_classes
from actrec_zoo.data.inspection import ClassCounts, Spread, balance, inspect_manifest
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.spans import cut_to_spans
from tests.conftest import moving_square, write_frames, write_video

REPORT = """
brush_hair 13250, cartwheel 3716, catch 1981, chew 4951, climb 8137, climb_stairs 3946, draw_sword 3763, eat 4450,
fencing 3861, flic_flac 3386, golf 4024, handstand 4122, kiss 9001, pick 4437, pour 8551, pullup 3993, pushup 4661,
ride_bike 4818, shoot_bow 8777, shoot_gun 4708, situp 4638, smile 3562, smoke 7250, throw 4951, wave 3876
"""
HMDB_SIMP = tuple(
    ClassCounts(label, 50, int(frames)) for label, frames in (item.split() for item in REPORT.split(",") if item)
)


def test_the_rule_names_the_classes_that_the_report_names() -> None:
    assert sum(c.frames for c in HMDB_SIMP) == 132_810
    assert balance(HMDB_SIMP, "frames") == {
        "over": ["brush_hair", "kiss", "shoot_bow", "pour", "climb", "smoke"],
        "under": ["catch"],
    }
    assert balance(HMDB_SIMP, "videos") == {"over": [], "under": []}


def test_a_data_set_is_described(tmp_path: Path) -> None:
    write_video(tmp_path / "run" / "a.mp4", moving_square(50, step=1, side=64))
    write_video(tmp_path / "run" / "b.mp4", moving_square(25, step=1))
    write_frames(tmp_path / "jump" / "c", moving_square(5, step=1))
    (tmp_path / "jump" / "d.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").touch()
    found = inspect_manifest(probe(read_manifest(tmp_path)))
    assert found.classes == (ClassCounts("jump", 1, 5), ClassCounts("run", 2, 75))
    assert found.frames == Spread(5, 25, 50)
    assert found.seconds == Spread(1, 1.5, 2)
    assert found.width == found.height == Spread(32, 32, 64)
    assert found.sizes == {"32x32": 2, "64x64": 1}
    assert found.skipped == {"other file": 1}
    ((path, error),) = found.unreadable
    assert path == "jump/d.mp4" and str(tmp_path / "jump" / "d.mp4") in error
    assert found.to_dict()["videos"] == 3


def test_parts_splits_and_groups_are_counted(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(50, step=1))
    rows = "a.mp4,run,train,0,1\na.mp4,jump,test,1,1.4\n"
    (tmp_path / "manifest.csv").write_text(f"path,label,split,start,end\n{rows}")
    found = inspect_manifest(cut_to_spans(probe(read_manifest(tmp_path))))
    assert found.classes == (ClassCounts("jump", 1, 10), ClassCounts("run", 1, 25))
    assert found.seconds == Spread(0.4, 0.7, 1)
    assert (found.splits, found.groups) == ({"train": 1, "test": 1}, 1)


def test_nothing_readable_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.mp4").write_bytes(b"no video")
    found = inspect_manifest(probe(read_manifest(tmp_path)))
    assert (found.frames, found.seconds, found.width) == (None, None, None)
    assert found.to_dict()["balance"]["frames"] == {"over": [], "under": []}
    plot_classes(tmp_path / "classes.png", found.classes)


@pytest.mark.parametrize("odd", ["caf\udce9", "$a_b$"])
def test_the_picture_is_drawn_whatever_the_classes_are_called(tmp_path: Path, odd: str) -> None:
    file = tmp_path / "plots" / "classes.png"
    plot_classes(file, [*HMDB_SIMP, ClassCounts(odd, 1, 10)])
    with Image.open(file) as picture:
        assert picture.format == "PNG" and min(picture.size) > 500
