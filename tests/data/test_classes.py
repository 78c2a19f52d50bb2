from pathlib import Path

import pytest

from actrec_zoo.data.classes import read_classes
from actrec_zoo.errors import DataError


def test_the_classes_of_the_study() -> None:
    classes = read_classes("hmdb_simp")
    assert len(classes) == 25 and list(classes) == sorted(classes)
    assert {"brush_hair", "catch", "ride_bike", "wave"} < set(classes)


def test_a_file_with_a_class_a_line(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("\ufeffrun fast\r\n\r\n jump \n", encoding="utf-8")
    assert read_classes(str(file)) == ("run fast", "jump")


@pytest.mark.parametrize(
    ("text", "message"), [("a\nb\n\na\n", r"classes\.txt, line 4: the class 'a' is there twice"), (" \n", "no class")]
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_classes(str(tmp_path / "classes.txt"))


def test_a_name_that_is_nothing_says_what_there_is() -> None:
    with pytest.raises(DataError, match=r"cannot read --classes hmdb: give a text file .*, or hmdb_simp"):
        read_classes("hmdb")
