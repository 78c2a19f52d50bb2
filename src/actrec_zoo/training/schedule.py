"""Learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from actrec_zoo.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """Learning rate at a step, before the factors of parameter groups.

    Args:
        config: rates, schedule, milestones, gamma, warm-up and epochs.
        epoch: epochs completed, from 0.
        step: steps completed in this epoch, from 0.
        steps: steps an epoch.
    """
    progress = epoch + step / max(steps, 1)
    if progress < config.warmup_epochs:
        return _between(config.warmup_lr, config.lr, (progress * steps + 1) / (config.warmup_epochs * steps + 1))
    match config.schedule:
        case "step":
            return config.lr * math.prod(config.gamma for milestone in config.milestones if epoch >= milestone)
        case "cosine":
            done = (progress - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
            return _between(config.min_lr, config.lr, 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
        case _:
            return config.lr


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
