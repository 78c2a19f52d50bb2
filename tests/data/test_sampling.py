import numpy as np
import pytest

from actrec_zoo.data.sampling import ClipSampler, TrainSampling
from actrec_zoo.errors import ConfigError
from actrec_zoo.spec import InputSpec


def clips(sampler: ClipSampler, length: int) -> list[list[int]]:
    """All clips of a video with `length` frames."""
    (count,) = sampler.clips_per_video(np.array([length])).tolist()
    return [sampler.frame_numbers(length, view, (0, 0, view)).tolist() for view in range(count)]


@pytest.mark.parametrize(
    ("length", "stride", "expected"),
    [
        (8, 1, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (11, 1, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (4, 1, [[0, 1, 2, 3]]),
        (7, 2, [[0, 2, 4, 6]]),
        (14, 2, [[0, 2, 4, 6]]),
        (15, 2, [[0, 2, 4, 6], [8, 10, 12, 14]]),
        (3, 1, [[0, 1, 2, 2]]),
        (1, 1, [[0, 0, 0, 0]]),
        (6, 2, [[0, 2, 4, 5]]),
        (2, 3, [[0, 1, 1, 1]]),
    ],
)
def test_blocks_do_not_overlap_drop_the_tail_and_repeat_the_last_frame(
    length: int, stride: int, expected: list[list[int]]
) -> None:
    assert clips(ClipSampler("blocks", 4, stride), length) == expected


def test_blocks_of_eight_are_one_clip_for_every_eight_frames() -> None:
    lengths = np.arange(8, 1064)
    assert ClipSampler("blocks", 8).clips_per_video(lengths).tolist() == (lengths // 8).tolist()


def test_blocks_never_leave_the_video_and_never_waste_a_whole_clip() -> None:
    for frames, stride, length in [(f, s, n) for f in (1, 3, 8) for s in (1, 2, 5) for n in range(1, 60)]:
        cut = clips(ClipSampler("blocks", frames, stride), length)
        flat = [number for clip in cut for number in clip]
        assert max(flat) < length
        if len(flat) == len(set(flat)):
            assert length - 1 - max(flat) < stride * frames


def test_uniform_spreads_over_the_whole_video() -> None:
    assert clips(ClipSampler("uniform", 4), 40) == [[5, 15, 25, 35]]
    assert clips(ClipSampler("uniform", 4), 4) == [[0, 1, 2, 3]]
    assert clips(ClipSampler("uniform", 4), 2) == [[0, 0, 1, 1]]
    assert clips(ClipSampler("uniform", 4), 1) == [[0, 0, 0, 0]]


def test_views_of_uniform_are_shifted_inside_their_segments() -> None:
    first, second = clips(ClipSampler("uniform", 4, views=2), 40)
    assert (first, second) == ([2, 12, 22, 32], [7, 17, 27, 37])


def test_uniform_stays_inside_the_video_for_every_length() -> None:
    for length in range(1, 100):
        for clip in clips(ClipSampler("uniform", 16, views=3), length):
            assert clip == sorted(clip)
            assert clip[0] >= 0
            assert clip[-1] < length


def test_random_gives_one_run_a_video_and_reaches_every_place() -> None:
    sampler = ClipSampler("random", 3, 2)
    assert sampler.clips_per_video(np.array([1, 5, 1000])).tolist() == [1, 1, 1]
    starts = set()
    for epoch in range(200):
        numbers = sampler.frame_numbers(9, 0, (0, epoch, 0))
        assert np.diff(numbers).tolist() == [2, 2]
        starts.add(int(numbers[0]))
    assert starts == {0, 1, 2, 3, 4}
    assert sampler.frame_numbers(3, 0, (0, 0, 0)).tolist() == [0, 2, 2]


def test_random_depends_on_seed_epoch_and_index_alone() -> None:
    sampler = ClipSampler("random", 4)

    def start(*key: int) -> int:
        return int(sampler.frame_numbers(10**6, 0, (key[0], key[1], key[2]))[0])

    first = start(1, 2, 3)
    np.random.default_rng(0).random()
    assert start(1, 2, 3) == first
    assert len({first, start(0, 2, 3), start(1, 0, 3), start(1, 2, 0), start(3, 2, 1)}) == 5


@pytest.mark.parametrize("mode", ["blocks", "uniform"])
def test_the_other_modes_are_the_same_in_every_epoch(mode: TrainSampling) -> None:
    sampler = ClipSampler(mode, 4, views=2)
    assert sampler.deterministic
    one, other = (sampler.frame_numbers(30, 1, key).tolist() for key in ((0, 0, 0), (9, 9, 9)))
    assert one == other
    assert not ClipSampler("random", 4).deterministic


@pytest.mark.parametrize("mode", ["blocks", "uniform", "random"])
def test_a_video_that_cannot_be_read_has_no_clips(mode: TrainSampling) -> None:
    assert ClipSampler(mode, 4).clips_per_video(np.array([0, 3, 0])).tolist() == [0, 1, 0]


def test_evaluation_cuts_as_the_input_says() -> None:
    spec = InputSpec(frames=5, size=32, stride=3, sampling="uniform", views=2)
    assert ClipSampler.for_evaluation(spec) == ClipSampler("uniform", 5, 3, 2)


def test_unknown_sampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown sampling 'middle': choose one of blocks, random, uniform"):
        ClipSampler("middle", 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (30.0, 15.0, [[0, 2, 4, 6], [8, 10, 12, 14]]),
        (25.0, 15.0, [[0, 1, 3, 5], [6, 7, 9, 11]]),
        (12.5, 25.0, [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5], [6, 6, 7, 7]]),
        (0.0, 15.0, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]),
    ],
)
def test_clips_at_a_rate_of_their_own(rate: float, fps: float, expected: list[list[int]]) -> None:
    sampler = ClipSampler("blocks", 4, 9, fps=fps)
    count = int(sampler.clips_per_video(np.array([16]), np.array([rate]))[0])
    cut = [sampler.frame_numbers(16, view, (0, 0, view), rate).tolist() for view in range(count)]
    assert cut[: len(expected)] == expected
    assert max(max(clip) for clip in cut) < 16


def test_random_clips_at_a_rate_stay_inside_the_video() -> None:
    sampler = ClipSampler("random", 4, fps=10)
    starts = set()
    for epoch in range(200):
        numbers = sampler.frame_numbers(20, 0, (0, epoch, 0), 25.0)
        assert (numbers - numbers[0]).tolist() == [0, 2, 5, 7] and numbers[-1] < 20
        starts.add(int(numbers[0]))
    assert starts == set(range(13))


def test_a_rate_that_is_a_whole_number_of_times_the_target_takes_every_such_frame() -> None:
    sampler = ClipSampler("blocks", 4, fps=1.1)
    assert sampler.frame_numbers(30, 1, (0, 0, 0), 3.3).tolist() == [12, 15, 18, 21]
    assert sampler.clips_per_video(np.array([22]), np.array([3.3])).tolist() == [2]


@pytest.mark.parametrize(
    ("length", "views", "starts"),
    [(20, 3, [0, 6, 13]), (20, 1, [6]), (7, 2, [0, 0]), (3, 2, [0, 0]), (9, 3, [0, 1, 2])],
)
def test_spread_clips_reach_from_the_start_to_the_end(length: int, views: int, starts: list[int]) -> None:
    sampler = ClipSampler("spread", 4, stride=2, views=views)
    assert sampler.clips_per_video(np.array([length])).tolist() == [views]
    found = [sampler.frame_numbers(length, view, (0, 0, 0)) for view in range(views)]
    assert [numbers[0] for numbers in found] == starts
    whole = [np.minimum(start + np.arange(0, 8, 2), length - 1).tolist() for start in starts]
    assert [numbers.tolist() for numbers in found] == whole
