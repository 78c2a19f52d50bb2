"""Whether a network takes its input with given options: found out without data, weights or, mostly, memory."""

import dataclasses
import json
import shlex
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from actrec_zoo.errors import ActrecZooError, ConfigError, PluginError
from actrec_zoo.loading import build, resolve_options
from actrec_zoo.registry import RegisteredModel
from actrec_zoo.spec import InputSpec

_Settings = tuple[InputSpec, Mapping[str, Any]]


def meta_network(
    model: RegisteredModel,
    num_classes: int | None = None,
    input: InputSpec | None = None,  # noqa: A002 (the field's name in every format)
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The network on the meta device: names and shapes without memory."""
    return _build("meta", model, num_classes or model.spec.num_classes, (input or model.spec.input, options or {}))


def check_fit(
    model: RegisteredModel,
    input: InputSpec,  # noqa: A002
    options: Mapping[str, Any],
) -> nn.Module:
    """Build the network without weights and pass one clip through it.

    Returns:
        The network, on the meta device where its builder can do that.

    Raises:
        ConfigError: it cannot be built so, or cannot take its input; the message tells the option or the flag that is
            in the way.
    """
    try:
        return _fitting_network(model, (input, options))
    except ConfigError as error:
        raise ConfigError(f"{str(error).rstrip('.')}. {_way_out(model, (input, options))}") from error


def _fitting_network(model: RegisteredModel, settings: _Settings) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again when the network is built for use
        try:
            return _after_one_clip("meta", model, settings)
        except Exception as error:
            if isinstance(error, ActrecZooError) and error.__cause__ is None:
                raise  # the network's own refusal
            # else it may be the meta device that is in the way, as for a builder that reads a tensor's value
            return _after_one_clip("cpu", model, settings)


def _after_one_clip(device: str, model: RegisteredModel, settings: _Settings) -> nn.Module:
    input, options = settings  # noqa: A001
    net = _build(device, model, model.spec.num_classes, settings)
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, 3, input.frames, input.size, input.size, device=device))
    except Exception as error:  # a plugin's network may raise anything
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        given = f" with the options {dict(options)}" if options else ""
        raise ConfigError(
            f"{model.id} cannot take {input.frames} frames of {input.size}x{input.size}{given}: {reason}"
        ) from error
    return net


def _build(device: str, model: RegisteredModel, num_classes: int, settings: _Settings) -> nn.Module:
    options = resolve_options(model, *settings)
    with torch.device(device):
        return build(model, num_classes=num_classes, options=options)


def _way_out(model: RegisteredModel, settings: _Settings) -> str:
    """The flags that undo what is in the way, where one of them is enough."""
    flags = [flag for flag, undone in _each_undone(model, settings) if _fits(model, undone)]
    if flags:
        return f"It works with {' or with '.join(flags)}, the model's own"
    return f"`actrec-zoo info {model.id}` shows the model's own frames, size and options"


def _each_undone(model: RegisteredModel, settings: _Settings) -> list[tuple[str, _Settings]]:
    """The settings with one of them given back its own value: flag and result of each."""
    (input, options), own = settings, model.spec.input  # noqa: A001
    undone: list[tuple[str, _Settings]] = []
    if input.frames != own.frames:
        undone.append((f"--frames {own.frames}", (dataclasses.replace(input, frames=own.frames), options)))
    if input.size != own.size:
        undone.append((f"--size {own.size}", (input.with_size(own.size), options)))
    for name in options:
        others = {key: value for key, value in options.items() if key != name}
        undone.append((_own_option(name, model.spec.options[name]), (input, others)))
    return undone


def _own_option(name: str, default: object) -> str:
    """How to say an option's default on the command line, where TOML has no word for None."""
    if default is None:
        return f"no --set options.{name}"
    return f"--set {shlex.quote(f'options.{name}={json.dumps(default)}')}"


def _fits(model: RegisteredModel, settings: _Settings) -> bool:
    try:
        _fitting_network(model, settings)
    except (ConfigError, PluginError):
        return False
    return True
