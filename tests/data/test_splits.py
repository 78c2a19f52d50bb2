from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.splits import SPLIT_NAMES, Splits, make_splits, read_splits, write_splits
from actrec_zoo.errors import DataError


def plain(*counts: int) -> Manifest:
    """A manifest of classes with so many videos, without groups."""
    entries = [Entry(f"c{c}/v{v}", f"c{c}") for c, count in enumerate(counts) for v in range(count)]
    return Manifest.from_entries(Path("data"), entries)


def grouped(*sizes: Sequence[int]) -> Manifest:
    """A manifest of classes, each of groups with so many videos; groups of one class are not those of another."""
    entries = [
        Entry(f"c{c}/g{g}v{v}", f"c{c}", f"c{c}g{g}")
        for c, groups in enumerate(sizes)
        for g, size in enumerate(groups)
        for v in range(size)
    ]
    return Manifest.from_entries(Path("data"), entries)


def counts(manifest: Manifest, splits: Splits) -> list[list[int]]:
    """Videos of each class in train, val and test."""
    return [
        [int((manifest.labels[splits[name]] == label).sum()) for name in SPLIT_NAMES]
        for label in range(len(manifest.classes))
    ]


def share_no_group(manifest: Manifest, splits: Splits) -> bool:
    seen = [set(manifest.groups[splits[name]].tolist()) - {-1} for name in SPLIT_NAMES]
    return not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def as_lists(splits: Splits) -> dict[str, list[int]]:
    return {name: indices.tolist() for name, indices in splits.items()}


def test_fifty_videos_a_class_give_forty_five_five() -> None:
    manifest = plain(50, 50, 50)
    splits = make_splits(manifest)
    assert counts(manifest, splits) == [[40, 5, 5]] * 3
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(150))


@pytest.mark.parametrize(
    ("videos", "ratios", "expected"),
    [
        (3, (0.8, 0.1, 0.1), [1, 1, 1]),
        (4, (0.8, 0.1, 0.1), [2, 1, 1]),
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (15, (0.8, 0.1, 0.1), [11, 2, 2]),
        (10, (6, 2, 2), [6, 2, 2]),
        (10, (0.5, 0.25, 0.25), [4, 3, 3]),
        (4, (0.1, 0.45, 0.45), [1, 1, 2]),
        (3, (0.01, 0.98, 0.01), [1, 1, 1]),
    ],
)
def test_every_split_gets_its_share_and_at_least_one(videos: int, ratios: Sequence[float], expected: list[int]) -> None:
    manifest = plain(videos, videos)
    assert counts(manifest, make_splits(manifest, ratios)) == [expected] * 2


def test_the_seed_decides_and_nothing_else() -> None:
    manifest = plain(30, 30)
    first = as_lists(make_splits(manifest, seed=1))
    np.random.default_rng().random()
    assert as_lists(make_splits(plain(30, 30), seed=1)) == first
    assert as_lists(make_splits(manifest, seed=2)) != first


def test_videos_are_drawn_from_everywhere() -> None:
    tested = Counter(int(i) for seed in range(60) for i in make_splits(plain(10), seed=seed)["test"])
    assert set(tested) == set(range(10))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "sizes",
    [
        [[5] * 10, [5] * 10],
        [[4, 5, 6, 7] * 6 + [4]] * 3,
        [[10] * 5],
        [[4, 4, 4]],
        [[20, 1, 1], [1, 1, 20]],
        [[1] * 30, [10] * 3],
    ],
    ids=str,
)
def test_groups_stay_together_and_every_class_is_everywhere(sizes: list[list[int]], seed: int) -> None:
    manifest = grouped(*sizes)
    splits = make_splits(manifest, seed=seed)
    assert share_no_group(manifest, splits)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(manifest)))
    assert min(min(row) for row in counts(manifest, splits)) > 0


def test_groups_come_near_the_shares() -> None:
    manifest = grouped([5] * 20, [3] * 40)
    for train, val, test in counts(manifest, make_splits(manifest)):
        assert train == pytest.approx(0.8 * (train + val + test), rel=0.1)
        assert abs(val - test) <= 5


@pytest.mark.parametrize("seed", range(5))
def test_a_scene_filmed_once_a_class_goes_to_one_split(seed: int) -> None:
    entries = [Entry(f"c{c}/s{s}", f"c{c}", f"s{s}") for c in range(8) for s in range(40)]
    manifest = Manifest.from_entries(Path("data"), entries)
    splits = make_splits(manifest, seed=seed)
    assert counts(manifest, splits) == [[32, 4, 4]] * 8
    assert share_no_group(manifest, splits)


def test_a_video_without_a_group_is_a_group_of_its_own() -> None:
    entries = [Entry(f"c/v{v}", "c", "g" if v < 5 else "") for v in range(50)]
    manifest = Manifest.from_entries(Path("data"), entries)
    splits = make_splits(manifest)
    assert share_no_group(manifest, splits)
    assert counts(manifest, splits) == [[40, 5, 5]]


def test_too_few_videos_are_named() -> None:
    with pytest.raises(DataError, match="class 'c1' has 2 videos, too few to split"):
        make_splits(plain(10, 2))


def test_too_few_groups_are_named() -> None:
    with pytest.raises(DataError, match="class 'c1' has too few source groups to be in train, val and test"):
        make_splits(grouped([1] * 10, [8, 8]))


@pytest.mark.parametrize("ratios", [(0.8, 0.2), (0.8, 0.2, 0), (1.0, -0.5, 0.5)])
def test_ratios_must_be_three_positive_numbers(ratios: Sequence[float]) -> None:
    with pytest.raises(DataError, match="three positive numbers"):
        make_splits(plain(10), ratios)


def test_splits_are_read_as_they_were_written(tmp_path: Path) -> None:
    manifest = grouped([3] * 10, [4] * 8)
    splits = make_splits(manifest)
    write_splits(tmp_path / "splits", manifest, splits)
    again, read = read_splits(tmp_path / "splits", manifest)
    assert as_lists(read) == as_lists(splits)
    assert [again.entry(i) for i in range(len(again))] == [manifest.entry(i) for i in range(len(manifest))]
    first = (tmp_path / "splits" / "val.csv").read_text().splitlines()[:2]
    assert first[0] == "path,label,group"
    assert first[1].split(",") == list(manifest.entry(int(splits["val"][0]))[:3])


def test_names_with_commas_quotes_and_other_alphabets_survive(tmp_path: Path) -> None:
    odd = [Entry(f'a, "b"/ü{v} 日本', 'a, "b"', "x\ny") for v in range(4)]
    manifest = Manifest.from_entries(Path("data"), odd)
    write_splits(tmp_path, manifest, {"train": np.arange(4)})
    again, read = read_splits(tmp_path, manifest)
    assert read["train"].tolist() == [0, 1, 2, 3]
    assert again.entry(0) == odd[0]


def test_file_names_that_are_no_unicode_survive(tmp_path: Path) -> None:
    manifest = Manifest.from_entries(Path("data"), [Entry("run/caf\udce9.avi", "run")])
    write_splits(tmp_path, manifest, {"test": np.array([0])})
    assert b"caf\xe9.avi" in (tmp_path / "test.csv").read_bytes()
    assert read_splits(tmp_path, manifest)[1]["test"].tolist() == [0]


def test_groups_of_the_split_files_become_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label,group\nc0/v0,c0,beach\n")
    manifest, splits = read_splits(tmp_path, plain(2))
    assert [manifest.entry(i).group for i in range(2)] == ["beach", ""]
    assert list(splits) == ["train"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("c0/v0,c0,\nc0/gone,c0,", "c0/v1,c0,", r"train\.csv names 1 videos that are not in data: c0/gone"),
        ("c0/v0,c0,", "c0/v1,c1,", r"test\.csv, line 2: c0/v1 is 'c1' here and 'c0' in the data"),
        ("c0/v0,c0,\nc0/v1,c0,", "c0/v1,c0,", "train and test share the video c0/v1"),
        ("c0/v0,c0,\nc0/v1,c0,", "./c0/v1,c0,", "train and test share the video c0/v1"),
        ("c0/v0,c0,park", "c0/v1,c0,park", "train and test share the source group park"),
        ("c0/v0,c0,\nc0/v0,c0,", "c0/v1,c0,", r"train\.csv names c0/v0 more than once"),
    ],
    ids=["missing video", "other label", "shared video", "same video spelt otherwise", "shared group", "twice"],
)
def test_bad_split_files_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    (tmp_path / "train.csv").write_text(f"path,label,group\n{train}\n")
    (tmp_path / "test.csv").write_text(f"path,label,group\n{test}\n")
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path, plain(3, 3))


def test_groups_that_only_the_data_states_are_not_shared_either(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label\nc0/g0v0,c0\n")
    (tmp_path / "val.csv").write_text("path,label\nc0/g0v1,c0\n")
    with pytest.raises(DataError, match="train and val share the source group c0g0"):
        read_splits(tmp_path, grouped([2, 2]))


def test_folder_without_split_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of train\.csv, val\.csv and test\.csv"):
        read_splits(tmp_path / "nowhere", plain(3))
