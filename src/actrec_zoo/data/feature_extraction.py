"""Runs a frozen backbone over clips, once: what is kept already is looked at, what is missing is computed and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from actrec_zoo import distributed
from actrec_zoo.data.dataset import Batch, Batches, Clip, ClipDataset, Key, collate, make_loader
from actrec_zoo.data.feature_store import Chunk, FeatureStore, require_space
from actrec_zoo.data.features import StoredFeatures
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.errors import ConfigError

Compute = Callable[[Tensor], Tensor]
"""Clips uint8[B, T, 3, S, S] on their device to features [B, ...]."""

_TOLERANCE = 1e-2
_log = logging.getLogger(__name__)


class Extraction:
    """How the features of clips come about.

    Args:
        compute: the backbone.
        batch_size: clips at once.
        device: where `compute` runs.
        dtype: that features are kept in.
        workers: decoding processes.
        track: shows the progress over batches.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        workers: int = 0,
        track: Track[Batch] = no_progress,
    ) -> None:
        self._compute = compute
        self._batch_size = batch_size
        self._device = device
        self._dtype = dtype
        self._workers = workers
        self._track = track

    def run(self, clips: ClipDataset, epoch: int, store: FeatureStore) -> StoredFeatures:
        """The features of clips as they are in an epoch: what the store has, and computed what it lacks.

        The store is believed where every byte is as it was written, what could not be read still cannot be, and the
        network gives the first and the last clip the features that it gave them then. Several processes compute a chunk
        each, with the bytes that one process would give it; those that see one folder read what the others wrote there.

        Raises:
            ConfigError: the dtype cannot hold them.
            RunError: they cannot be written.
        """
        crew = distributed.crew(store.folder.parent)
        found = distributed.together(lambda: self._kept(clips, epoch, store) if crew.leads else {})
        missing = distributed.collect([number for number in store.chunks if number not in found])[crew.first]
        own = missing[crew.rank :: crew.size]
        computed = self._extract(clips, epoch, store, own)
        for _ in range(max(distributed.collect(len(own)))):  # chunk by chunk, so that all know at once when one fails
            found |= distributed.together(lambda: _keep_next(computed, store))
        found |= {n: chunk for n in store.chunks if n not in found and (chunk := store.read(n)) is not None}
        unseen = [number for number in store.chunks if number not in found]
        found |= dict(self._extract(clips, epoch, store, unseen))
        if crew.leads:
            store.used()
        return StoredFeatures(store, [found[number] for number in store.chunks])

    def _kept(self, clips: ClipDataset, epoch: int, store: FeatureStore) -> dict[int, Chunk]:
        """The chunks that are kept and believed."""
        kept = {number: chunk for number in store.chunks if (chunk := store.read(number)) is not None}
        if kept and not self._still_true(clips, epoch, store, kept):
            _log.warning("the network gives other features than those in %s: computed again", store.folder)
            store.clear()
            kept = {}
        found = {n: chunk for n, chunk in kept.items() if not _can_be_read(clips, epoch, store.clips(n), chunk)}
        if kept:
            _log.info("features of %d of %d clips are kept in %s", _count(store, found), store.length, store.folder)
        return found

    def _extract(
        self, clips: ClipDataset, epoch: int, store: FeatureStore, missing: Sequence[int]
    ) -> Iterator[tuple[int, Chunk]]:
        """Number and content of each missing chunk."""
        if not missing:
            return  # a loader would start its workers
        asked = [
            (number, store.clips(number)[first : first + self._batch_size])
            for number in missing
            for first in range(0, len(store.clips(number)), self._batch_size)
        ]
        batches = _Batches(epoch, [indices for _, indices in asked], self._batch_size)
        loader = make_loader(clips, batches, workers=self._workers, pin=self._device.type == "cuda")
        tracked = zip(asked, self._track(loader, len(asked), "Backbone features"), strict=True)
        left = _count(store, missing)
        for number, group in groupby(tracked, key=lambda item: item[0][0]):
            yield number, self._chunk(clips, store, number, left, (batch for _, batch in group))
            left -= len(store.clips(number))

    def _chunk(
        self, clips: ClipDataset, store: FeatureStore, number: int, left: int, batches: Iterable[Batch]
    ) -> Chunk:
        """Compute a chunk; nothing waits for the device before its end."""
        asked = store.clips(number)
        errors: dict[int, str] = {}
        parts: list[tuple[Tensor, Tensor]] = []
        places: list[int] = []
        for batch in batches:
            errors |= {failure.video: failure.error for failure in batch.failures}
            if len(batch):
                parts.append(self._features(clips, batch))
                places += [index - asked.start for _, index in batch.keys]
                if len(parts) == 1:
                    require_space(store.folder, left * parts[0][0][0].nbytes)
        labels = torch.full((len(asked),), -1, dtype=torch.int64)
        if not parts:
            features = torch.empty(0, dtype=self._dtype)
        else:
            features = self._finite(torch.cat([part for part, _ in parts])).cpu()
            labels[places] = torch.cat([part for _, part in parts]).cpu()
        failed = [place for place, label in enumerate(labels.tolist()) if label < 0]
        return Chunk(features, labels, {place: errors[clips.locate(asked[place])[0]] for place in failed})

    def _features(self, clips: ClipDataset, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features and labels of a batch, on the device."""
        augmented = clips.augment(batch.to(self._device))
        return self._compute(augmented.inputs).to(self._dtype), augmented.labels

    def _finite(self, features: Tensor) -> Tensor:
        if self._dtype == torch.float16 and not features.isfinite().all():
            raise ConfigError(
                "features_dtype=float16 cannot hold these features (65504 is its largest number): bfloat16"
            )
        return features

    def _still_true(self, clips: ClipDataset, epoch: int, store: FeatureStore, kept: Mapping[int, Chunk]) -> bool:
        """Whether the network gives the first and the last clip that is kept the features that are kept."""
        ends = _ends(store, kept)
        batch = collate([clips[epoch, index] for index, _, _ in ends])
        if len(batch) < len(ends):
            return False
        if not ends:
            return True
        features, labels = (tensor.cpu() for tensor in self._features(clips, batch))
        return all(
            label == stored_label and _alike(computed, stored)
            for computed, label, (_, stored, stored_label) in zip(features, labels.tolist(), ends, strict=True)
        )


class _Batches(Batches):
    """Batches of clips that follow each other."""

    def __init__(self, epoch: int, batches: Sequence[range], batch_size: int) -> None:
        self._epoch = epoch
        self._batches = batches
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Key]]:
        for indices in self._batches:
            yield [(self._epoch, index) for index in indices]


def _keep_next(computed: Iterator[tuple[int, Chunk]], store: FeatureStore) -> dict[int, Chunk]:
    """Write the next chunk, if there is one; what was written, memory-mapped."""
    item = next(computed, None)
    if item is None:
        return {}
    number, chunk = item
    store.write(number, chunk)
    return {number: store.read(number) or chunk}


def _count(store: FeatureStore, chunks: Iterable[int]) -> int:
    return sum(len(store.clips(number)) for number in chunks)


def _ends(store: FeatureStore, kept: Mapping[int, Chunk]) -> list[tuple[int, Tensor, int]]:
    """Index, features and label of the first and the last clip that could be read; nothing where none could."""
    numbers = [number for number in sorted(kept) if len(kept[number].features)]
    ends = []
    for number, row in [(numbers[0], 0), (numbers[-1], -1)] if numbers else ():
        chunk = kept[number]
        place = int(torch.nonzero(chunk.labels >= 0)[row])
        ends.append((store.clips(number)[place], chunk.features[row], int(chunk.labels[place])))
    return ends


def _can_be_read(clips: ClipDataset, epoch: int, indices: range, chunk: Chunk) -> bool:
    """Whether something could not be read when a chunk was made, and can be now: the reason lay outside of the file."""
    return any(isinstance(clips[epoch, indices[place]], Clip) for place in chunk.errors)


def _alike(first: Tensor, second: Tensor) -> bool:
    """Whether features agree but for rounding, which depends on the batch, on threads and on how they are kept."""
    first, second = first.float(), second.float()
    return first.shape == second.shape and bool((first - second).norm() <= _TOLERANCE * second.norm())
