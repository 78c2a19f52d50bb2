"""Optimizers by name, over the parameters that train."""

from torch.optim import SGD, Adam, AdamW, Optimizer

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.config import TrainConfig
from actrec_zoo.training.parameters import parameter_groups
from actrec_zoo.training.sharding import has_parts


def make_optimizer(model: VideoClassifier, config: TrainConfig) -> Optimizer:
    """The optimizer of the configuration over the parameters that train, fused where the device allows it.

    Raises:
        ConfigError: `lr_factors` names a group that does not exist, or the layers for `layer_decay` are not known.
    """
    groups = [
        {
            "params": group.parameters,
            "lr_factor": group.lr_factor,
            "lr": config.lr * group.lr_factor,
            "weight_decay": config.weight_decay if group.decays else 0.0,
        }
        for group in parameter_groups(model.net, model.spec, config)
    ]
    fused = model.device.type in ("cpu", "cuda") and not has_parts(model)  # fused SGD knows no DTensor
    match config.optimizer:
        case "adam":
            return Adam(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)
        case "sgd":
            return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
        case _:
            return AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)
