"""Real clips: UT-Interaction, from ACTREC_ZOO_TEST_DATA; skipped without it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

import actrec_zoo
from actrec_zoo.data.allocation import make_splits
from actrec_zoo.data.decode import open_source
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.splits import read_splits

BACKBONE = "weights/squeezenet1_1_imagenet_features.safetensors"


@pytest.fixture
def clips(test_data: Path) -> Manifest:
    return probe(read_manifest(test_data / "data" / "ut-interaction"))


def test_every_clip_is_found_and_counted_exactly(clips: Manifest) -> None:
    assert len(clips) == 120 and len(clips.classes) == 6 and not clips.errors
    assert set(Counter(clips.labels.tolist()).values()) == {20}
    for index in range(0, len(clips), 17):
        with av.open(str(clips.path(index))) as container:
            assert clips.frames[index] == sum(1 for _ in container.decode(video=0))


def test_the_last_frame_of_every_clip_can_be_read(clips: Manifest) -> None:
    for index in range(0, len(clips), 10):
        last = open_source(clips.path(index)).read(np.array([clips.frames[index] - 1]))
        assert last.shape[0] == 1 and last.float().std() > 0


def test_splits_by_sequence_do_not_leak(clips: Manifest, test_data: Path) -> None:
    grouped, given = read_splits(test_data / "data" / "splits" / "ut-set1-set2", clips)
    assert [len(given[name]) for name in ("train", "val", "test")] == [48, 12, 60]
    made = make_splits(grouped)
    groups = [set(grouped.groups[made[name]].tolist()) for name in ("train", "val", "test")]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sum(len(indices) for indices in made.values()) == 120


@pytest.mark.slow
def test_squeezenet_attn_recognises_interactions_at_another_place(test_data: Path, tmp_path: Path) -> None:
    data = test_data / "data" / "ut-interaction"
    run = actrec_zoo.train(
        "squeezenet_attn",
        data,
        splits=str(test_data / "data" / "splits" / "ut-set1-set2"),
        backbone_weights=str(test_data / BACKBONE),
        out=tmp_path / "run",
        device="cpu",
    )
    report = actrec_zoo.evaluate(run.path, data, device="cpu")
    assert report["n_used"] == 60
    assert report["video"]["top1"] >= 0.5
    answers = actrec_zoo.load(run.path).predict(next(data.glob("hugging/seq11_*")))
    assert len(answers) == 5 and {label for label, _ in answers} < set(report["labels"])
