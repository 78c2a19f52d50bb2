"""Settings of a training run: defaults < the model's own < a TOML file < flags, and where each value is from."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from actrec_zoo.errors import ConfigError, did_you_mean
from actrec_zoo.spec import InputSpec, ModelSpec

MACHINE_KEYS = frozenset(
    {
        *("data", "data_format", "splits", "device", "workers", "parallel", "profile", "trackers"),
        *("checkpoint_steps", "keep_checkpoints", "eval_batch_size", "checkpoint_activations", "accumulate"),
    }
)
"""Settings that say where and in which pieces a run happens, not what it computes: a resumed run may change them."""

Beta = Annotated[float, Field(ge=0, lt=1)]
TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class TrainConfig(BaseModel):
    """Everything that decides a training run.

    Attributes:
        model: name or id.
        data: folder or file, in any known layout.
        data_format: name of the layout; None finds it out.
        classes: text file with the classes to keep, or the name of a list; None keeps all.
        splits: folder with train.csv, val.csv and test.csv; None takes those that the data set states, or makes them.
        allow_leak: whether splits that are given may share a video or a source group.
        ratios: shares of train, val and test, where they are made.
        weights: `pretrained` (the model's default), one of its tags, `none`, or a reference to trained weights.
        backbone_weights: safetensors file for the backbone, instead of a download.
        options: architecture options that differ from the model's.
        trainable: patterns over parameter names, or `@group`; None takes the model's.
        epochs: passes over the training clips.
        patience: epochs without a better one after which training stops; None trains all epochs.
        batch_size: clips a step, over all parts and all processes; `auto` is the largest power of two (a part and a
            process) that fits in memory, and a run notes the number.
        eval_batch_size: clips at once, in each process, where nothing trains: in validation, and when a frozen backbone
            gives features; None takes as many as a part of a step has in a process.
        accumulate: parts that a step is computed in, one after the other: less memory, the same step.
        optimizer: adam (weight decay in the gradient), adamw or sgd.
        lr: learning rate.
        lr_factors: factor on it, by group.
        layer_decay: factor on it from each of the model's layers to the one before it; 1 treats all alike.
        weight_decay: of the optimizer.
        no_decay: spare biases, norms and what the model names (position embeddings, class tokens) the weight decay.
        momentum: of sgd.
        nesterov: whether the momentum of sgd looks ahead.
        betas: decay of the running means of the gradient and of its square, for adam and adamw.
        eps: added to the root of the latter, for adam and adamw.
        schedule: `constant`; `step` multiplies the rate by `gamma` after each of `milestones` epochs; `cosine`
            lets it fall to `min_lr`.
        milestones: epochs completed, for `step`.
        gamma: for `step`.
        min_lr: for `cosine`.
        warmup_epochs: linear rise of the rate at the start.
        warmup_lr: that the rise begins at.
        label_smoothing: of the cross-entropy.
        mixup: alpha of the shares in which clips of a batch are blended, labels too; 0 blends none.
        cutmix: alpha of the shares in which clips of a batch get a box of another one; 0 cuts none. With `mixup`, each
            batch has one of the two.
        balance: what is done about rare classes: `none`; `sampling` draws clips so that classes are equally frequent;
            `weights` lets a clip count in inverse proportion to the clips of its class.
        clip_grad: largest norm of the gradient; None does not clip.
        ema: decay of an exponential moving average of the weights, which is what is validated and kept; None has none.
        frames: frames a clip; None takes the model's.
        stride: between the frames of a clip; None takes the model's.
        fps: clip frames a second of the video, instead of `stride`; None takes the model's.
        size: input side in pixels; None takes the model's.
        resize: `model` resizes frames and crops the square as the model says; `square` resizes the whole frame to it.
        normalize: whether the model's mean and standard deviation are taken off; without it pixels are 0 to 1.
        views: clips a video under `uniform` sampling; None takes the model's.
        sampling: training clips: `blocks`, `random` or `uniform`.
        augment: augmentations by name, in order.
        randaugment_ops: operations that `randaugment` draws for a clip.
        randaugment_magnitude: of each, 0 to 30.
        erasing: probability that `random_erasing` erases a box of a clip.
        flip_labels: classes that change places when a clip is mirrored by `horizontal_flip`.
        cache_features: run a frozen backbone once and train on its features; `auto` does so where it can.
        features_dtype: what features are kept in; float16 and bfloat16 take half the space.
        feature_views: versions of each clip that are kept where epochs differ: epoch e trains on version e mod K.
            None runs the backbone in every epoch there.
        objective: what a step computes.
        trainer: the training loop.
        seed: of everything random.
        device: auto, cpu, cuda or mps.
        workers: decoding processes; None takes one a core but one, at most 8.
        precision: fp32, bf16 or fp16 (mixed); `auto` is bf16 on a GPU that has it, fp16 on an older one, else fp32.
        channels_last: whether weights of convolutions lie in memory with their channels last; `auto` does so where a
            GPU computes in half precision.
        checkpoint_activations: compute the blocks of the backbone again in the backward pass instead of keeping what
            is in them: less memory, a slower step, the same result.
        compile: let torch.compile make the network faster, which takes minutes at the start.
        parallel: what several processes do: ddp, each holds the whole model; fsdp, they divide weights, gradients and
            the optimizer's state among themselves. One process ignores it.
        checkpoint_steps: steps from one checkpoint to the next within an epoch; None saves after epochs alone.
        keep_checkpoints: epochs of which the state is kept, the last ones.
        threads: that one operation may use on the CPU; None leaves it to torch (one a core). Networks of many small
            operations are faster with one, by far where other programs run.
        profile: measure where the time of a step goes, and write a trace of some steps.
        trackers: experiment trackers that are told settings and figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    data: str
    data_format: str | None = None
    classes: str | None = None
    splits: str | None = None
    allow_leak: bool = False
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    weights: str = "pretrained"
    backbone_weights: str | None = None
    options: dict[str, Any] = {}
    trainable: tuple[str, ...] | None = None
    epochs: int = Field(30, ge=1)
    patience: int | None = Field(None, ge=1)
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 16
    eval_batch_size: int | None = Field(None, ge=1)
    accumulate: int = Field(1, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = Field(1e-3, ge=0)
    lr_factors: dict[str, Annotated[float, Field(ge=0)]] = {}
    layer_decay: float = Field(1.0, gt=0, le=1)
    weight_decay: float = Field(1e-4, ge=0)
    no_decay: bool = False
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = Field(0.1, gt=0)
    min_lr: float = Field(0, ge=0)
    warmup_epochs: float = Field(0, ge=0)
    warmup_lr: float = Field(0, ge=0)
    label_smoothing: float = Field(0, ge=0, lt=1)
    mixup: float = Field(0, ge=0)
    cutmix: float = Field(0, ge=0)
    balance: Literal["none", "sampling", "weights"] = "none"
    clip_grad: float | None = Field(None, gt=0)
    ema: float | None = Field(None, gt=0, lt=1)
    frames: int | None = Field(None, ge=1)
    stride: int | None = Field(None, ge=1)
    fps: float | None = Field(None, gt=0)
    size: int | None = Field(None, ge=1)
    resize: Literal["model", "square"] = "model"
    normalize: bool = True
    views: int | None = Field(None, ge=1)
    sampling: Literal["blocks", "random", "uniform"] = "random"
    augment: tuple[str, ...] = ()
    randaugment_ops: int = Field(2, ge=1)
    randaugment_magnitude: int = Field(9, ge=0, le=30)
    erasing: float = Field(0.25, ge=0, le=1)
    flip_labels: dict[str, str] = {}
    cache_features: Literal["auto", "on", "off"] = "auto"
    features_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    feature_views: int | None = Field(None, ge=1)
    objective: str = "classification"
    trainer: str = "default"
    seed: int = Field(0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int | None = Field(None, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: Literal["auto", "on", "off"] = "auto"
    checkpoint_activations: bool = False
    compile: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    checkpoint_steps: int | None = Field(None, ge=1)
    keep_checkpoints: int = Field(1, ge=1)
    threads: int | None = Field(None, ge=1)
    profile: bool = False
    trackers: tuple[TrackerName, ...] = ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Settings that are right by themselves, and not together."""
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("nesterov=true needs a momentum above 0")
        for name in ("min_lr", "warmup_lr"):
            if getattr(self, name) > self.lr:
                raise ValueError(f"{name}={getattr(self, name)} is above lr={self.lr}")
        return self

    @property
    def step_size(self) -> int:
        """Clips a step, once it is known.

        Raises:
            ConfigError: `batch_size` is `auto`, and nothing has chosen a number.
        """
        if self.batch_size == "auto":
            raise ConfigError("batch_size=auto is chosen by `train` alone: give a number")
        return self.batch_size

    def evaluated_at_once(self, processes: int) -> int:
        """Clips at once, in each of so many processes, where nothing trains.

        Raises:
            ConfigError: as `step_size`.
        """
        return self.eval_batch_size or -(-self.step_size // (self.accumulate * processes))

    def input_of(self, spec: ModelSpec) -> InputSpec:
        """The model's input with what this run says of frames, sampling, size and pixels."""
        sized = spec.input.with_size(self.size) if self.size else spec.input
        changes = {name: getattr(self, name) for name in ("frames", "stride", "views") if getattr(self, name)}
        if self.resize == "square":
            changes["resize"] = None
        if not self.normalize:
            changes |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        if self.fps or self.stride:  # a stride of the run's own takes the place of the model's fps
            changes["fps"] = self.fps
        sampling: Literal["blocks", "uniform"] = "uniform" if self.sampling == "uniform" else "blocks"
        return dataclasses.replace(sized, sampling=sampling, **changes)

    def trainable_of(self, spec: ModelSpec) -> tuple[str, ...]:
        """What trains: this run's patterns, or the model's."""
        return self.trainable if self.trainable is not None else spec.trainable


_KINDS: dict[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}
"""Types that an option may have, by the type of its default; other defaults allow any."""


@dataclass(frozen=True)
class Layer:
    """Settings from one place: a flat mapping, nested keys written with a dot (`options.heads`)."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """A configuration and the origin of each value that is no default."""

    config: TrainConfig
    origins: Mapping[str, str]


def resolve(spec: ModelSpec, layers: Iterable[Layer]) -> Resolved:
    """Put settings together; later layers win.

    Raises:
        ConfigError: a key does not exist (the message has the nearest), or a value does not fit.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    model_defaults = Layer("model", {**spec.defaults, **_default_weights(spec)})
    for layer in (model_defaults, *layers):
        for key, value in flatten(layer.values).items():
            _check_key(key, value, spec, layer.origin)
            _set(values, key, value)
            origins[key] = layer.origin
    try:
        return Resolved(TrainConfig(**values), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from error


def read_toml(path: Path) -> Layer:
    """Settings of a TOML file.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return Layer(path.name, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read --config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not valid TOML: {error}") from error


def parse_assignment(text: str) -> tuple[str, Any]:
    """`key=value` of `--set`; the value is read as TOML, and as a string where it is none.

    Raises:
        ConfigError: there is no `=`.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {text!r} is not of the form key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    return key.strip(), parsed["value"] if len(parsed) == 1 else value.strip()


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as flat ones: `{"options": {"heads": 8}}` to `{"options.heads": 8}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value and key in ("options", "lr_factors"):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def check_options(spec: ModelSpec, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an architecture option that does not exist or has another type than its default."""
    for name, value in options.items():
        if name.split(".")[0] not in spec.options:
            raise ConfigError(
                f"{spec.name} has no option {name!r}.{did_you_mean(name, spec.options)} "
                f"It has {', '.join(spec.options) or 'none'}."
            )
        expected = (int,) if name in ("frames", "size") else _KINDS.get(type(spec.options.get(name)))
        if expected is not None and value is not None and type(value) not in expected:
            kind = expected[0].__name__
            raise ConfigError(f"options.{name} of {spec.name} must be of type {kind}, not {value!r}")


def _default_weights(spec: ModelSpec) -> dict[str, str]:
    return {} if spec.weights else {"weights": "none"}


def _check_key(key: str, value: Any, spec: ModelSpec, origin: str) -> None:
    head, _, rest = key.partition(".")
    if head == "options" and rest:
        check_options(spec, {rest: value})
    elif head not in TrainConfig.model_fields or (rest and head != "lr_factors"):
        known = [*TrainConfig.model_fields, *(f"options.{name}" for name in spec.options)]
        raise ConfigError(f"there is no setting {key!r} ({origin}).{did_you_mean(key, known)}")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a dotted key into nested dictionaries."""
    *outer, last = key.split(".")
    for name in outer:
        inner = values.get(name)
        values[name] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[name]
    values[last] = value


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    problems = []
    for detail in error.errors():
        if not detail["loc"]:
            problems.append(detail["msg"].removeprefix("Value error, "))
            continue
        key = ".".join(str(part) for part in detail["loc"])
        origin = origins.get(key, origins.get(str(detail["loc"][0]), "default"))
        problems.append(f"setting {key!r} ({origin}) is {detail['input']!r}: {detail['msg'].lower()}")
    return "; ".join(problems)
