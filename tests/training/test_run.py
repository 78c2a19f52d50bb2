"""What a run has seen."""

from pathlib import Path

import numpy as np
import pytest

from actrec_zoo.data.manifest import Entry, Manifest, Span, path_of
from actrec_zoo.data.splits import write_splits
from actrec_zoo.files import write_json
from actrec_zoo.training.run import count_seen

PARTS = (Span(0, 5), Span(5), Span(0.5, 1.25, seconds=True), Span(2, seconds=True))


def listed(*entries: Entry, root: Path = Path("data")) -> Manifest:
    return Manifest.from_entries(root, entries)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_the_path_in_a_name(part: Span) -> None:
    assert path_of(Entry("a/b.mp4", "a", span=part).name) == "a/b.mp4"
    assert path_of("a/b#1.mp4") == "a/b#1.mp4" and path_of("a/b#t=1,2.mp4") == "a/b#t=1,2.mp4"


@pytest.mark.parametrize("trained", [*PARTS, None], ids=str)
@pytest.mark.parametrize("evaluated", [*PARTS, None], ids=str)
def test_another_part_of_a_video_is_seen_too(tmp_path: Path, trained: Span | None, evaluated: Span | None) -> None:
    mine = listed(Entry("a/1.mp4", "a", span=trained), Entry("a/2.mp4", "a", span=trained))
    write_splits(tmp_path / "splits", mine, {"train": np.array([0]), "val": np.array([1])})
    theirs = listed(*(Entry(f"a/{number}.mp4", "a", span=evaluated) for number in range(4)))
    assert count_seen(tmp_path, theirs, np.array([0, 1, 2, 3])) == 2
    assert count_seen(tmp_path, theirs, np.array([0, 3])) == 0


def test_a_part_is_known_by_its_place_on_the_disk(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    mine = listed(Entry("a/1.mp4", "a", span=PARTS[0]), root=data)
    write_splits(tmp_path / "run" / "splits", mine, {"train": np.array([0])})
    write_json(tmp_path / "run" / "run.json", {"config": {"data": str(data)}})
    theirs = listed(Entry(f"{data}/a/1.mp4", "a", span=PARTS[1]), root=tmp_path)
    assert count_seen(tmp_path / "run", theirs, np.array([0])) == 1


def test_a_run_without_splits_knows_nothing(tmp_path: Path) -> None:
    assert count_seen(tmp_path, listed(Entry("a/1.mp4", "a")), np.array([0])) is None
