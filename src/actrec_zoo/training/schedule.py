"""Learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from actrec_zoo.config import TrainConfig


def lr_factor(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """Factor on the learning rate at a step.

    Args:
        config: schedule, milestones, gamma, warm-up and epochs.
        epoch: epochs completed, from 0.
        step: steps completed in this epoch, from 0.
        steps: steps an epoch.
    """
    progress = epoch + step / max(steps, 1)
    if progress < config.warmup_epochs:
        return (progress * steps + 1) / (config.warmup_epochs * steps + 1)
    match config.schedule:
        case "step":
            return math.prod(config.gamma for milestone in config.milestones if epoch >= milestone)
        case "cosine":
            done = (progress - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
            return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        case _:
            return 1.0
