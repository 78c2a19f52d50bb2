"""Upstream's checkpoints: made from upstream's own classes with random values, in upstream's own files and folders."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models
from transformers import (
    PreTrainedModel,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
    VJEPA2Config,
    VJEPA2Model,
)

import actrec_zoo
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.spec import ModelSpec, WeightsRef
from actrec_zoo.testing import randomise
from actrec_zoo_plugins.pytorchvideo.model import pathways

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import pytorchvideo.models.hub as pytorchvideo_hub

SAFETENSORS = "model.safetensors"


def weights_of(spec: ModelSpec) -> WeightsRef:
    """The default weights of a model."""
    return next(iter(spec.weights.values()))


def timesformer(classes: int, **settings: Any) -> TimesformerForVideoClassification:
    """transformers' TimeSformer, every value random."""
    return randomised(TimesformerForVideoClassification(TimesformerConfig(num_labels=classes, **settings)))


def videomae(classes: int, variant: str, **settings: Any) -> VideoMAEForVideoClassification:
    """transformers' VideoMAE, every value random; ViT-S with the authors' 6 heads.

    Older versions give the keys a bias, which no published weights have.
    """
    small = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6} if variant == "small" else {}
    network = VideoMAEForVideoClassification(VideoMAEConfig(num_labels=classes, **small, **settings))
    for layer in network.videomae.encoder.layer:
        layer.attention.attention.key.bias = None
    return randomised(network)


def vivit(classes: int, **settings: Any) -> VivitForVideoClassification:
    """transformers' ViViT, every value random."""
    return randomised(VivitForVideoClassification(VivitConfig(num_labels=classes, **settings)))


def vjepa2(**settings: Any) -> VJEPA2Model:
    """transformers' V-JEPA 2 with its predictor and without a classifier, every value random."""
    return randomised(VJEPA2Model(VJEPA2Config(**settings)))


def torchvision_network(name: str) -> nn.Module:
    """torchvision's model with its own number of classes, every value random."""
    return randomised(models.get_model(name, weights=None))


def pytorchvideo_network(name: str, *, random: bool = True) -> nn.Module:
    """pytorchvideo's model with its 400 classes, every value random; or without memory."""
    from actrec_zoo_plugins.pytorchvideo.mvit import NumbersOnTheCpu

    make = getattr(pytorchvideo_hub, name)
    if random:
        return randomised(make())
    with torch.device("meta"), NumbersOnTheCpu():
        return make()


def addresses_of_pytorchvideo() -> set[str]:
    """Where pytorchvideo's own code finds its weights."""
    modules = (module for name, module in vars(pytorchvideo_hub).items() if hasattr(module, "checkpoint_paths"))
    listed = {path for module in modules for path in module.checkpoint_paths.values()}
    return listed


def randomised(network: Any) -> Any:
    torch.manual_seed(7)
    randomise(network)
    return network.eval()


def difference(output: Tensor, reference: Tensor) -> float:
    """Largest difference, as a share of the largest value where that is above 1."""
    assert output.shape == reference.shape
    return float((output - reference).abs().max() / reference.abs().max().clamp(min=1))


def class_names(count: int) -> list[str]:
    """Names whose order is not the alphabet's."""
    return [f"action {(7 * i + 3) % count} of {count}" for i in range(count)]


def write_files(folder: Path, file: str, network: PreTrainedModel, labels: Sequence[str]) -> Path:
    """config.json and the weights as transformers writes them, in `file`'s format."""
    network.config.id2label = dict(enumerate(labels))
    network.config.label2id = {label: i for i, label in enumerate(labels)}
    network.save_pretrained(folder)
    if file != SAFETENSORS:
        torch.save(safetensors.torch.load_file(folder / SAFETENSORS), folder / file)
        (folder / SAFETENSORS).unlink()
    return folder


def snapshot_folder(cache: Path, weights: WeightsRef) -> Path:
    """Where the Hub's client keeps the files of the pinned commit."""
    repository, _, commit = weights.source.removeprefix("hf:").partition("@")
    return cache / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def publish(cache: Path, weights: WeightsRef, network: PreTrainedModel, labels: Sequence[str]) -> Path:
    """Put upstream's files where the Hub's client finds a commit that it has pulled before."""
    return write_files(snapshot_folder(cache, weights), weights.file, network, labels)


def publish_torchvision(home: Path, weights: WeightsRef, state: dict[str, Tensor]) -> Path:
    """Put a state dict where torchvision finds a file that it has downloaded before."""
    file = home / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file


def publish_address(home: Path, weights: WeightsRef, state: dict[str, Tensor]) -> Path:
    """Put a training checkpoint where torch.hub finds a file that it has downloaded before."""
    return publish_torchvision(home, weights, {"model_state": state, "epoch": 196, "cfg": "MODEL: ..."})  # type: ignore[dict-item]


def largest_difference(name: str, hub_cache: Path, torch_home: Path) -> float:
    """Publish a random checkpoint for a model, load it as a user does, and compare with upstream on one clip.

    Logits are compared where the model keeps upstream's classifier, else the features that its head reads.
    """
    spec = actrec_zoo.get_spec(name)
    weights = weights_of(spec)
    reference, output_of_upstream = upstream_of(spec)
    if weights.source.startswith("hf:"):
        publish(hub_cache, weights, reference, class_names(reference.config.num_labels))
    elif weights.source.startswith("url:"):
        publish_address(torch_home, weights, reference.state_dict())
    else:
        publish_torchvision(torch_home, weights, reference.state_dict())
    model = actrec_zoo.load(name, weights="pretrained")
    clips = torch.randn(1, 3, spec.input.frames, spec.input.size, spec.input.size)
    with torch.inference_mode():
        own = model(clips) if weights.num_classes else _features(model, clips)
        return difference(own, output_of_upstream(clips))


def features_of_video_resnet(reference: nn.Module, grid: Any, clips: Tensor) -> Tensor:
    """The last feature map of torchvision's VideoResNet, pooled to a grid or whole, a row a position."""
    cut = copy.deepcopy(reference)
    cut.avgpool = nn.Identity() if grid is None else nn.AdaptiveAvgPool3d(grid)
    cut.fc = nn.Identity()
    return cut(clips).unflatten(1, (512, -1)).transpose(1, 2)


def features_of_image_network(reference: nn.Module, images: Tensor) -> Tensor:
    """The pooled features of one of torchvision's image classifiers, [N, D]."""
    if not hasattr(reference, "fc"):
        return reference.features(images).mean(dim=(2, 3))
    cut = copy.deepcopy(reference)
    cut.fc = nn.Identity()
    return cut(images)


def logits_of_pytorchvideo(network: Any, clips: Tensor) -> Tensor:
    """The output of pytorchvideo's network before the softmax that some of them end in."""
    if hasattr(network, "head"):
        return network(clips)
    network.blocks[-1].activation = None
    slowfast = network.blocks[-1].pool is None
    return network(pathways(clips) if slowfast else clips)


def upstream_of(spec: ModelSpec) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """Upstream's network with random values, and what the model's output is compared with."""
    classes = weights_of(spec).num_classes or 400
    if spec.architecture == "VideoMAE":
        network = videomae(classes, spec.options["variant"])
        return network, lambda clips: network(clips.transpose(1, 2)).logits
    if spec.architecture == "ViViT":
        network = vivit(classes)
        return network, lambda clips: network(clips.transpose(1, 2)).logits
    if spec.architecture == "V-JEPA 2":
        network = vjepa2()
        return network, lambda clips: network(clips.transpose(1, 2), skip_predictor=True).last_hidden_state
    if spec.architecture.startswith("TimeSformer"):
        network = timesformer(classes)
        if weights_of(spec).num_classes:
            return network, lambda clips: network(clips.transpose(1, 2)).logits
        return network, lambda clips: network.timesformer(clips.transpose(1, 2)).last_hidden_state[:, 0]
    if weights_of(spec).source.startswith("url:"):
        network = pytorchvideo_network(spec.name)
        return network, lambda clips: logits_of_pytorchvideo(network, clips)
    network = torchvision_network(spec.options["backbone"])
    if "grid" in spec.options:
        return network, lambda clips: features_of_video_resnet(network, spec.options["grid"], clips)
    if weights_of(spec).num_classes:
        return network, network
    return network, lambda clips: features_of_image_network(network, clips[0].transpose(0, 1)).unsqueeze(0)


def _features(model: VideoClassifier, clips: Tensor) -> Tensor:
    """What upstream's part of the model gives: all features, or for the hybrid those beside the stem's."""
    features = model.forward_features(clips)
    stem_width = model.spec.options.get("stem_width", 0)
    return features[:, stem_width:] if stem_width else features
