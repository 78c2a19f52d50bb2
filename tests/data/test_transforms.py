import numpy as np
import pytest
import torch
from torch import Tensor

from actrec_zoo.data.transforms import AUGMENTATIONS, ClipTransform, Normalization
from actrec_zoo.errors import ConfigError
from actrec_zoo.spec import InputSpec

SPEC = InputSpec(frames=4, size=32, resize=(40, 48))


def clip(height: int = 60, width: int = 80, frames: int = 4) -> Tensor:
    """Frames that are all the same picture, random in every pixel."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    return picture.expand(frames, -1, -1, -1).clone()


@pytest.mark.parametrize("resize", [None, 32, 40, (32, 32), (40, 48), (32, 60)])
@pytest.mark.parametrize("augment", [(), ("random_crop",), AUGMENTATIONS])
@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (20, 33)])
def test_every_clip_becomes_a_square_of_bytes(
    resize: int | tuple[int, int] | None, augment: tuple[str, ...], shape: tuple[int, int]
) -> None:
    frames = ClipTransform(InputSpec(frames=4, size=32, resize=resize), augment)(clip(*shape), (0, 0, 0))
    assert frames.shape == (4, 3, 32, 32)
    assert frames.dtype == torch.uint8


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_every_interpolation_keeps_a_flat_picture_flat(interpolation: str) -> None:
    spec = InputSpec(frames=2, size=32, interpolation=interpolation)  # type: ignore[arg-type]
    flat = torch.full((2, 3, 50, 70), 99, dtype=torch.uint8)
    assert ClipTransform(spec)(flat, (0, 0, 0)).unique().tolist() == [99]


def test_evaluation_takes_the_centre_of_the_resized_frame() -> None:
    frames = torch.zeros(1, 3, 40, 48, dtype=torch.uint8)
    frames[..., 4:36, 8:40] = 200
    assert ClipTransform(SPEC)(frames, (0, 0, 0)).unique().tolist() == [200]


def test_length_of_the_shorter_side_keeps_the_aspect_ratio() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).expand(1, 3, 32, 64).clone()
    frames = ClipTransform(InputSpec(frames=1, size=32, resize=32))(ramp, (0, 0, 0))
    assert frames[0, 0, 0].tolist() == list(range(16, 48))


def test_the_random_crop_is_a_function_of_the_key() -> None:
    transform = ClipTransform(SPEC, ("random_crop",))
    assert not transform.deterministic
    assert torch.equal(transform(clip(), (1, 2, 3)), transform(clip(), (1, 2, 3)))
    outcomes = {transform(clip(), key).numpy().tobytes() for key in np.ndindex(2, 3, 4)}
    assert len(outcomes) > 1


def test_all_frames_of_a_clip_are_cropped_alike() -> None:
    transform = ClipTransform(SPEC, ("random_crop",))
    for index in range(6):
        frames = transform(clip(), (0, 0, index))
        assert torch.equal(frames, frames[:1].expand_as(frames))


def test_random_crop_moves_in_both_directions_also_where_the_resize_leaves_no_room() -> None:
    rows = torch.arange(0, 160, 2, dtype=torch.uint8)[:, None].expand(80, 80)
    columns = rows.T
    frames = torch.stack([rows, columns, rows]).expand(1, 3, 80, 80).clone()
    for spec in (SPEC, InputSpec(frames=1, size=32)):
        corners = {
            tuple(ClipTransform(spec, ("random_crop",))(frames, (0, 0, i))[0, :2, 0, 0].tolist()) for i in range(30)
        }
        assert len({top for top, _ in corners}) > 2
        assert len({left for _, left in corners}) > 2


def test_room_for_the_random_crop_keeps_the_aspect_ratio() -> None:
    ramp = torch.arange(0, 192, 2, dtype=torch.uint8).expand(1, 3, 48, 96).clone()
    spec = InputSpec(frames=1, size=32, resize=(32, 64))
    cropped = ClipTransform(spec, ("random_crop",))(ramp, (0, 0, 0))[0, 0, 0].int()
    whole = ClipTransform(spec)(ramp, (0, 0, 0))[0, 0, 0].int()
    assert int(cropped[-1] - cropped[0]) == pytest.approx(int(whole[-1] - whole[0]) * 7 / 8, abs=3)


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ClipTransform(SPEC, AUGMENTATIONS)(clip(), (0, 0, 0))
    assert torch.equal(torch.rand(3), expected)


def test_the_transform_does_not_depend_on_global_random_numbers() -> None:
    transform = ClipTransform(SPEC, AUGMENTATIONS)
    torch.manual_seed(1)
    first = transform(clip(), (0, 0, 0))
    torch.manual_seed(2)
    assert torch.equal(transform(clip(), (0, 0, 0)), first)


@pytest.mark.parametrize("augment", [(), ("resize",), ("horizontal_flip", "rotation")])
def test_without_a_random_crop_nothing_is_random(augment: tuple[str, ...]) -> None:
    transform = ClipTransform(SPEC, augment)
    assert transform.deterministic
    assert torch.equal(transform(clip(), (0, 0, 0)), transform(clip(), (7, 8, 9)))


def test_normalize_subtracts_the_mean_divides_and_puts_time_second() -> None:
    spec = InputSpec(frames=2, size=4, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    clips = torch.zeros(3, 2, 3, 4, 4, dtype=torch.uint8)
    clips[0, 1] = 255
    normal = Normalization(spec)(clips)
    assert normal.shape == (3, 3, 2, 4, 4)
    assert normal.dtype == torch.float32
    assert normal[0, :, 1, 0, 0].tolist() == [1, 3, 1]
    assert normal[0, :, 0, 0, 0].tolist() == [-1, -1, 0]


def test_unknown_augmentation_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown augmentation 'horizontal_flp'. Did you mean horizontal_flip"):
        ClipTransform(SPEC, ("rotation", "horizontal_flp"))


@pytest.mark.parametrize("upright", [False, True])
def test_crops_reach_from_one_end_of_the_longer_side_to_the_other(upright: bool) -> None:
    ramp = torch.arange(40, dtype=torch.uint8).expand(2, 3, 24, 40)
    frames = ramp.transpose(-1, -2) if upright else ramp
    transform = ClipTransform(InputSpec(frames=2, size=20, resize=24), crops=3)
    crops = [transform.crop(frames, (0, 0, 0), number) for number in range(3)]
    assert {tuple(crop.shape) for crop in crops} == {(2, 3, 20, 20)}
    firsts = [int(crop[0, 0, 0, 0]) for crop in crops]
    assert firsts == [0, 10, 20]
    centre = ClipTransform(InputSpec(frames=2, size=20, resize=24))
    assert torch.equal(crops[1], centre(frames, (0, 0, 0))), "the middle one is the centre"
