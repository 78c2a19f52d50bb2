"""Each corruption does what it says, to each clip by itself."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.errors import ConfigError, UnknownNameError
from actrec_zoo.evaluation.corruption import KINDS, ORDER, SETS, SIDE, Corruption, corruptions_named

EVERY = corruptions_named(["all"])
SEVERITIES = range(1, 6)


def numbered(frames: int, side: int = 4) -> Tensor:
    """A clip whose grey values are the numbers of its frames."""
    return torch.arange(frames, dtype=torch.uint8).view(-1, 1, 1, 1).expand(frames, 3, side, side).clone()


def pictures(frames: int = 4, side: int = 64, seed: int = 0) -> Tensor:
    """A clip of random colours that change smoothly over a few pixels."""
    coarse = torch.rand(frames, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(coarse, side, mode="bilinear")).round().to(torch.uint8)


def made_worse(clip: Tensor, name: str, severity: int | None = None, video: str = "a/1", view: int = 0) -> Tensor:
    (worse,) = Corruption(name, severity)(clip[None], [video], [view])
    assert worse.shape == clip.shape and worse.dtype == torch.uint8
    return worse


def order(name: str, frames: int, severity: int | None = None, video: str = "a/1", view: int = 0) -> list[int]:
    """The frames that are shown."""
    worse = made_worse(numbered(frames), name, severity, video, view)
    assert (worse == worse[:, :1, :1, :1]).all(), "frames stay whole"
    return worse[:, 0, 0, 0].tolist()


def test_reverse_is_from_the_last_to_the_first() -> None:
    assert order("reverse", 5) == [4, 3, 2, 1, 0]
    clip = pictures()
    assert torch.equal(made_worse(made_worse(clip, "reverse"), "reverse"), clip)


def test_shuffle_is_a_permutation_of_its_own_for_each_clip() -> None:
    orders = [tuple(order("shuffle", 16, video=video, view=view)) for video in ("a/1", "a/2") for view in range(3)]
    assert all(sorted(one) == list(range(16)) for one in orders)
    assert len({tuple(range(16)), *orders}) == len(orders) + 1


@pytest.mark.parametrize(("frames", "middle"), [(1, 0), (4, 2), (5, 2), (16, 8)])
def test_freeze_repeats_the_middle(frames: int, middle: int) -> None:
    assert order("freeze", frames) == [middle] * frames


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("frames", [1, 2, 4, 16, 32])
def test_drop_keeps_the_first_and_shows_the_last_kept(frames: int, severity: int) -> None:
    shown = order("drop", frames, severity)
    assert shown[0] == 0
    assert all(now in (before, place) for place, (before, now) in enumerate(itertools.pairwise(shown), 1))
    lost = sum(frame != place for place, frame in enumerate(shown))
    share = KINDS["drop"].strengths[severity - 1]
    assert lost == min(frames - 1, max(1, round(share * frames)))


@pytest.mark.parametrize(("severity", "every"), [(1, 2), (2, 3), (5, 8)])
def test_slow_holds_every_nth_frame(severity: int, every: int) -> None:
    assert order("slow", 10, severity) == [place // every * every for place in range(10)]


def test_noise_has_the_stated_deviation() -> None:
    clip = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    for severity in (1, 2):  # of more, bytes cut off the tails
        noise = made_worse(clip, "noise", severity).double() - 128
        assert noise.std() == pytest.approx(255 * KINDS["noise"].strengths[severity - 1], rel=0.02)
        assert abs(noise.mean()) < 0.5
    assert not torch.equal(noise[0], noise[1]), "every frame has noise of its own"


def test_blur_conserves_the_mean_and_takes_detail_by_severity() -> None:
    clip = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    blurred = [made_worse(clip, "blur", severity).double() for severity in SEVERITIES]
    assert all(abs(one.mean() - clip.double().mean()) < 1 for one in blurred)
    deviations = [float(one.std()) for one in blurred]
    assert deviations == sorted(deviations, reverse=True) and deviations[0] < float(clip.double().std())


def test_blur_is_as_wide_in_a_small_square_as_in_a_large_one() -> None:
    widths = []
    for side in (SIDE, SIDE // 2):
        bar = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        bar[..., 3 * side // 7 : 4 * side // 7] = 255
        row = made_worse(bar, "blur", 5)[0, 0, side // 2]
        widths.append(float((row > 64).sum() / side))  # a quarter of the height, 0.67 deviations outside of each edge
    assert widths == pytest.approx([1 / 7 + 2 * 0.67 * 6 / SIDE] * 2, abs=0.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_what_pillow_makes_of_it(severity: int) -> None:
    """But for rounding, which turns a coefficient here and there."""
    clip = pictures()
    quality = int(KINDS["jpeg"].strengths[severity - 1])
    for before, after in zip(clip, made_worse(clip, "jpeg", severity), strict=True):
        file = io.BytesIO()
        Image.fromarray(before.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).double()
        changed = (before - expected).abs().mean()
        assert changed > 5 and (after - expected).abs().mean() < changed / 10


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.strengths])
def test_a_higher_severity_changes_more(name: str) -> None:
    clip = torch.cat([pictures(seed=seed) for seed in range(4)])
    changes = [float((made_worse(clip, name, s).double() - clip).abs().mean()) for s in SEVERITIES]
    assert changes == sorted(changes) and changes[0] > 0


@pytest.mark.parametrize("corruption", EVERY, ids=lambda corruption: corruption.title)
def test_a_clip_is_changed_alike_whatever_batch_it_is_in(corruption: Corruption) -> None:
    clips = torch.stack([pictures(seed=seed) for seed in range(4)])
    videos, views = ["a/1", "a/1", "b/1", "b/2"], [0, 1, 0, 0]
    together = corruption(clips, videos, views)
    for i in (2, 0, 3, 1):
        assert torch.equal(corruption(clips[i : i + 1], videos[i : i + 1], views[i : i + 1])[0], together[i])
    assert torch.equal(corruption(clips.flip(0), videos[::-1], views[::-1]), together.flip(0))


def test_a_clip_is_changed_alike_wherever_its_video_is_listed() -> None:
    entries = [Entry(f"{label}/{number}.mp4", label) for label in "ab" for number in range(3)]
    clips = torch.stack([numbered(16) for _ in entries])
    shuffle = Corruption("shuffle")

    def shown(order: list[int]) -> Tensor:
        manifest = Manifest.from_entries(Path(), [entries[i] for i in order])
        numbers = torch.arange(len(entries))
        return shuffle.of(manifest)(clips, Batch(clips, numbers, numbers, torch.zeros_like(numbers)))

    turned = [5, 3, 1, 0, 2, 4]
    assert torch.equal(shown(turned), shown(list(range(6)))[turned])


def test_names_give_corruptions_each_once() -> None:
    assert [c.title for c in corruptions_named(["blur:5", "reverse", "blur:5", "blur"])] == [
        "blur:5",
        "reverse",
        "blur:3",
    ]
    assert tuple(c.name for c in EVERY) == tuple(KINDS)
    assert tuple(c.title for c in corruptions_named(["order"])) == ORDER
    assert [c.title for c in corruptions_named(["image:2"])] == [f"{name}:2" for name in SETS["image"]]
    assert {*ORDER, *SETS["image"]} == set(KINDS)


def test_descriptions_have_the_strength() -> None:
    described = {c.title: c.description for c in corruptions_named(["all", "drop:2"])}
    assert described["blur:3"] == "gaussian blur, deviation of 3 pixels in 224"
    assert described["drop:2"] == "25% of the frames lost, the one before shown instead"
    assert described["slow:3"] == "one frame of 4 shown, for as long as all of them"
    assert described["reverse"] == "frames from the last to the first"


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("blurr", UnknownNameError, "no corruption 'blurr'. Did you mean blur"),
        ("", UnknownNameError, "no corruption ''"),
        ("blur:6", ConfigError, "--corrupt blur:6: a severity is a number from 1 to 5"),
        ("blur:", ConfigError, "a severity is a number from 1 to 5"),
        ("all:x", ConfigError, "a severity is a number from 1 to 5"),
        ("reverse:2", ConfigError, "--corrupt reverse:2: there are no degrees of it"),
        ("order:2", ConfigError, "there are no degrees of it"),
    ],
)
def test_what_is_no_corruption_is_refused(word: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        corruptions_named([word])
