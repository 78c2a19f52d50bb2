"""Clips mixed with each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actrec_zoo.data.dataset import Batch
from actrec_zoo.training.mixing import Mixing

LABELS = torch.tensor([0, 1, 2, 1])


def batch() -> Batch:
    """4 clips of 3 frames of 16x16 pixels, each of one colour, brighter from frame to frame."""
    levels = torch.tensor([10, 60, 120, 200]).view(-1, 1, 1, 1, 1) + 5 * torch.arange(3).view(1, -1, 1, 1, 1)
    clips = levels.expand(4, 3, 3, 16, 16).to(torch.uint8).clone()
    none = torch.zeros(4, dtype=torch.int64)
    return Batch(clips, LABELS, none, none)


def shares(mixed: Batch) -> Tensor:
    """The share that each clip kept of its own label."""
    assert mixed.labels.shape == (4, 3) and mixed.labels.dtype == torch.float32
    assert torch.allclose(mixed.labels.sum(1), torch.ones(4))
    return mixed.labels.gather(1, LABELS.unsqueeze(1)).squeeze(1)


def test_mixup_blends_all_frames_in_the_share_of_the_labels() -> None:
    plain = batch()
    for step in range(5):
        mixed = Mixing(0.8, 0.0, 3)(plain, 0, 0, step, 0)
        share = float(shares(mixed)[0])
        assert torch.allclose(shares(mixed), torch.full((4,), share))
        expected = share * plain.inputs.float() + (1 - share) * plain.inputs.roll(1, 0).float()
        assert mixed.inputs.dtype == torch.uint8 and mixed.inputs.shape == plain.inputs.shape
        assert (mixed.inputs.float() - expected).abs().max() <= 0.501


def test_cutmix_puts_the_same_box_into_all_frames_in_the_share_of_the_labels() -> None:
    plain, boxes = batch(), set()
    for step in range(10):
        mixed = Mixing(0.0, 1.0, 3)(plain, 0, 0, step, 0)
        foreign = (mixed.inputs != plain.inputs).any(dim=2)
        assert torch.equal(foreign, foreign[:1, :1].expand_as(foreign)), "one box for all clips and frames"
        other = plain.inputs.roll(1, 0)
        assert torch.equal(mixed.inputs, torch.where(foreign.unsqueeze(2), other, plain.inputs))
        assert torch.allclose(shares(mixed), 1 - foreign[0, 0].float().mean().expand(4))
        boxes.add(tuple(foreign[0, 0].flatten().tolist()))
    assert len(boxes) > 5


def test_the_key_alone_decides() -> None:
    plain, mix = batch(), Mixing(1.0, 1.0, 3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = mix(plain, 3, 1, 2, 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again = Mixing(1.0, 1.0, 3)(plain, 3, 1, 2, 0)
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.labels, again.labels)
    keys = [(3, 1, 2, 0), (4, 1, 2, 0), (3, 2, 2, 0), (3, 1, 3, 0), (3, 1, 2, 1)]
    assert len({tuple(mix(plain, *key).labels.flatten().tolist()) for key in keys}) == len(keys)


def test_each_batch_has_one_of_the_two() -> None:
    plain, mix = batch(), Mixing(1.0, 1.0, 3)
    blended = 0
    for step in range(40):
        mixed = mix(plain, 0, 0, step, 0)
        values = {len(frame.unique()) for clip in mixed.inputs for frame in clip}
        assert values <= {1, 2}
        blended += values == {1} and not torch.equal(mixed.inputs, plain.inputs)
    assert 8 < blended < 32


def test_a_batch_stays_as_it_is_without_either() -> None:
    plain = batch()
    assert Mixing(0.0, 0.0, 3)(plain, 0, 0, 0, 0) is plain


@pytest.mark.parametrize("alphas", [(1.0, 0.0), (0.0, 1.0)])
def test_a_clip_alone_is_mixed_with_itself(alphas: tuple[float, float]) -> None:
    plain = batch()
    alone = replace(plain, inputs=plain.inputs[:1], labels=plain.labels[:1])
    mixed = Mixing(*alphas, 3)(alone, 0, 0, 0, 0)
    assert torch.equal(mixed.inputs, alone.inputs)
    assert torch.allclose(mixed.labels, torch.tensor([[1.0, 0.0, 0.0]]))
