"""Random numbers by what they are for."""

import numpy as np
import pytest
import torch

from actrec_zoo.data.streams import Stream, derive_seed, generator, seeded


def test_no_stream_is_zero_and_none_is_there_twice() -> None:
    numbers = [int(stream) for stream in Stream]
    assert 0 not in numbers and len(set(numbers)) == len(numbers) == len(Stream.__members__)


def test_derived_seeds_differ_in_every_place_of_the_key_and_in_the_stream() -> None:
    keys = [(stream, *key) for stream in Stream for key in np.ndindex(5, 5, 5)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    assert derive_seed(Stream.CROP, 0, 0, 0) == derive_seed(Stream.CROP, 0, 0, 0) < 2**63


def test_no_use_of_a_run_draws_the_numbers_of_another() -> None:
    """Keys as they are used: of an epoch, of clips, of parts of a step. Without streams, those of zeros would meet."""
    of_an_epoch = [(Stream.ORDER, 0, epoch) for epoch in range(4)]
    of_clips = [
        (stream, 0, epoch, index)
        for stream in (Stream.FRAMES, Stream.CROP, Stream.AUGMENTATION)
        for epoch in range(4)
        for index in range(4)
    ]
    of_parts = [
        (stream, 0, epoch, step, part)
        for stream in (Stream.MIXING, Stream.DROPOUT)
        for epoch in range(4)
        for step in range(4)
        for part in range(2)
    ]
    of_trials = [(Stream.SEARCH, 0, trial) for trial in range(4)]
    of_evaluated = [(Stream.CORRUPTION, 0, name, view) for name in (0, 1, 2**63) for view in range(4)]
    keys = [*of_an_epoch, *of_clips, *of_parts, *of_trials, *of_evaluated]
    assert len({generator(*key).integers(2**63) for key in keys}) == len(keys)
    assert len({derive_seed(*key) for key in keys}) == len(keys)


def test_a_seeded_block_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), seeded(7):
            drawn.append(torch.rand(7))
            raise ZeroDivisionError
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), expected)
