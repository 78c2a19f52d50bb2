import json
from pathlib import Path
from typing import Any

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Entry
from actrec_zoo.errors import DataError
from tests.data.layouts.test_hmdb_ucf import entries, touch, write

LONG = "something-something-v2-"


def write_json(file: Path, value: Any) -> None:
    write(file, json.dumps(value))


@pytest.fixture(params=["", LONG], ids=["short names", "names of the archive"])
def something(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder, prefix = tmp_path / "labels", request.param
    write_json(folder / f"{prefix}labels.json", {"Holding something": "0", "Moving something up": "1"})
    train = [{"id": "7", "label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}]
    write_json(folder / f"{prefix}train.json", train)
    write_json(folder / f"{prefix}validation.json", [{"id": "8", "template": "Moving [something] up"}])
    write_json(folder / f"{prefix}test.json", [{"id": "9"}, {"id": "10"}])
    write(folder / f"{prefix}test-answers.csv", "9;Holding something")
    touch(*(tmp_path / "20bn-something-something-v2" / f"{number}.webm" for number in (7, 8, 9, 10)))
    return tmp_path


def test_templates_lose_their_brackets_and_lists_are_splits(something: Path) -> None:
    manifest = read_manifest(something)
    folder = "20bn-something-something-v2"
    assert entries(manifest) == [
        Entry(f"{folder}/7.webm", "Holding something", "", "train"),
        Entry(f"{folder}/8.webm", "Moving something up", "", "val"),
        Entry(f"{folder}/9.webm", "Holding something", "", "test"),
    ]
    assert manifest.skipped == {"video without label": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"template": "Holding [something]"}], r"train\.json, item 0: there is no id"),
        (
            [{"id": "7", "template": "Eating [something]"}],
            r"item 0: the class 'Eating something' is not in .*labels\.json",
        ),
    ],
)
def test_bad_items_are_named(something: Path, value: Any, message: str) -> None:
    write_json(next((something / "labels").glob("*train.json")), value)
    with pytest.raises(DataError, match=message):
        read_manifest(something)


@pytest.mark.parametrize("name", ["train", "labels"])
@pytest.mark.parametrize("text", ["[", "7", "[" * 9000])
def test_a_file_that_is_no_list_is_named(something: Path, name: str, text: str) -> None:
    write(next((something / "labels").glob(f"*{name}.json")), text)
    with pytest.raises(DataError, match=rf"cannot read .*{name}\.json"):
        read_manifest(something)
    with pytest.raises(DataError, match=r"holds no labels\.json and train\.json"):
        read_manifest(something / "20bn-something-something-v2", layout="something")
