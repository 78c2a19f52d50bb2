import numpy as np
import pytest
import torch

from actrec_zoo.data.checking.candidates import candidate_pairs
from actrec_zoo.data.checking.check import ALIKE
from actrec_zoo.data.checking.likeness import (
    STEP,
    Thumbnails,
    is_flat,
    motion_likeness,
    perceptual_hashes,
    thumbnails,
)
from tests.conftest import Frames
from tests.data.checking.scenes import scene


def pictures(frames: Frames) -> Thumbnails:
    """Thumbnails of every `STEP`-th frame."""
    return thumbnails(torch.from_numpy(frames[::STEP]).permute(0, 3, 1, 2))


def test_a_thumbnail_is_the_mean_of_each_part_in_grey() -> None:
    frame = torch.zeros(1, 3, 16, 18, dtype=torch.uint8)
    frame[0, :, :2, :2] = torch.tensor([100, 200, 40])[:, None, None]
    small = thumbnails(frame)
    assert small.shape == (1, 8, 9) and small.dtype == np.uint8
    assert small[0, 0, 0] == round(0.299 * 100 + 0.587 * 200 + 0.114 * 40)
    assert small.sum() == small[0, 0, 0]


def test_a_hash_has_a_bit_for_each_rise_to_the_right() -> None:
    rising = np.tile(np.arange(9, dtype=np.uint8), (1, 8, 1))
    assert perceptual_hashes(rising).tolist() == [2**64 - 1]
    assert perceptual_hashes(rising[:, :, ::-1]).tolist() == [0]
    assert np.bitwise_count(perceptual_hashes(pictures(scene(1)))).mean() == pytest.approx(32, abs=12)


def test_a_trimmed_copy_is_alike_and_its_offset_is_found() -> None:
    whole = scene(1)
    for start in (0, 4, 12, 20):
        likeness = motion_likeness(pictures(whole), pictures(whole[start:]))
        assert likeness.correlation > 0.999 and likeness.offset == start
    for start in (1, 13):
        likeness = motion_likeness(pictures(whole), pictures(whole[start:]))
        assert likeness.correlation > 0.95 and likeness.offset == start
        assert motion_likeness(pictures(whole[start:]), pictures(whole)).offset == -start


def test_brightness_contrast_and_noise_do_not_count() -> None:
    noise = np.random.default_rng(0).normal(0, 8, (60, 72, 96, 1))
    changed = (scene(1) * 0.6 + 40 + noise).clip(0, 255).astype(np.uint8)
    assert motion_likeness(pictures(scene(1)), pictures(changed)).correlation > 0.98


@pytest.mark.parametrize("seed", range(2, 12))
def test_other_motion_before_the_same_ground_is_not_alike(seed: int) -> None:
    assert motion_likeness(pictures(scene(1, place=0)), pictures(scene(seed, place=0))).correlation < ALIKE


def test_what_does_not_move_is_not_alike() -> None:
    still = np.repeat(scene(1)[:1], 40, axis=0)
    assert motion_likeness(pictures(still), pictures(still)).correlation == 0
    fading = (still * np.linspace(0, 1, 40)[:, None, None, None]).astype(np.uint8)
    black = np.zeros_like(still)
    assert motion_likeness(pictures(black), pictures(fading)).correlation == 0


def test_too_few_pictures_are_not_compared() -> None:
    assert motion_likeness(pictures(scene(1)[:12]), pictures(scene(1)[:12])).correlation == 0
    assert motion_likeness(pictures(scene(1)[:13]), pictures(scene(1)[:13])).correlation == pytest.approx(1)


def test_flat_pictures() -> None:
    frames = np.stack([np.zeros((72, 96, 3)), np.full((72, 96, 3), 200), scene(1)[0]]).astype(np.uint8)
    assert is_flat(thumbnails(torch.from_numpy(frames).permute(0, 3, 1, 2))).tolist() == [True, True, False]


def test_pairs_of_hashes_that_nearly_agree_across_splits() -> None:
    rng = np.random.default_rng(0)
    hashes = {video: rng.integers(0, 2**64, 20, dtype=np.uint64) for video in range(300)}
    split = {video: ("train", "train", "train", "val", "test")[video % 5] for video in range(300)}
    for copy, source, bits in ((3, 0, 4), (4, 1, 8), (8, 14, 6), (13, 18, 0), (5, 10, 0)):
        flips = [sum(1 << int(bit) for bit in rng.choice(64, bits, replace=False)) for _ in range(20)]
        hashes[copy] = hashes[source] ^ np.array(flips, dtype=np.uint64)
    found = {tuple(sorted(pair)) for pair in candidate_pairs(hashes, split)}
    assert found == {(0, 3), (1, 4), (8, 14)}  # 13 and 18 are both of val, 5 and 10 both of train


def test_no_videos_make_no_pairs() -> None:
    assert list(candidate_pairs({}, {})) == []
    nothing = np.empty(0, dtype=np.uint64)
    assert list(candidate_pairs({0: nothing, 1: nothing}, {0: "train", 1: "test"})) == []


def test_what_a_thousand_videos_share_tells_nothing() -> None:
    hashes = {video: np.array([7], dtype=np.uint64) for video in range(1100)}
    assert list(candidate_pairs(hashes, {video: "test" if video < 9 else "train" for video in hashes})) == []
