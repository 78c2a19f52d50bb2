"""Loss and accuracy as a picture in the run, while it runs."""

import time
from pathlib import Path

from actrec_zoo.evaluation.plots import plot_history
from actrec_zoo.training.state import Callback, TrainingState

_EVERY = 60.0


class Curves(Callback):
    """Draws the history at the end of an epoch, but not more often than once a minute: drawing takes time, too.

    Args:
        path: of the picture.
        every: seconds from one picture to the next.
    """

    def __init__(self, path: Path, every: float = _EVERY) -> None:
        self._path = path
        self._every = every
        self._drawn = time.monotonic()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Draw what there is, when it is time."""
        if time.monotonic() - self._drawn >= self._every:
            self._draw(state)

    def on_interrupt(self, state: TrainingState) -> None:
        """Leave a picture of the epochs that were completed."""
        if state.history:
            self._draw(state)

    def _draw(self, state: TrainingState) -> None:
        plot_history(self._path, state.history)
        self._drawn = time.monotonic()
