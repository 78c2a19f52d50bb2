"""Clips of a batch mixed with each other, and their labels in the same shares: mixup and cutmix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

from actrec_zoo.data.dataset import Batch
from actrec_zoo.data.streams import Stream, derive_seed, seeded


class Mixing:
    """Mixes each clip of a batch with the one before it, by torchvision's MixUp or CutMix.

    mixup is of Zhang et al. (2018), cutmix of Yun et al. (2019). One draw holds for all clips and frames of a batch.
    Where both are given, either is drawn as often as the other.

    Args:
        mixup: its alpha; 0 leaves it out.
        cutmix: its alpha; 0 leaves it out.
        classes: their number, K.
    """

    def __init__(self, mixup: float, cutmix: float, classes: int) -> None:
        given: Mapping[type[v2.Transform], float] = {v2.MixUp: mixup, v2.CutMix: cutmix}
        self._transforms = [kind(alpha=alpha, num_classes=classes) for kind, alpha in given.items() if alpha]

    def __call__(self, batch: Batch, *key: int) -> Batch:
        """Mix a batch, or a part of one.

        Args:
            batch: inputs uint8[B, T, 3, S, S], labels int64[B].
            key: (seed, epoch, step, part).

        Returns:
            Inputs of the same type and shape, labels float32[B, K]; the batch as it is where there is nothing to do.
        """
        if not self._transforms:
            return batch
        with seeded(derive_seed(Stream.MIXING, *key)):
            transform = self._transforms[int(torch.randint(len(self._transforms), ()))]
            inputs, labels = transform(Video(batch.inputs.float()), batch.labels)
        return replace(batch, inputs=inputs.as_subclass(torch.Tensor).round().to(torch.uint8), labels=labels)
