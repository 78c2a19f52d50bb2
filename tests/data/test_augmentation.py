import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data.augmentation import (
    FLIP,
    ON_DEVICE,
    ROTATION,
    Augmentation,
    ClipKey,
    Strength,
    directed_classes,
    mirrored_classes,
)
from actrec_zoo.errors import ConfigError

KEYS: list[ClipKey] = [(0, 0, index) for index in range(100)]


def still_clips(count: int, frames: int = 3, side: int = 12) -> Tensor:
    """Clips whose frames are all the same random picture."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, 1, 3, side, side), dtype=torch.uint8, generator=generator)
    return pictures.expand(-1, frames, -1, -1, -1).clone()


def labels_of(clips: Tensor) -> Tensor:
    return torch.zeros(len(clips), dtype=torch.int64)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_each_clip_is_augmented_by_itself_as_its_key_says(name: str) -> None:
    clips, augment = still_clips(100), Augmentation([name])
    before = clips.clone()
    together, labels = augment(clips, labels_of(clips), KEYS)
    assert together.shape == clips.shape and together.dtype == torch.uint8 and torch.equal(clips, before)
    assert labels.tolist() == [0] * 100
    for index in (0, 7, 99):
        alone, _ = augment(clips[index : index + 1], labels_of(clips[:1]), KEYS[index : index + 1])
        assert torch.equal(alone[0], together[index])
    assert torch.equal(together, together[:, :1].expand_as(together)), "all frames of a clip alike"
    same = still_clips(1).expand(100, -1, -1, -1, -1)
    for keys in (KEYS, [(0, epoch, 0) for epoch in range(100)], [(seed, 0, 0) for seed in range(100)]):
        outcomes = augment(same, labels_of(same), keys)[0]
        assert len({clip.numpy().tobytes() for clip in outcomes}) > 1


def test_flip_mirrors_about_half_of_the_clips_and_changes_nothing_else() -> None:
    clips = still_clips(100)
    flipped, _ = Augmentation(["horizontal_flip"])(clips, labels_of(clips), KEYS)
    is_mirrored = [torch.equal(new, old.flip(-1)) for new, old in zip(flipped, clips, strict=True)]
    is_same = [torch.equal(new, old) for new, old in zip(flipped, clips, strict=True)]
    assert 30 < sum(is_mirrored) < 70
    assert [not mirrored for mirrored in is_mirrored] == is_same


def test_flip_takes_the_label_along() -> None:
    clips = still_clips(100)
    labels = torch.arange(100) % 3
    mirrored = torch.from_numpy(mirrored_classes(["left", "jump", "right"], {"left": "right"}))
    flipped, new = Augmentation(["horizontal_flip"], mirrored)(clips, labels, KEYS)
    for index, (label, was) in enumerate(zip(new.tolist(), labels.tolist(), strict=True)):
        turned = not torch.equal(flipped[index], clips[index])
        assert label == (2 - was if turned else was)


def test_rotation_turns_by_at_most_fifteen_degrees_both_ways() -> None:
    clips = torch.zeros(40, 1, 3, 41, 41, dtype=torch.uint8)
    clips[..., 20, 35:38] = 255
    turned, _ = Augmentation(["rotation"])(clips, labels_of(clips), KEYS[:40])
    rows = torch.arange(41).view(41, 1)
    heights = [float((clip[0, 0] * rows).sum() / clip[0, 0].sum()) - 20 for clip in turned.float()]
    reach = 16 * np.tan(np.radians(15))
    assert min(heights) < -2 and max(heights) > 2
    assert max(map(abs, heights)) < reach + 0.5


def test_randaugment_does_more_with_more_operations_and_a_greater_magnitude() -> None:
    clips = still_clips(100)

    def change(ops: int, magnitude: int) -> float:
        augment = Augmentation(["randaugment"], strength=Strength(ops=ops, magnitude=magnitude))
        return float((augment(clips, labels_of(clips), KEYS)[0].float() - clips.float()).abs().mean())

    assert 0 < change(1, 9) < change(2, 9) < change(4, 9)
    assert change(2, 3) < change(2, 25)


def test_randaugment_moves_all_frames_of_a_clip_alike() -> None:
    """Operations that move pixels: what is alone on black is at the same place in frames of other brightness."""
    clips = torch.zeros(60, 4, 3, 31, 31, dtype=torch.uint8)
    for number, value in enumerate((80, 120, 160, 240)):
        clips[:, number, :, 10:16, 18:24] = value
    outcome = Augmentation(["randaugment"], strength=Strength(ops=1, magnitude=20))(clips, labels_of(clips), KEYS[:60])[
        0
    ]
    rows = torch.arange(31.0).view(31, 1)
    mass = outcome.float().sum(dim=2)
    centres = (mass * rows).sum(dim=(2, 3)) / mass.sum(dim=(2, 3))
    moved = (centres[:, 0] - 12.5).abs() > 0.5
    assert 5 < int(moved.sum()) < 40
    assert torch.allclose(centres[moved], centres[moved][:, :1].expand(-1, 4), atol=0.2)


def test_random_erasing_puts_the_same_box_of_one_colour_into_all_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(1, 256, (100, 5, 3, 20, 20), dtype=torch.uint8, generator=generator)
    colour = (0, 128, 7)
    erased, _ = Augmentation(["random_erasing"], strength=Strength(erasing=0.5, erased=colour))(
        clips, labels_of(clips), KEYS
    )
    boxes = (erased != clips).any(dim=2)
    has_box = boxes.flatten(1).any(dim=1)
    assert 35 < int(has_box.sum()) < 65
    for before, after, box in zip(clips[has_box], erased[has_box], boxes[has_box], strict=True):
        rows, columns = box[0].any(dim=1).nonzero().flatten(), box[0].any(dim=0).nonzero().flatten()
        area = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        expected = before.clone()
        expected[..., area[0], area[1]] = torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1)
        assert torch.equal(after, expected)
        assert 0.01 < rows.numel() * columns.numel() / 400 < 0.4
    assert len({tuple(box[0].flatten().tolist()) for box in boxes[has_box]}) > 20
    nothing = Augmentation(["random_erasing"], strength=Strength(erasing=0.0))
    assert torch.equal(nothing(clips, labels_of(clips), KEYS)[0], clips)


def test_augmentations_are_applied_in_their_order() -> None:
    clips = still_clips(20)
    first, second = (
        Augmentation(names)(clips, labels_of(clips), KEYS[:20])[0] for names in itertools.permutations((FLIP, ROTATION))
    )
    assert not torch.equal(first, second)


def test_nothing_is_done_without_names() -> None:
    clips = still_clips(2)
    assert Augmentation()(clips, labels_of(clips), KEYS[:2])[0] is clips
    assert Augmentation(["resize", "random_crop"]).names == ()


def test_global_random_numbers_are_left_alone() -> None:
    clips = still_clips(4)
    torch.manual_seed(5)
    np.random.seed(5)
    state = torch.get_rng_state()
    Augmentation(ON_DEVICE)(clips, labels_of(clips), KEYS[:4])
    assert torch.equal(torch.get_rng_state(), state)


def test_pairs_of_classes_change_places() -> None:
    assert mirrored_classes(["a", "b", "c"], {}).tolist() == [0, 1, 2]
    assert mirrored_classes(["a", "b", "c"], {"a": "c"}).tolist() == [2, 1, 0]
    assert mirrored_classes(["a", "b", "c"], {"a": "c", "c": "a"}).tolist() == [2, 1, 0]
    with pytest.raises(ConfigError, match=r"flip_labels: there is no class 'lef'. Did you mean left"):
        mirrored_classes(["left", "right"], {"lef": "right"})
    with pytest.raises(ConfigError, match=r"class 'a' changes places with two others"):
        mirrored_classes(["a", "b", "c"], {"b": "a", "a": "c"})


def test_classes_that_name_a_direction() -> None:
    named = [
        "turn_left",
        "Moving something from left to right",
        "DrawClockwise",
        "counter-clockwise",
        "RIGHT",
        "HTMLLeft",
    ]
    others = ["brush_hair", "bright", "leftover", "jump", "clock", "upright"]
    assert directed_classes([*named, *others]) == named
