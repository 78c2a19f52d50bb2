"""Clips of a manifest as a map-style dataset, and batches of them in an order that (seed, epoch) alone decides."""

from __future__ import annotations

import gc
import hashlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from actrec_zoo.data.augmentation import Augmentation
from actrec_zoo.data.balance import balanced
from actrec_zoo.data.decode import Source, open_source
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.streams import Stream, generator
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.data.workers import heed_terminations_of_parent_alone, read_ahead, room_for_batches
from actrec_zoo.distributed import rank, share, size
from actrec_zoo.errors import DataError

Key = tuple[int, int]
"""(epoch, index) of a clip. An index beyond the clips counts from the first one again, for a repeat of that clip, about
which all that is random is drawn anew."""


class Clip(NamedTuple):
    """One clip: frames uint8[T, 3, S, S] (RGB), class index, video index of the manifest, number of the view, key."""

    frames: Tensor
    label: int
    video: int
    view: int
    key: Key


class Failure(NamedTuple):
    """A video that cannot be used, and why."""

    video: int
    path: str
    error: str


class Dataset(Protocol):
    """What the trainer and the evaluator need of data."""

    classes: Sequence[str]

    def __len__(self) -> int:
        """Number of clips."""

    def clip(self, index: int, epoch: int) -> Clip:
        """Clip `index` of an epoch; raises DataError where the video cannot be read."""


@dataclass(frozen=True)
class Batch:
    """Clips stacked, and the videos that failed among those asked for.

    Attributes:
        inputs: uint8[B, T, 3, S, S], or features once a frozen backbone has run.
        labels: int64[B], or the share of each class, float32[B, K], once clips are mixed.
        videos: int64[B].
        views: int64[B].
        keys: (epoch, index) of each clip.
        failures: videos whose clips are missing.
        class_weights: float32[K], how much each class counts in the loss; None where all count alike.
    """

    inputs: Tensor
    labels: Tensor
    videos: Tensor
    views: Tensor
    keys: tuple[Key, ...] = ()
    failures: tuple[Failure, ...] = ()
    class_weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        """The batch with inputs and labels on a device."""
        return replace(
            self,
            inputs=self.inputs.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, for DataLoader."""
        return replace(self, inputs=self.inputs.pin_memory(), labels=self.labels.pin_memory())


class ClipDataset(TorchDataset["Clip | Failure"]):
    """Clips of some videos of a probed manifest.

    Args:
        manifest: with frame counts.
        videos: indices into the manifest.
        sampler: cuts videos into clips.
        transform: resize and crop.
        seed: of everything random.
        augmentation: what `augment` does.
    """

    def __init__(
        self,
        manifest: Manifest,
        videos: IntArray,
        sampler: ClipSampler,
        transform: ClipTransform,
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.manifest = manifest
        self.classes = manifest.classes
        self.videos = videos
        self.sampler = sampler
        self.transform = transform
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        clips = sampler.clips_per_video(manifest.frames[videos], manifest.rates[videos]) * transform.crops
        self._ends = np.cumsum(clips, dtype=np.int64)
        self._open: tuple[int, Source] | None = None
        self._resized: tuple[tuple[int, int], Tensor] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def deterministic(self) -> bool:
        """Whether every epoch sees the same pixels."""
        return self.sampler.deterministic and self.transform.deterministic and not self.augmentation.names

    @property
    def labels(self) -> IntArray:
        """Class of each clip before it is augmented, int64[clips]."""
        return np.repeat(self.manifest.labels[self.videos].astype(np.int64), np.diff(self._ends, prepend=0))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Videos that the probe could not read; they have no clips."""
        failed = self.videos[np.isin(self.videos, list(self.manifest.errors))].tolist()
        return tuple(Failure(video, self.manifest.name(video), self.manifest.errors[video]) for video in failed)

    @property
    def clip_size(self) -> int:
        """Bytes of the frames of a clip."""
        black = torch.zeros(self.sampler.frames, 3, 1, 1, dtype=torch.uint8)
        return self.transform(black, (0, 0, 0)).nbytes

    def digest(self) -> str:
        """Changes with the videos, their classes and lengths, wherever they lie and whenever they were written."""
        digest = hashlib.sha256(self.manifest.frames[self.videos].tobytes())
        digest.update(self.manifest.labels[self.videos].tobytes())
        for video in self.videos.tolist():
            digest.update(f"{self.manifest.name(video)}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def locate(self, index: int) -> tuple[int, int]:
        """Video index of the manifest and number of the view of clip `index`; all crops of a run of frames are views
        that follow each other.
        """
        number = index % len(self)
        position = int(np.searchsorted(self._ends, number, side="right"))
        first = int(self._ends[position - 1]) if position else 0
        return int(self.videos[position]), number - first

    def clip(self, index: int, epoch: int) -> Clip:
        """Clip `index` of an epoch, a pure function of (seed, epoch, index).

        Raises:
            DataError: the video cannot be read.
        """
        video, view = self.locate(index)
        key = (self.seed, epoch, index)
        if self.transform.crops == 1:
            frames = self.transform(self._read(video, view, key), key)
        else:
            run, crop = divmod(view, self.transform.crops)
            frames = self.transform.crop(self._read_and_resize(video, run, key), key, crop)
        return Clip(frames, int(self.manifest.labels[video]), video, view, (epoch, index))

    def blank(self, device: torch.device) -> Batch:
        """A batch of one black clip, for a process that has no other."""
        side = self.transform.size
        clip = torch.zeros(1, self.sampler.frames, 3, side, side, dtype=torch.uint8, device=device)
        return blank_batch(clip)

    def augment(self, batch: Batch) -> Batch:
        """A batch of these clips augmented on its device, each clip as (seed, epoch, index) says."""
        keys = [(self.seed, *key) for key in batch.keys]
        inputs, labels = self.augmentation(batch.inputs, batch.labels, keys)
        return replace(batch, inputs=inputs, labels=labels)

    def __getitem__(self, key: Key) -> Clip | Failure:
        epoch, index = key
        try:
            return self.clip(index, epoch)
        except DataError as error:
            self.close()
            video, _ = self.locate(index)
            return Failure(video, self.manifest.name(video), str(error))

    def close(self) -> None:
        """Let go of the video that is open."""
        self._open = self._resized = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_open": None, "_resized": None}

    def _read(self, video: int, run: int, key: tuple[int, int, int]) -> Tensor:
        """The frames of a run of a video, uint8[T, 3, h, w]."""
        length, rate = int(self.manifest.frames[video]), float(self.manifest.rates[video])
        numbers = self.sampler.frame_numbers(length, run, key, rate)
        return self._source(video).read(numbers + self.manifest.offsets[video])

    def _read_and_resize(self, video: int, run: int, key: tuple[int, int, int]) -> Tensor:
        """The frames of a run, kept for its next crop."""
        if self._resized is None or self._resized[0] != (video, run):
            self._resized = ((video, run), self.transform.resize(self._read(video, run, key)))
        return self._resized[1]

    def _source(self, video: int) -> Source:
        """The video, kept open for the next clip of it."""
        if self._open is None or self._open[0] != video:
            self._open = (video, open_source(self.manifest.path(video), self.transform.least))
        return self._open[1]


class Batches(Sampler[list[Key]]):
    """Batches of (epoch, index) of at most `batch_size` clips."""

    batch_size: int


class EpochBatches(Batches):
    """Batches of (epoch, index) in an order drawn from (seed, epoch): every clip once an epoch, none dropped.

    Where classes are given, an epoch has as many clips and every class the same number of them, give or take one: of a
    large class other clips in every epoch, of a small one all clips equally often, give or take once.

    Args:
        length: number of clips.
        batch_size: clips in a batch; the last one may have fewer.
        shuffle: random order, else by index.
        seed: of the order.
        parts: that each batch is given in, one after the other; some are empty where a batch has fewer clips.
        shared: whether each of several processes gets its share of every part, or each gets all.
        classes: int64[length], the class of each clip, where classes are to be equally frequent; needs `shuffle`.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        parts: int = 1,
        shared: bool = True,
        classes: IntArray | None = None,
    ) -> None:
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.parts = parts
        self.shared = shared
        self.classes = classes
        self.epoch = 0
        self.first = 0

    def start(self, epoch: int, first: int = 0) -> None:
        """Go to batch `first` of an epoch."""
        self.epoch, self.first = epoch, first

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.length // self.batch_size)

    def __len__(self) -> int:
        return (self.steps - self.first) * self.parts

    def size(self, batch: int) -> int:
        """Clips in a batch."""
        return min(self.batch_size, self.length - batch * self.batch_size)

    def batch(self, number: int) -> list[Key]:
        """The clips of one batch of the epoch."""
        return self._keys(self._order(), number)

    def __iter__(self) -> Iterator[list[Key]]:
        order = self._order()
        for number in range(self.first, self.steps):
            keys = self._keys(order, number)
            for part in range(self.parts):
                yield list(share(keys, part, self.parts)) if self.shared else keys[part :: self.parts]

    def _order(self) -> IntArray:
        draw = generator(Stream.ORDER, self.seed, self.epoch)
        order: IntArray
        if self.classes is None:
            order = np.arange(self.length, dtype=np.min_scalar_type(self.length))
        else:
            order = balanced(self.classes, draw)
        if self.shuffle:
            draw.shuffle(order)
        return order

    def _keys(self, order: IntArray, number: int) -> list[Key]:
        start = number * self.batch_size
        return [(self.epoch, index) for index in order[start : start + self.batch_size].tolist()]


class WholeBatches(Batches):
    """Batches of (0, index): every clip once, by index. Each of several processes gets whole ones, so that a clip is
    computed with the same others as in one process; all get as many, and the last of them may be empty.

    Args:
        length: number of clips.
        batch_size: clips in a batch; the last one may have fewer.
    """

    def __init__(self, length: int, batch_size: int) -> None:
        self.length = length
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.length // (self.batch_size * size()))

    def __iter__(self) -> Iterator[list[Key]]:
        for number in range(len(self)):
            first = (number * size() + rank()) * self.batch_size
            yield [(0, index) for index in range(first, min(first + self.batch_size, self.length))]


def blank_batch(inputs: Tensor) -> Batch:
    """A batch with these inputs, of one clip that belongs to no video."""
    none = torch.zeros(1, dtype=torch.int64)
    return Batch(inputs, none.to(inputs.device), none, none, ((0, 0),))


def collate(items: Sequence[Clip | Failure]) -> Batch:
    """Stack the clips of a batch; failures are kept beside them."""
    clips = [item for item in items if isinstance(item, Clip)]
    return Batch(
        inputs=torch.stack([c.frames for c in clips]) if clips else torch.empty(0, dtype=torch.uint8),
        labels=torch.tensor([c.label for c in clips], dtype=torch.int64),
        videos=torch.tensor([c.video for c in clips], dtype=torch.int64),
        views=torch.tensor([c.view for c in clips], dtype=torch.int64),
        keys=tuple(c.key for c in clips),
        failures=tuple(item for item in items if isinstance(item, Failure)),
    )


def make_loader(
    dataset: TorchDataset[Clip | Failure], batches: Batches, *, workers: int, pin: bool = False
) -> DataLoader[Batch]:
    """A DataLoader that decodes in worker processes, which live as long as the loader.

    There are fewer of them, or none, where their batches would not fit in memory.
    """
    clip_size = dataset.clip_size if isinstance(dataset, ClipDataset) and workers else 0
    ahead = read_ahead(workers, clip_size * batches.batch_size, room_for_batches())
    return DataLoader(
        cast("TorchDataset[Batch]", dataset),
        batch_sampler=batches,
        num_workers=ahead.workers,
        prefetch_factor=ahead.batches or None,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=ahead.workers > 0,
        worker_init_fn=begin_worker,
    )


_of_the_parent: list[object] = []


def begin_worker(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal, SIGTERM every one of a node that is preempted; the main process
    decides when the workers end.

    A video that was open at the fork is opened anew: all processes would move the one place in the file. Nothing that
    came with the fork is freed here: a decoder or scaler would wait for its threads, which stayed in the parent.
    """
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    heed_terminations_of_parent_alone()
    info = get_worker_info()
    if info is not None and isinstance(info.dataset, ClipDataset):
        _of_the_parent.append(info.dataset._open)
        info.dataset.close()
