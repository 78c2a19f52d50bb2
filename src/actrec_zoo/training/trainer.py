"""The training loop: steps, validation after every epoch, the best epoch. Built on accelerate."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.data.dataset import EpochBatches, Failure, make_loader
from actrec_zoo.data.features import FeatureDataset
from actrec_zoo.data.transforms import derive_seed
from actrec_zoo.errors import ConfigError, DataError, RunError
from actrec_zoo.evaluation.inference import Forward, TrainingData, forward_of, run_evaluation
from actrec_zoo.training.objective import Objective
from actrec_zoo.training.parameters import only_head_trains, parameter_groups, set_training_mode
from actrec_zoo.training.profile import DataWait
from actrec_zoo.training.schedule import lr_factor
from actrec_zoo.training.state import Callback, Callbacks, EpochRecord, InterruptFlag, Running, TrainingState

_FAILURES_ALWAYS_ALLOWED = 3
_FAILURES_ALLOWED_SHARE = 0.01


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


class SupervisedTrainer:
    """The trainer of the zoo."""

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
        accelerator = make_accelerator(model.device)
        optimizer = make_optimizer(model, config)
        model, optimizer = accelerator.prepare(model, optimizer)
        batches = EpochBatches(len(train), config.batch_size, shuffle=True, seed=config.seed)
        state = TrainingState(model, optimizer, config, Running(model.device), steps=len(batches))
        state.wait = DataWait(model.device, exact=config.profile)
        told = Callbacks(callbacks)
        told.on_start(state)
        loop = _Loop(accelerator, state, train, val, batches, objective, told)
        for failure in (*train.failures, *val.failures):
            loop.note_failure(failure)
        with InterruptFlag() as interrupt:
            while not state.done:
                loop.run_epoch(interrupt)
        if state.best is None:
            raise ConfigError(f"epochs={config.epochs} leaves nothing to train")
        return TrainResult(state.best, state.history[-1], tuple(state.history), tuple(state.failures.values()))


class _Loop:
    """One run of the loop: what does not change from step to step."""

    def __init__(
        self,
        accelerator: Accelerator,
        state: TrainingState,
        train: TrainingData,
        val: TrainingData,
        batches: EpochBatches,
        objective: Objective,
        callbacks: Callback,
    ) -> None:
        self._accelerator = accelerator
        self._state = state
        self._train = train
        self._val = val
        self._batches = batches
        self._objective = objective
        self._callbacks = callbacks
        self._videos = len(train.videos) + len(val.videos)
        config = state.config
        self._workers = 0 if isinstance(train, FeatureDataset) else (config.workers or 0)
        self._loader = make_loader(train, batches, workers=self._workers, pin=state.model.device.type == "cuda")
        self._forward = _training_forward(state.model, train)

    def run_epoch(self, interrupt: InterruptFlag) -> None:
        """Train from where the state stands to the end of the epoch, validate, record."""
        state = self._state
        started = time.perf_counter() - state.seconds
        self._batches.start(state.epoch, state.step)
        set_training_mode(state.model)
        try:
            for batch in self._loader if state.wait is None else state.wait.over(self._loader):
                for failure in batch.failures:
                    self.note_failure(failure)
                if len(batch):
                    self._step(self._train.augment(batch.to(state.model.device)))
                state.step += 1
                state.seconds = time.perf_counter() - started
                self._callbacks.on_step(state)
                interrupt.check()
            report = run_evaluation(
                state.model,
                self._val,
                batch_size=state.config.batch_size,
                workers=self._workers,
                check=interrupt.check,
            )
        except KeyboardInterrupt:
            if not interrupt.forced:
                self._callbacks.on_interrupt(state)
            raise
        for failed in report.failures:
            self._note_failed_path(failed["path"], failed["error"])
        loss, top1 = state.running.means()
        val_loss = report.video.loss if report.video.loss is not None else math.inf
        if math.isnan(loss) or math.isnan(val_loss):
            raise RunError(
                f"the loss of epoch {state.epoch + 1} is not a number (training {loss}, validation {val_loss}): "
                "lower the learning rate (--lr). The checkpoint of the epoch before is kept."
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

    def _note_failed_path(self, path: str, error: str) -> None:
        manifest = self._val.manifest
        video = next(v for v in self._val.videos.tolist() if manifest.paths[v] == path)
        self.note_failure(Failure(video, path, error))

    def _step(self, batch: Any) -> None:
        state = self._state
        self._set_lr()
        torch.manual_seed(derive_seed((state.config.seed, state.epoch, state.step)))
        loss, figures = self._objective(self._forward, batch)
        state.optimizer.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        state.optimizer.step()
        state.running.add(len(batch), loss.detach(), figures.get("top1", torch.zeros_like(loss)))

    def _set_lr(self) -> None:
        rate = self._lr_at(self._state.step)
        for group in self._state.optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]

    def _lr_at(self, step: int) -> float:
        """Learning rate at a step of the current epoch."""
        state = self._state
        return state.config.lr * lr_factor(state.config, state.epoch, step, state.steps)

    def _finish(self, record: EpochRecord) -> None:
        state = self._state
        state.history.append(record)
        if state.best is None or record.rank > state.best.rank:
            state.best = record
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        state.running = Running(state.model.device)
        self._callbacks.on_epoch_end(state)


def make_accelerator(device: torch.device) -> Accelerator:
    """accelerate for one process on the device of the model.

    Raises:
        ConfigError: several processes were launched.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # it remembers the device of an earlier run
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.device.type != device.type:
        raise ConfigError(f"accelerate chose {accelerator.device.type} where {device.type} was asked for")
    if accelerator.num_processes > 1:
        raise ConfigError("training runs in one process: start it without `accelerate launch` or `torchrun`")
    return accelerator


def make_optimizer(model: VideoClassifier, config: TrainConfig) -> Optimizer:
    """The optimizer of the configuration over the parameters that train.

    Raises:
        ConfigError: a learning-rate factor names a group that does not exist.
    """
    groups = [
        {"params": parameters, "lr_factor": factor, "lr": config.lr * factor}
        for factor, parameters in parameter_groups(model.net, model.spec, config.lr_factors)
    ]
    match config.optimizer:
        case "adam":
            return Adam(groups, lr=config.lr, weight_decay=config.weight_decay)
        case "sgd":
            return SGD(groups, lr=config.lr, weight_decay=config.weight_decay, momentum=config.momentum)
        case _:
            return AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)


def _training_forward(model: VideoClassifier, data: TrainingData) -> Forward:
    """As `forward_of`, but without gradients through features that do not train."""
    if isinstance(data, FeatureDataset) or not only_head_trains(model.net, model.spec):
        return forward_of(model, data)

    @torch.no_grad()
    def features(clips: Tensor) -> Tensor:
        return model.forward_features(model.preprocess(clips))

    return lambda clips: model.forward_head(features(clips))
