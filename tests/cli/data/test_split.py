"""`actrec-zoo data split` as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.splits import read_splits
from tests.conftest import Outcome

Invoke = Callable[..., Outcome]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 20 files; nothing of them is read but the names, which have two clips a sequence."""
    for label in ("hug", "push"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "data" / label / f"seq{number // 2:02}_{number}.avi").touch()
    return tmp_path / "data"


def test_split_files_that_train_and_check_read(data: Path, tmp_path: Path, invoke: Invoke) -> None:
    code, out, err = invoke("data", "split", data, "--out", tmp_path / "s", "--group-by", r"seq(\d+)")
    assert code == 0 and err.splitlines()[1:] == ["groups from the pattern seq(\\d+): 10 sources"]
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["train", "32", "80.0%", "8", "2", "16"],
        ["val", "4", "10.0%", "1", "2", "2"],
        ["test", "4", "10.0%", "1", "2", "2"],
    ]
    manifest, splits = read_splits(tmp_path / "s", read_manifest(data))
    assert {name: len(videos) for name, videos in splits.items()} == {"train": 32, "val": 4, "test": 4}
    assert len(manifest.group_names) == 10


def test_the_seed_and_the_ratios_decide(data: Path, tmp_path: Path, invoke: Invoke) -> None:
    for name, flags in {"a": (), "b": (), "c": ("--seed", 1), "d": ("--ratios", "0.5/0.25/0.25")}.items():
        assert invoke("data", "split", data, "--out", tmp_path / name, *flags).code == 0
    files = {name: (tmp_path / name / "test.csv").read_bytes() for name in "abcd"}
    assert files["a"] == files["b"] != files["c"]
    assert len(files["d"].splitlines()) == 11


def test_folds(data: Path, tmp_path: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("data", "split", data, "--out", tmp_path / "s", "--folds", 4)
    assert code == 0 and "fold4/test" in out
    tested = [line for n in range(1, 5) for line in (tmp_path / "s" / f"fold{n}" / "test.csv").read_text().split()[1:]]
    assert len(tested) == len(set(tested)) == 40


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--ratios", "80-10-10"), "'80-10-10' is not of the form 80/10/10"),
        (("--ratios", "80/20"), "three positive numbers"),
        (("--ratios", "80/20/0"), "three positive numbers"),
        (("--ratios", "nan/1/1"), "three positive numbers"),
        (("--folds", "5", "--ratios", "8/1/1"), "leave out --ratios"),
        (("--folds", "30"), "class 'hug' has 20 videos, too few to be in each of 30 folds"),
        (("--group-by", "seq("), "no regular expression"),
        (("--group-by", "film"), "fits no path"),
        (("--group-by", "(seq)"), "too few source groups"),
    ],
)
def test_what_does_not_work_leaves_nothing(
    data: Path, tmp_path: Path, invoke: Invoke, flags: tuple[str, ...], message: str
) -> None:
    code, _, err = invoke("data", "split", data, "--out", tmp_path / "s", *flags)
    assert code == 2 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: ") and message in err.splitlines()[-1]
    assert not (tmp_path / "s").exists()


def test_split_files_are_not_overwritten(data: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("data", "split", data, "--out", tmp_path / "s").code == 0
    for flags in ((), ("--folds", 3)):
        code, _, err = invoke("data", "split", data, "--out", tmp_path / "s", *flags)
        assert code == 2 and "holds split files already" in err
