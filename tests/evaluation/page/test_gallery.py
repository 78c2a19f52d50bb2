"""The films of the gallery: which videos, which frames, and how many bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.evaluation.page import gallery
from actrec_zoo.evaluation.page.gallery import FRAMES, HEIGHT, WIDTH, Footage, by_interest, films
from tests.conftest import numbered_frames, write_video
from tests.evaluation.page.examples import some_predictions


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Twelve videos of grey frames, the fourth of which is not there any more."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(12):
        write_video(root / f"{number}.mp4", numbered_frames(8 + number))
    entries = [Entry(f"{number}.mp4", "a" if number % 2 else "b") for number in range(12)]
    manifest = probe(Manifest.from_entries(root, entries), cache=root)
    (root / "3.mp4").unlink()
    return Footage(manifest, np.arange(12)[::-1].copy())


def test_the_most_confident_errors_come_first() -> None:
    predictions = some_predictions(videos=40, failed=3)
    order = by_interest(predictions)
    wrong = predictions.predicted != predictions.truth
    errors = int((wrong & predictions.used).sum())
    assert sorted(order.tolist()) == list(range(40))
    assert (wrong & predictions.used)[order[:errors]].all() and not predictions.used[order[errors : errors + 3]].any()
    confidence = predictions.probabilities.max(axis=1)[order[:errors]]
    assert (np.diff(confidence) <= 0).all()
    assert [film.place for film in films(predictions, None)] == order[: min(24, errors)].tolist()


def test_a_strip_shows_frames_spread_over_the_video(footage: Footage) -> None:
    frames = footage.frames(0, FRAMES)  # of the last video, which has 19
    assert frames.shape == (FRAMES, 3, 32, 32)
    assert np.allclose(frames.mean(axis=(1, 2, 3)) / 8, [1, 3, 5, 8, 10, 13, 15, 17], atol=0.5)


def test_a_film_is_a_picture_or_says_why_not(footage: Footage) -> None:
    predictions = some_predictions(("a", "b"), videos=12, seed=4)
    predictions.probabilities[:] = predictions.probabilities[:, ::-1]
    found = {int(footage.videos[film.place]): film for film in films(predictions, footage)}
    assert 3 in found and len(found) > 5, "the draw has to have enough errors"
    for number, film in found.items():
        if number == 3:
            assert film.strip is None and "cannot be read" in film.missing
            continue
        with Image.open(io.BytesIO(film.strip or b"")) as picture:
            assert picture.format == "WEBP" and picture.size == (FRAMES * WIDTH, HEIGHT)


def test_all_films_together_are_bounded(footage: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = some_predictions(("a", "b"), videos=12, seed=4)
    predictions.probabilities[:] = predictions.probabilities[:, ::-1]
    whole = [len(film.strip or b"") for film in films(predictions, footage)]
    monkeypatch.setattr(gallery, "MOST_BYTES", sum(whole) // 2)
    cut = list(films(predictions, footage))
    assert len(cut) == len(whole) and 0 < sum(len(film.strip or b"") for film in cut) <= sum(whole) // 2
    assert any("all the room" in film.missing for film in cut)
