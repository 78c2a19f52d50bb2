"""Classes of a data set as classes of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.label_map import match_classes, read_label_map, relabelled
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.errors import DataError

KNOWN = ["jump", "run", "sit"]


@pytest.fixture
def manifest() -> Manifest:
    """Two videos of each of `jog`, `jump` and `wave`."""
    return Manifest.from_entries(
        Path("data"), [Entry(f"{label}/{i}.mp4", label) for i in range(2) for label in ("wave", "jog", "jump")]
    )


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "labels.toml"
    file.write_text(text)
    return file


def test_the_table_of_a_file_is_read(tmp_path: Path) -> None:
    file = written(tmp_path, '\ufeff[labels]\n"jog" = "run"\nwave = ""\n"a.b c" = "é"\n')
    assert read_label_map(file) == {"jog": "run", "wave": "", "a.b c": "é"}
    assert read_label_map(written(tmp_path, "[labels]")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[labels]\njog = run", "is no TOML"),
        ("", "write one table, \\[labels\\]"),
        ('jog = "run"', "write one table"),
        ('[labels]\n[other]\njog = "run"', "write one table"),
        ('labels = ["jog"]', "write one table"),
        ('[labels]\njog = ["run"]', "what 'jog' is has to be a name"),
        ("[labels]\na.b = 'c'", "what 'a' is has to be a name"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"labels\.toml.*{message}"):
        read_label_map(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read --map-labels .*labels\.toml: No such file"):
        read_label_map(tmp_path / "labels.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"bytes\.toml is no TOML"):
        read_label_map(tmp_path / "bytes.toml")


def test_without_a_table_classes_have_to_be_equal(manifest: Manifest) -> None:
    assert match_classes(manifest, ["wave", "jump", "jog"]) == {"jog": "jog", "jump": "jump", "wave": "wave"}
    with pytest.raises(DataError) as caught:
        match_classes(manifest, KNOWN)
    assert "data has 2 classes (jog, wave) that the model does not know." in str(caught.value)
    assert "The model knows 2 classes (run, sit) without a video in data." in str(caught.value)
    assert "--map-labels" in str(caught.value)
    with pytest.raises(DataError, match=r"^The model knows 1 class \(sit\) without a video in data. Say which"):
        match_classes(manifest, ["wave", "jump", "jog", "sit"])
    with pytest.raises(DataError, match=r"^data has 1 class \(wave\) that the model does not know. Say which"):
        match_classes(manifest, ["jump", "jog"])


def test_classes_that_are_too_many_can_be_narrowed(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="--classes FILE keeps the classes that it lists"):
        match_classes(manifest, ["jump", "jog"])
    with pytest.raises(DataError) as caught:
        match_classes(manifest, ["jump", "jog", "sit"])
    assert "--classes" not in str(caught.value), "the model would still know one that is not there"


def test_long_lists_are_whole(manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"27 classes \(0, 1, .*, 19, 20, .*, 26\)"):
        match_classes(manifest, [*map(str, range(27)), *manifest.classes])


def test_a_table_names_what_differs(manifest: Manifest) -> None:
    assert match_classes(manifest, KNOWN, {"jog": "run", "wave": ""}) == {"jog": "run", "jump": "jump", "wave": ""}
    assert match_classes(manifest, [*manifest.classes, "sit"], {}) == {name: name for name in manifest.classes}
    assert match_classes(manifest, KNOWN, {"jog": "run", "wave": "run", "jump": "run"}) == dict.fromkeys(
        manifest.classes, "run"
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"jogg": "run"}, "'jogg' is no class of data. Did you mean jog"),
        ({"jog": "runn"}, "'jog' = 'runn' is no class of the model. Did you mean run"),
        ({"jog": "run"}, r"data has 1 class \(wave\) that the model does not know and here.toml does not name"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(manifest: Manifest, table: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_classes(manifest, KNOWN, table, where="here.toml")


def test_a_table_of_the_whole_data_goes_with_a_part_of_it(manifest: Manifest) -> None:
    table = {"jog": "run", "wave": "", "swim": "sit"}
    assert match_classes(manifest, KNOWN, table, narrowed=True)["jog"] == "run"
    with pytest.raises(DataError, match="'swim' is no class"):
        match_classes(manifest, KNOWN, table)


def test_videos_get_the_models_classes(manifest: Manifest) -> None:
    videos = np.array([0, 1, 2, 5])
    renamed, same, left_out = relabelled(manifest, videos, KNOWN, {"jog": "run", "wave": "run", "jump": "jump"})
    assert (renamed.classes, same.tolist(), left_out) == (tuple(KNOWN), videos.tolist(), {})
    assert [entry.label for entry in renamed.entries(same)] == ["run", "run", "jump", "jump"]


def test_videos_that_are_left_out_are_gone_and_counted(manifest: Manifest) -> None:
    matched = {"jog": "run", "wave": "", "jump": "jump"}
    rest, kept, left_out = relabelled(manifest, np.array([0, 1, 3, 5]), KNOWN, matched)
    assert left_out == {"wave": 2}
    assert [(entry.path, entry.label) for entry in rest.entries(kept)] == [("jog/0.mp4", "run"), ("jump/1.mp4", "jump")]
    with pytest.raises(DataError, match="leaves out every video that would be evaluated, 1 in all"):
        relabelled(manifest, np.array([0]), KNOWN, matched)
