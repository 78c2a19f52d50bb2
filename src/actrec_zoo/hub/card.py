"""README.md of a run: what the model is, what it was trained on, how to use it."""

from collections.abc import Mapping, Sequence
from typing import Any

from actrec_zoo.classifier import VideoClassifier


def render_card(
    model: VideoClassifier, *, data: str, config: Mapping[str, Any], best: Mapping[str, Any], videos: Sequence[int]
) -> str:
    """The card of a finished run as Markdown.

    Args:
        model: the trained model.
        data: name of the data set.
        config: settings of the run.
        best: record of the best epoch.
        videos: how many there are in train, val and test.
    """
    spec = model.spec
    notes = "".join(f"- {note}\n" for note in spec.notes)
    return f"""---
library_name: actrec-zoo
pipeline_tag: video-classification
---

# {spec.name} trained on {data}

{spec.summary} ({spec.architecture}).

{notes}
## Input

{model.input.frames} frames of {model.input.size}x{model.input.size}, {model.input.sampling} sampling with stride \
{model.input.stride}. config.json holds all of the preprocessing.

## Training

{videos[0]} videos for training, {videos[1]} for validation, {videos[2]} for testing, {len(model.labels)} classes; \
{config["epochs"]} epochs, {config["optimizer"]}, learning rate {config["lr"]}, batch size {config["batch_size"]}, \
seed {config["seed"]}.

Validation, epoch {best["epoch"]} (the best, whose weights these are), video level: top-1 {best["val_top1"]:.4f} \
over {videos[1]} videos. The validation set chose the epoch, so this is no test result: `actrec-zoo eval` writes \
those to eval.json.

## Use

```python
import actrec_zoo

model = actrec_zoo.load("path/to/this/folder")
print(model.predict("video.mp4"))
```
"""
