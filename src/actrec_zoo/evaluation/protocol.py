"""How a model is evaluated: which clips of a video, which squares of a clip, and which figure is the one to quote."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import ConfigError
from actrec_zoo.evaluation.metrics import TOP_K
from actrec_zoo.spec import InputSpec

ProtocolName = Literal["video", "report", "views"]
LevelName = Literal["clip", "video"]

_VIEWS = re.compile(r"([1-9]\d*)x([1-9]\d*)")


@dataclass(frozen=True)
class Protocol:
    """What is shown to a model, and how its answers are counted.

    Attributes:
        name: `video`: the clips that the model's input cuts a video into, and the mean of their softmax; `report`:
            every block of T consecutive frames is a sample of its own, as in the study; `views`: clips spread over the
            video by crops spread over the frame, as papers have it, and the mean of their softmax.
        clips: a video, under `views`.
        crops: a clip, under `views`.
    """

    name: ProtocolName = "video"
    clips: int = 1
    crops: int = 1

    @classmethod
    def of(cls, name: str | None = None, views: str | None = None) -> Protocol:
        """The protocol of two options.

        Args:
            name: of a protocol; `views` where that is given, else `video`.
            views: clips and crops as `10x3`.

        Raises:
            ConfigError: there is no such protocol, or the two do not go together.
        """
        if name is not None and name not in get_args(ProtocolName):
            raise ConfigError(f"unknown --protocol {name!r}: choose one of {', '.join(get_args(ProtocolName))}")
        if views is None:
            if name == "views":
                raise ConfigError("--protocol views needs --views CxS, as in --views 10x3")
            return cls() if name is None else cls(name)  # type: ignore[arg-type]
        found = _VIEWS.fullmatch(views)
        if found is None:
            raise ConfigError(f"--views {views!r} is not of the form CxS, clips by crops, as in 10x3")
        if name not in (None, "views"):
            raise ConfigError(f"--views {views} is a protocol of its own: leave out --protocol {name}")
        return cls("views", int(found[1]), int(found[2]))

    @property
    def headline(self) -> LevelName:
        """The level whose figures are quoted."""
        return "clip" if self.name == "report" else "video"

    @property
    def title(self) -> str:
        """What eval.json calls it: `10x3 views`, or its name."""
        return f"{self.clips}x{self.crops} views" if self.name == "views" else self.name

    def sampler(self, spec: InputSpec) -> ClipSampler:
        """How videos are cut into clips of an input."""
        match self.name:
            case "report":
                return ClipSampler("blocks", spec.frames)
            case "views":
                mode: Literal["uniform", "spread"] = "uniform" if spec.sampling == "uniform" else "spread"
                return ClipSampler(mode, spec.frames, spec.stride, self.clips, spec.fps)
            case _:
                return ClipSampler.for_evaluation(spec)

    def transform(self, spec: InputSpec) -> ClipTransform:
        """How frames become squares of an input.

        Raises:
            ConfigError: several crops of one frame would be the same.
        """
        if self.crops > 1 and spec.resize in (None, (spec.size, spec.size)):
            raise ConfigError(
                f"--views {self.clips}x{self.crops}: the model's input shrinks each frame to the square of {spec.size} "
                f"pixels itself, so that its crops are all the same: give --views {self.clips}x1"
            )
        return ClipTransform(spec, crops=self.crops)

    def describe(self, spec: InputSpec, classes: int) -> dict[str, Any]:
        """All of it in numbers and words, as eval.json has it.

        Args:
            spec: the model's input.
            classes: that the model knows.
        """
        sampler = self.sampler(spec)
        used = replace(spec, stride=sampler.stride, fps=sampler.fps, views=sampler.views)
        return {
            "name": self.title,
            "headline": self.headline,
            "clip": "each clip by itself",
            "video": "mean of the softmax of its clips",
            "top5": f"top-{min(TOP_K, classes)} of {classes} classes",
            "crop": "center" if self.crops == 1 else f"{self.crops} along the longer side",
            "crops": self.crops,
            **used.to_dict(),
            "sampling": sampler.mode,
        }
