"""The profile of a run as files in its folder."""

from pathlib import Path

from actrec_zoo.files import write_json, write_text
from actrec_zoo.training.state import Callback, TrainingState

PROFILE = "profile"


class ProfileFiles(Callback):
    """Writes profile/summary.json, profile/summary.txt and profile/trace.json.gz of a run, as soon as they are there.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / PROFILE
        self._written = False

    def on_step(self, state: TrainingState) -> None:
        """Write once."""
        if self._written or state.profile is None or state.profile.summary is None:
            return
        self._written = True
        write_json(self._folder / "summary.json", state.profile.summary.to_dict())
        write_text(self._folder / "summary.txt", state.profile.summary.text())
        state.profile.write_trace(self._folder / "trace.json.gz")

    def on_epoch_end(self, state: TrainingState) -> None:
        """Make do with what was measured where the run is over."""
        if state.profile is not None and state.done:
            state.profile.finish()
            self.on_step(state)

    def on_interrupt(self, state: TrainingState) -> None:
        """Make do with what was measured."""
        if state.profile is not None:
            state.profile.finish()
            self.on_step(state)
