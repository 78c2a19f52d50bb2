"""The training loop: steps, validation after every epoch, the best epoch. Built on accelerate."""

import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from actrec_zoo import distributed
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.balance import class_counts, class_weights
from actrec_zoo.data.dataset import Batch, EpochBatches, Failure, make_loader
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.streams import Stream, derive_seed
from actrec_zoo.devices import seed_draws
from actrec_zoo.errors import ConfigError, DataError, RunError, first_line
from actrec_zoo.evaluation.evaluator import EvalReport
from actrec_zoo.evaluation.inference import AS_THEY_ARE, TrainingData, gather
from actrec_zoo.precision import Precision, resolve_precision
from actrec_zoo.training.average import MovingAverage
from actrec_zoo.training.mixing import Mixing
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.optimizers import make_optimizer
from actrec_zoo.training.parameters import set_training_mode
from actrec_zoo.training.profile import DataWait
from actrec_zoo.training.rehearsal import count_step_flops
from actrec_zoo.training.schedule import learning_rate
from actrec_zoo.training.sharding import begin, divide, is_divided, undivided
from actrec_zoo.training.state import Callback, Callbacks, EpochRecord, InterruptFlag, Running, TrainingState
from actrec_zoo.training.step_profile import StepProfile
from actrec_zoo.training.update import TrainedNetwork, Update

_FAILURES_ALWAYS_ALLOWED = 3
_FAILURES_ALLOWED_SHARE = 0.01
_STEPS_UNCHECKED = 50  # on a GPU, which each look at the loss would wait for
_SHOWN = 3


@dataclass(frozen=True)
class TrainResult:
    """What training gave: the best and the last epoch, all epochs, and the videos that could not be read."""

    best: EpochRecord
    last: EpochRecord
    history: tuple[EpochRecord, ...]
    failures: tuple[Failure, ...] = ()


class Trainer(Protocol):
    """A training loop."""

    def fit(
        self,
        model: VideoClassifier,
        train: TrainingData,
        val: TrainingData,
        config: TrainConfig,
        objective: Objective,
        callbacks: Sequence[Callback],
    ) -> TrainResult:
        """Train `model` in place.

        The parameters that require a gradient train; `train` and `val` give clips, or features of a frozen
        backbone. Callbacks save what has to be kept.

        Raises:
            DataError: too many videos cannot be read.
            KeyboardInterrupt: after Ctrl-C, when the callbacks have saved the state.
        """


@contextmanager
def _without_variables(prefix: str) -> Iterator[None]:
    """Within, the environment has no variable whose name begins so."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def _compiler_named(config: TrainConfig) -> Iterator[None]:
    """Within, an error of torch.compile is one that says what to do.

    Raises:
        RunError: the network cannot be compiled, or there is no compiler.
    """
    try:
        yield
    except RuntimeError as error:
        if not config.compile or not isinstance(error, torch._dynamo.exc.TorchDynamoException):
            raise
        raise RunError(f"torch.compile fails: {first_line(error)}. --set compile=false trains without it") from error


class SupervisedTrainer:
    """The trainer of the zoo."""

    @_without_variables("ACCELERATE_")  # accelerate looks at some of them in every step
    def fit(
        self,
        model: VideoClassifier,
        train: TrainingData,
        val: TrainingData,
        config: TrainConfig,
        objective: Objective,
        callbacks: Sequence[Callback],
    ) -> TrainResult:
        """See `Trainer.fit`."""
        precision = resolve_precision(config.precision, model.device)
        accelerator = make_accelerator(model.device, precision)
        network: nn.Module = TrainedNetwork(model, train)
        if config.compile:
            network.compile()
            model.net.compile()  # for validation
        if is_divided(config, precision):  # before the optimizer, which then holds parts
            divide(network, model.device)
            begin(network, train.blank(model.device).inputs)
            prepared = accelerator.prepare(make_optimizer(model, config))
        else:
            network, prepared = accelerator.prepare(network, make_optimizer(model, config))
        batches = EpochBatches(
            len(train),
            config.step_size,
            shuffle=True,
            seed=config.seed,
            parts=config.accumulate,
            classes=train.labels if config.balance == "sampling" else None,
        )
        state = TrainingState(model, prepared.optimizer, config, Running(model.device), steps=batches.steps)
        state.ema = None if config.ema is None else MovingAverage(model, config.ema)
        state.scaler = accelerator.scaler
        state.wait = DataWait(model.device, exact=config.profile)
        told = Callbacks(callbacks)
        # from here on, since Ctrl-C must not cut the start of workers in two
        with _compiler_named(config), InterruptFlag() as interrupt:
            told.on_start(state)
            if config.profile and distributed.is_first():
                state.profile = _make_profile(state, train, objective, precision)
            update = Update(accelerator, network, state, objective)
            loop = _Loop(state, train, val, batches, update, precision, told)
            for failure in (*train.failures, *val.failures):
                loop.note_failure(failure)
            while not state.done:
                loop.run_epoch(interrupt)
        if state.best is None:
            raise ConfigError(f"epochs={config.epochs} leaves nothing to train")
        return TrainResult(state.best, state.history[-1], tuple(state.history), tuple(state.failures.values()))


class _Loop:
    """One run of the loop: what does not change from step to step."""

    def __init__(
        self,
        state: TrainingState,
        train: TrainingData,
        val: TrainingData,
        batches: EpochBatches,
        update: Update,
        precision: Precision,
        callbacks: Callback,
    ) -> None:
        self._state = state
        self._train = train
        self._val = val
        self._batches = batches
        self._update = update
        self._precision = precision
        self._callbacks = callbacks
        self._device = state.model.device
        self._videos = len(train.videos) + len(val.videos)
        config = state.config
        self._mix = Mixing(config.mixup, config.cutmix, len(train.classes))
        self._class_weights = _class_weights(train).to(state.model.device) if config.balance == "weights" else None
        self._workers = 0 if isinstance(train, FeatureDataset) else (config.workers or 0)
        self._loader = make_loader(train, batches, workers=self._workers, pin=self._device.type == "cuda")

    def run_epoch(self, interrupt: InterruptFlag) -> None:
        """Train from where the state stands to the end of the epoch, validate, record."""
        state = self._state
        started = time.perf_counter() - state.seconds
        self._batches.start(state.epoch, state.step)
        set_training_mode(state.model)
        try:
            asked = self._loader if state.profile is None else state.profile.over(self._loader)
            parts = asked if state.wait is None else state.wait.over(asked)
            for batch, part in zip(parts, itertools.cycle(range(self._batches.parts)), strict=False):
                self._take(batch, part)
                if part == self._batches.parts - 1:
                    self._end_step(started)
                    interrupt.check()
            self._require_finite()
            distributed.spread(state.model.buffers())
            with undivided(self._update.network):
                gathered = gather(
                    state.answering,
                    self._val,
                    batch_size=state.config.evaluated_at_once(distributed.size()),
                    workers=self._workers,
                    precision=self._precision,
                    check=interrupt.check,
                )
            report = gathered[AS_THEY_ARE].compute()
        except KeyboardInterrupt:
            if not interrupt.forced:
                self._require_savable()
                self._callbacks.on_interrupt(state)
            raise
        found = itertools.chain.from_iterable(distributed.collect(list(state.failures.values())))
        distributed.together(lambda: self._note_all(report, found))
        loss, top1 = state.running.means()
        val_loss = report.video.loss if report.video.loss is not None else math.inf
        if math.isnan(val_loss):
            raise RunError(
                f"the validation loss of epoch {state.epoch + 1} is not a number: lower the learning "
                "rate (--set lr=...). Nothing of that epoch is saved."
            )
        seconds, last_lr = time.perf_counter() - started, self._lr_at(state.steps - 1)
        self._finish(EpochRecord(state.epoch + 1, loss, top1, val_loss, report.video.top1, last_lr, seconds))

    def note_failure(self, failure: Failure) -> None:
        """Count a video that cannot be read, once.

        Raises:
            DataError: there are too many.
        """
        failures = self._state.failures
        if failure.video in failures:
            return
        failures[failure.video] = failure
        self._callbacks.on_failure(self._state, failure)
        allowed = max(_FAILURES_ALLOWED_SHARE * self._videos, _FAILURES_ALWAYS_ALLOWED)
        if len(failures) > allowed:
            listed = "; ".join(f.error for f in list(failures.values())[:_FAILURES_ALWAYS_ALLOWED])
            raise DataError(
                f"{len(failures)} of {self._videos} videos cannot be read, more than the {int(allowed)} allowed: "
                f"{listed}; ... Repair or remove them."
            )

    def _note_all(self, report: EvalReport, found: Iterable[Failure]) -> None:
        """Count what could not be read in validation, and in any process."""
        for failed in report.failures:
            self._note_failed(failed["path"], failed["error"])
        for failure in found:
            self.note_failure(failure)

    def _note_failed(self, name: str, error: str) -> None:
        manifest = self._val.manifest
        video = next(v for v in self._val.videos.tolist() if manifest.name(v) == name)
        self.note_failure(Failure(video, name, error))

    def _take(self, batch: Batch, part: int) -> None:
        """Train on a part of a batch; what of it cannot be read is noted."""
        state = self._state
        device, last = self._device, part == self._batches.parts - 1
        for failure in batch.failures:
            self.note_failure(failure)
        if not len(batch):
            self._update.add_nothing(self._train.blank(device), last=last)
            return
        with state.part("host to device"):
            on_device = batch.to(device)
        with state.part("augmentation"):
            on_device = self._train.augment(on_device)
        number = part * distributed.size() + distributed.rank()
        key = (state.config.seed, state.epoch, state.step, number)
        mixed = replace(self._mix(on_device, *key), class_weights=self._class_weights)
        seed_draws(device, derive_seed(Stream.DROPOUT, *key))
        self._update.add(mixed, of=self._batches.size(state.step), last=last)

    def _end_step(self, started: float) -> None:
        state, every = self._state, self._state.config.checkpoint_steps
        self._set_lr()
        with state.part("optimiser"):
            self._update.apply()
        if state.profile is not None:
            state.profile.end_step(self._batches.size(state.step) / distributed.size())
        state.step += 1
        state.seconds = time.perf_counter() - started
        if self._device.type == "cpu" or state.step % _STEPS_UNCHECKED == 0:
            self._require_finite()
        self._callbacks.on_step(state)
        if every and state.step % every == 0 and state.step < state.steps:
            self._require_savable()
            self._callbacks.on_checkpoint(state)

    def _require_finite(self) -> None:
        """Stop before anything is saved when the loss of a step was no number."""
        step = self._update.first_not_finite()
        if step is None:
            return
        keys = self._batches.batch(step)
        videos = dict.fromkeys(self._train.manifest.paths[self._train.locate(index)[0]] for _, index in keys)
        listed = ", ".join(list(videos)[:_SHOWN]) + (", ..." if len(videos) > _SHOWN else "")
        raise RunError(
            f"the loss is not a number in epoch {self._state.epoch + 1}, step {step + 1} ({listed}): lower the "
            "learning rate (--set lr=...) or limit the gradient (--set clip_grad=1). Nothing of that step is saved."
        )

    def _require_savable(self) -> None:
        """Stop before a step is saved that led to weights which are no numbers, from a loss that still was one."""
        self._require_finite()
        if not self._update.weights_are_finite():
            raise RunError(
                f"a weight is not a number in epoch {self._state.epoch + 1} after step {self._state.step}: the "
                "gradient was none. Lower the learning rate (--set lr=...) or compute more exactly (--set "
                "precision=fp32). Nothing of that step is saved."
            )

    def _set_lr(self) -> None:
        rate = self._lr_at(self._state.step)
        for group in self._state.optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]

    def _lr_at(self, step: int) -> float:
        """Learning rate at a step of the current epoch."""
        state = self._state
        return learning_rate(state.config, state.epoch, step, state.steps)

    def _finish(self, record: EpochRecord) -> None:
        state = self._state
        state.history.append(record)
        if state.best is None or record.rank > state.best.rank:
            state.best = record
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        state.running = Running(state.model.device)
        self._callbacks.on_epoch_end(state)


def _class_weights(train: TrainingData) -> Tensor:
    """How much a clip of each class counts, float32[K]."""
    mirrored = train.augmentation.mirrored
    counts = class_counts(train.labels, len(train.classes), None if mirrored is None else mirrored.cpu().numpy())
    return torch.from_numpy(class_weights(counts)).float()


def _make_profile(state: TrainingState, train: TrainingData, objective: Objective, precision: Precision) -> StepProfile:
    def flops() -> int | None:
        try:
            return count_step_flops(state.model, train, state.config, objective)
        except RunError:
            return None

    left = (state.config.epochs - state.epoch) * state.steps - state.step
    inputs = "features" if isinstance(train, FeatureDataset) else "clips"
    return StepProfile(state.model.device, precision, left, inputs, flops)


@_without_variables("ACCELERATE_")
def make_accelerator(device: torch.device, precision: Precision = "fp32") -> Accelerator:
    """accelerate on the device of the model, without the settings that its launcher and the environment have for it.

    Raises:
        ConfigError: accelerate chose another device.
        RunError: it counts other processes than have met.
    """
    AcceleratorState._reset_state(reset_partial_state=distributed.size() == 1)  # it remembers an earlier run's device
    mixed = "no" if precision == "fp32" else precision
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=mixed)
    if accelerator.device.type != device.type:
        raise ConfigError(f"accelerate chose {accelerator.device.type} where {device.type} was asked for")
    if accelerator.num_processes != distributed.size():
        raise RunError(f"accelerate counts {accelerator.num_processes} processes where {distributed.size()} have met")
    return accelerator
