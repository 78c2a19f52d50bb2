from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.allocation import make_folds, make_splits
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.splits import SPLIT_NAMES, Splits
from actrec_zoo.errors import DataError
from tests.data.manifests import as_lists, grouped, plain


def counts(manifest: Manifest, splits: Splits) -> list[list[int]]:
    """Videos of each class in train, val and test."""
    return [
        [int((manifest.labels[splits[name]] == label).sum()) for name in SPLIT_NAMES]
        for label in range(len(manifest.classes))
    ]


def share_no_group(manifest: Manifest, splits: Splits) -> bool:
    seen = [set(manifest.groups[splits[name]].tolist()) - {-1} for name in SPLIT_NAMES]
    return not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


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


def test_the_same_splits_on_every_machine() -> None:
    manifest = grouped([1] * 6 + [3], [2] * 4)
    splits = make_splits(manifest, seed=3)
    assert as_lists(splits) == {"train": [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12], "val": [0, 13, 14], "test": [4, 15, 16]}


@pytest.mark.parametrize("groups", ["none", "of one", "of ten"])
def test_a_hundred_thousand_videos(groups: str) -> None:
    group = {"none": "", "of one": "{v}", "of ten": "{c}-{ten}"}[groups]
    entries = (Entry(f"v{v}", f"c{v % 50:02}", group.format(v=v, c=v % 50, ten=v // 500)) for v in range(100_000))
    manifest = Manifest.from_entries(Path("data"), entries)
    splits = make_splits(manifest)
    assert share_no_group(manifest, splits)
    assert {name: len(videos) for name, videos in splits.items()} == pytest.approx(
        {"train": 80_000, "val": 10_000, "test": 10_000}, rel=0.25
    )


@pytest.mark.parametrize("count", [3, 5, 10])
def test_folds_test_each_video_once(count: int) -> None:
    manifest = plain(23, 40, 11)
    folds = make_folds(manifest, count)
    assert len(folds) == count
    assert sorted(np.concatenate([fold["test"] for fold in folds]).tolist()) == list(range(74))
    sizes = [len(fold["test"]) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for number, fold in enumerate(folds):
        assert fold["val"].tolist() == folds[(number + 1) % count]["test"].tolist()
        assert sorted(np.concatenate(list(fold.values())).tolist()) == list(range(74))
        for train, val, test in counts(manifest, fold):
            assert abs(val - test) <= 1 and min(train, val, test) > 0


def test_folds_keep_groups_together_and_the_seed_decides() -> None:
    manifest = grouped([3] * 12, [2] * 20)
    folds = make_folds(manifest, 4, seed=5)
    assert all(share_no_group(manifest, fold) for fold in folds)
    assert [counts(manifest, fold) for fold in folds] == [[[18, 9, 9], [20, 10, 10]]] * 4
    assert [as_lists(fold) for fold in make_folds(manifest, 4, seed=5)] == [as_lists(fold) for fold in folds]
    assert [as_lists(fold) for fold in make_folds(manifest, 4, seed=6)] != [as_lists(fold) for fold in folds]


def test_folds_that_a_class_cannot_fill_are_refused() -> None:
    with pytest.raises(DataError, match="2 folds are too few"):
        make_folds(plain(10), 2)
    with pytest.raises(DataError, match="class 'c1' has 4 videos, too few to be in each of 5 folds"):
        make_folds(plain(10, 4), 5)
    with pytest.raises(DataError, match="class 'c0' has too few source groups to be in each of 5 folds"):
        make_folds(grouped([5] * 4), 5)
