"""Parts that plugins share."""

import math
from abc import ABC, abstractmethod
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from actrec_zoo.errors import ConfigError

Readout = Literal["flatten", "cls", "mean"]


def sinusoidal_positions(length: int, width: int, like: Tensor) -> Tensor:
    """Sinusoidal position codes (Vaswani et al. 2017), [length, width], on the device and dtype of `like`."""
    position = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(1)
    half = (width + 1) // 2
    rate = torch.exp(torch.arange(half, device=like.device) * (-2.0 * math.log(10000.0) / width))
    codes = torch.stack((torch.sin(position * rate), torch.cos(position * rate)), dim=2).flatten(1)
    return codes[:, :width].to(like.dtype)


class FeatureNetwork(nn.Module, ABC):
    """A network in two parts, as the model contract wants it: features, and a `head` that follows them.

    A subclass sets `head` and says what the features are.
    """

    head: nn.Module

    @abstractmethod
    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to what the head takes."""

    def forward_head(self, features: Tensor) -> Tensor:
        """Features to logits [B, K]."""
        return cast(Tensor, self.head(features))

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to logits [B, K]."""
        return self.forward_head(self.forward_features(clips))


class LinearHead(nn.Module):
    """Dropout and a linear classifier on one vector a clip, [B, D].

    Args:
        width: size of the vector, D.
        num_classes: size of the output, K.
        dropout: before the classifier.
    """

    def __init__(self, width: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Vectors [B, D] to logits [B, K]."""
        return cast(Tensor, self.classifier(self.dropout(features)))


def transformer_classifier(width: int, num_classes: int) -> nn.Linear:
    """A linear classifier initialised as those of vision transformers: normal of 0.02, truncated, and zero bias."""
    classifier = nn.Linear(width, num_classes)
    nn.init.trunc_normal_(classifier.weight, std=0.02)
    nn.init.zeros_(classifier.bias)
    return classifier


def require_multiple(option: str, value: int, of: int, what: str) -> None:
    """Check that an option is a multiple of a patch, tubelet or the like.

    Raises:
        ConfigError: it is not; the message names the nearest value that is.
    """
    if value < of or value % of:
        nearest = max(of, round(value / of) * of)
        raise ConfigError(f"{option}={value} is no multiple of {what}: take {nearest}")


class MaskedLinear(nn.Linear):
    """A linear layer with a fixed random mask on its weights, in training and after it.

    The mask is a buffer: it travels with the weights, and masked weights get no gradient.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        keep: share of the weights that the mask keeps.

    Raises:
        ConfigError: the share is not above 0 and up to 1.
    """

    mask: Tensor

    def __init__(self, in_features: int, out_features: int, *, keep: float) -> None:
        if not 0 < keep <= 1:
            raise ConfigError(f"keep={keep} must be above 0 and at most 1")
        super().__init__(in_features, out_features)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("mask", torch.rand(out_features, in_features) < keep)

    def forward(self, features: Tensor) -> Tensor:
        """Vectors [..., in_features] to [..., out_features]."""
        return functional.linear(features, self.weight * self.mask, self.bias)


class TokenHead(nn.Module):
    """A transformer encoder over the tokens of one clip, a readout and a linear classifier.

    Attention runs over the tokens of a clip (`batch_first`), never over the clips of a batch.

    Args:
        width: size of a token, D.
        num_classes: size of the output, K.
        tokens: number of tokens without the class token, N; needed by the readout `flatten` alone.
        layers: encoder layers.
        heads: attention heads; has to divide the width.
        feedforward: width of the feed-forward part; None takes D.
        dropout: of the encoder layers.
        readout: `flatten` concatenates all tokens, `cls` takes the class token, `mean` averages the tokens.
        class_token: put a learnable token first (always with the readout `cls`).
        positions: add sinusoidal position codes.
        project: width of the encoder where it is not that of the tokens; a linear layer leads there.
        center: layer-normalise each token and subtract the mean over the clip's tokens, which removes what does not
            change, such as the background.

    Raises:
        ConfigError: the heads do not divide the width, or `flatten` has no fixed number of tokens.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        tokens: int | None = None,
        layers: int = 1,
        heads: int = 8,
        feedforward: int | None = None,
        dropout: float = 0.3,
        readout: Readout = "flatten",
        class_token: bool = False,
        positions: bool = False,
        project: int | None = None,
        center: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("project", project), ("feedforward", feedforward)):
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} must be 1 or more")
        self.center = center
        self.projection = nn.Linear(width, project) if project else None
        width = project or width
        if layers < 0:
            raise ConfigError(f"layers={layers} must be 0 or more")
        if heads < 1 or width % heads:
            raise ConfigError(f"heads={heads} does not divide the token width {width}: choose a divisor")
        if readout not in ("flatten", "cls", "mean"):
            raise ConfigError(f"unknown readout {readout!r}: flatten, cls or mean")
        if readout == "flatten" and tokens is None:
            raise ConfigError("readout 'flatten' needs a fixed number of tokens: set a token grid, or use 'mean'")
        self.readout = readout
        self.positions = positions
        with_class_token = class_token or readout == "cls"
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.02) if with_class_token else None
        self.encoder = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, feedforward or width, dropout, activation="gelu", batch_first=True
                )
                for _ in range(layers)
            )
        )
        self.tokens = None if tokens is None else tokens + with_class_token
        read = width * (self.tokens or 1) if readout == "flatten" else width
        self.classifier = nn.Linear(read, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, N, D] to logits [B, K]."""
        if self.center:
            tokens = functional.layer_norm(tokens, tokens.shape[-1:])
            tokens = tokens - tokens.mean(dim=1, keepdim=True)
        if self.projection is not None:
            tokens = self.projection(tokens)
        if self.class_token is not None:
            tokens = torch.cat((self.class_token.expand(tokens.shape[0], -1, -1), tokens), dim=1)
        if self.readout == "flatten" and tokens.shape[1] != self.tokens:
            raise ConfigError(
                f"readout 'flatten' was built for {self.tokens} tokens and got {tokens.shape[1]}: "
                "use as many frames as the model was built for, or readout 'cls' or 'mean'"
            )
        if self.positions:
            tokens = tokens + sinusoidal_positions(tokens.shape[1], tokens.shape[2], tokens)
        return cast(Tensor, self.classifier(self._read(self.encoder(tokens))))

    def _read(self, tokens: Tensor) -> Tensor:
        match self.readout:
            case "flatten":
                return tokens.flatten(1)
            case "cls":
                return tokens[:, 0]
            case _:
                return tokens.mean(dim=1)
