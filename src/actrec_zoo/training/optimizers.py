"""Optimizers by name, over the parameters that train."""

from torch.optim import SGD, Adam, AdamW, Optimizer

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.training.parameters import parameter_groups
from actrec_zoo.training.sharding import has_parts


def make_optimizer(model: VideoClassifier, config: TrainConfig) -> Optimizer:
    """The optimizer of the configuration over the parameters that train, fused where the device allows it.

    Raises:
        ConfigError: a learning-rate factor names a group that does not exist.
    """
    groups = [
        {"params": parameters, "lr_factor": factor, "lr": config.lr * factor}
        for factor, parameters in parameter_groups(model.net, model.spec, config.lr_factors)
    ]
    fused = model.device.type in ("cpu", "cuda") and not has_parts(model)  # fused SGD knows no DTensor
    match config.optimizer:
        case "adam":
            return Adam(groups, lr=config.lr, weight_decay=config.weight_decay, fused=fused)
        case "sgd":
            return SGD(groups, lr=config.lr, weight_decay=config.weight_decay, momentum=config.momentum, fused=fused)
        case _:
            return AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=fused)
