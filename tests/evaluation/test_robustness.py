"""What corruptions cost: against a hand-computed case, and on data whose classes are motions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import actrec_zoo
from actrec_zoo.data.dataset import ClipDataset, Failure
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.evaluation.corruption import Corruption
from actrec_zoo.evaluation.evaluator import VideoEvaluator
from actrec_zoo.evaluation.predictions import Videos
from actrec_zoo.evaluation.protocol import LevelName
from actrec_zoo.evaluation.robustness import accuracy_lost
from tests.conftest import Outcome
from tests.evaluation.conftest import TINY

Invoke = Callable[..., Outcome]
VIDEOS = Videos(
    ("a", "b"),
    PackedStrings(["1", "2", "3", "4", "5"]),
    PackedStrings(["g", "g", "", "h", ""]),
    np.array([0, 1, 0, 1, 0]),
)


def evaluator(hits: list[list[bool]]) -> VideoEvaluator:
    """Scores of which each clip of each video is right or wrong; the last video cannot be read."""
    made = VideoEvaluator(VIDEOS.labels, np.arange(5), VIDEOS.truth)
    made.fail(Failure(4, "5", "cannot decode"))
    for video, clips in enumerate(hits):
        truth = int(VIDEOS.truth[video])
        for view, hit in enumerate(clips):
            logits = torch.zeros(1, 2)
            logits[0, truth if hit else 1 - truth] = 1.0
            made.update(torch.tensor([video]), torch.tensor([view]), logits, torch.tensor([truth]))
    return made


@pytest.mark.parametrize(("level", "lost"), [("clip", 3 / 9), ("video", 2 / 5)])
def test_what_is_lost_of_the_headline_by_hand(level: LevelName, lost: float) -> None:
    """Of 8 clips, and a ninth that stands for the unread video, 6 are right, then 3; of 5 videos 3, then 1.

    Four sources are too few for an interval.
    """
    before = evaluator([[True, True, True], [True], [False], [True, True, False]]).predictions(VIDEOS)
    gathered = {"blur:3": evaluator([[False, False, True], [False], [False], [True, False, True]])}
    (row,) = accuracy_lost([Corruption("blur", 3)], gathered, before, level)
    assert (row["name"], row["severity"]) == ("blur", 3) and row["description"].startswith("gaussian blur")
    assert (row["clip"]["n"], row["clip"]["top1"]) == (9, pytest.approx(3 / 9))
    assert (row["video"]["n"], row["video"]["top1"]) == (5, pytest.approx(1 / 5))
    assert row["lost_top1"] == pytest.approx(lost)
    assert row["lost_top1_interval"] is None


def test_where_nothing_can_be_read_nothing_is_lost() -> None:
    nothing = evaluator([])
    for video in range(4):
        nothing.fail(Failure(video, str(video), "cannot decode"))
    for level in ("clip", "video"):
        (row,) = accuracy_lost([Corruption("freeze")], {"freeze": nothing}, nothing.predictions(VIDEOS), level)
        assert row["lost_top1"] == 0.0
        assert row["lost_top1_interval"] is None


def test_the_interval_of_a_loss_is_of_the_paired_difference() -> None:
    """All of 40 videos lose a hit, or none does: the sign is that of a loss, and the bound that of 40 sources."""
    names = PackedStrings(map(str, range(40)))
    videos = Videos(("a", "b"), names, PackedStrings([""] * 40), np.zeros(40, dtype=np.int64))
    right, wrong = (VideoEvaluator(videos.labels, np.arange(40), videos.truth) for _ in range(2))
    ids, truth = torch.arange(40), torch.zeros(40, dtype=torch.int64)
    right.update(ids, truth, torch.tensor([[1.0, 0.0]]).expand(40, 2), truth)
    wrong.update(ids, truth, torch.tensor([[0.0, 1.0]]).expand(40, 2), truth)
    gathered = {"reverse": wrong, "freeze": right}
    corruptions = [Corruption("reverse"), Corruption("freeze")]
    worse, same = accuracy_lost(corruptions, gathered, right.predictions(videos), "video")
    unlike = 1 - 0.025 ** (1 / 40)
    assert worse["lost_top1"] == 1 and worse["lost_top1_interval"] == pytest.approx((1 - 2 * unlike, 1))
    assert same["lost_top1"] == 0 and same["lost_top1_interval"] == pytest.approx((-unlike, unlike))


@pytest.fixture(scope="module")
def motions(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells squares that move left from those that move right."""
    out = tmp_path_factory.mktemp("runs") / "motions"
    settings = TINY | {"options.width": 8, "lr": 0.01, "augment": []}
    return actrec_zoo.train("tiny_conv3d", squares, out=out, epochs=8, batch_size=4, **settings).path


def test_a_model_of_motion_is_wrong_of_reversed_videos(
    motions: Path, squares: Path, tmp_path: Path, invoke: Invoke
) -> None:
    words = ("eval", motions, "--data", squares, "--split", "all", "--workers", "0", "--out", tmp_path / "result")
    done = invoke(*words, "--corrupt", "order", "--corrupt", "jpeg:1")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "result" / "eval.json").read_text())
    assert result["video"]["top1"] > 0.9
    rows = {row["name"]: row for row in result["corruptions"]}
    assert list(rows) == ["shuffle", "reverse", "freeze", "jpeg"]
    assert rows["reverse"]["lost_top1"] > 0.8 and rows["reverse"]["lost_top1_interval"][0] > 0.5
    assert 0.3 < rows["freeze"]["lost_top1"] < 0.7, "of two classes, half are guessed"
    assert abs(rows["jpeg"]["lost_top1"]) < 0.1 and rows["jpeg"]["severity"] == 1
    assert rows["reverse"]["severity"] is None
    table = [
        line.split()[0] for line in done.out.splitlines() if line.strip().startswith(("reverse", "freeze", "jpeg:1"))
    ]
    assert table == ["reverse", "freeze", "jpeg:1"], "worst first"


def test_clips_are_decoded_once_for_all_and_figures_stay_as_they_were(
    motions: Path, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"split": "all", "workers": 0, "device": "cpu"}
    model = actrec_zoo.load(motions, device="cpu")
    plain = actrec_zoo.evaluate(model, squares, **settings)
    assert "corruptions" not in plain
    decoded: list[tuple[int, int]] = []
    read = ClipDataset._read

    def noted(clips: ClipDataset, video: int, run: int, key: tuple[int, int, int]) -> torch.Tensor:
        decoded.append((video, run))
        return read(clips, video, run, key)

    monkeypatch.setattr(ClipDataset, "_read", noted)
    both = actrec_zoo.evaluate(model, squares, corrupt=["slow", "shuffle"], **settings)
    assert len(decoded) == len(set(decoded)) == plain["clip"]["n"]
    slow, _ = both.pop("corruptions")
    assert both == plain and slow["clip"]["n"] == plain["clip"]["n"]


def test_an_unknown_corruption_is_told_before_anything_is_read(invoke: Invoke) -> None:
    done = invoke("eval", "nothing", "--data", "nowhere", "--corrupt", "freez")
    assert done.code == 2 and "no corruption 'freez'. Did you mean freeze" in done.err
