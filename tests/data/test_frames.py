import numpy as np
import pytest

from actrec_zoo.data.frames import Frame, clip_of, reduction

FRAMES = [np.full((4, 6, 3), n, np.uint8) for n in range(4)]


@pytest.mark.parametrize("least", [1, 7, 30, 60, 120, 121, 240, 300])
def test_a_frame_is_shrunk_by_the_greatest_power_of_two_that_leaves_enough(least: int) -> None:
    for height in range(1, 1000, 7):
        enough = [by for by in (8, 4, 2) if height // by >= least and 400 // by >= least]
        assert reduction((height, 400), (least, least)) == (enough or [1])[0]


def test_nothing_is_shrunk_where_every_pixel_counts() -> None:
    assert reduction((1000, 1000), None) == 1


def test_a_frame_that_comes_again_is_decoded_once() -> None:
    decoded: list[int] = []

    def decode(number: int, room: Frame | None) -> Frame:
        decoded.append(number)
        return FRAMES[number]

    clip = clip_of([2, 1, 2, 3, 3, 3], decode)
    assert decoded == [2, 1, 3]
    assert clip[:, 0, 0, 0].tolist() == [2, 1, 2, 3, 3, 3]
    assert clip.shape == (6, 3, 4, 6)


def test_frames_may_be_put_into_their_place() -> None:
    def decode(number: int, room: Frame | None) -> Frame:
        if room is None:
            return FRAMES[number]
        room[...] = FRAMES[number]
        return room

    assert clip_of([0, 1, 3], decode)[:, 0, 0, 0].tolist() == [0, 1, 3]


def test_a_frame_of_another_size_is_resized_to_the_first() -> None:
    large = np.full((8, 12, 3), 200, np.uint8)
    clip = clip_of([0, 1], lambda number, room: large if number else FRAMES[0])
    assert clip.shape == (2, 3, 4, 6)
    assert clip[1].unique().tolist() == [200]
