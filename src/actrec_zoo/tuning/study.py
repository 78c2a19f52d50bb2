"""What proposes the settings of the next trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actrec_zoo.data.transforms import derive_seed
from actrec_zoo.errors import ConfigError
from actrec_zoo.tuning.trials import Space, Trial


class Study:
    """Optuna's tree of Parzen estimators; what it proposes depends on the seed and on the trials before alone.

    Args:
        space: that it proposes from.
        own: settings of the first trial.
        seed: of what is random.
        videos: number of validation videos.
        done: trials that it learns from.
    """

    def __init__(
        self, space: Space, own: Mapping[str, Any], *, seed: int, videos: int, done: Sequence[Trial] = ()
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._own = dict(own)
        self._seed = seed
        self._videos = videos
        self._distributions = {name: self._distribution(name, values) for name, values in space.items()}
        self._study = optuna.create_study(direction="maximize")
        for trial in done:
            state, value = self._outcome(trial)
            params = dict(trial.settings)
            self._study.add_trial(
                optuna.trial.create_trial(state=state, value=value, params=params, distributions=self._distributions)
            )

    def _distribution(self, name: str, values: Sequence[Any]) -> Any:
        if name == "lr":
            low, high = values
            return self._optuna.distributions.FloatDistribution(low, high, log=True)
        return self._optuna.distributions.CategoricalDistribution(values)

    def ask(self, number: int) -> dict[str, Any]:
        """Settings of a trial; those of the first are the ones that were there before."""
        if number == 0:
            self._study.enqueue_trial(self._own)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=derive_seed((self._seed, number)) % 2**32)
        self._asked = self._study.ask(self._distributions)
        settings: dict[str, Any] = self._asked.params
        return settings

    def tell(self, trial: Trial) -> None:
        """Let the trial count whose settings were asked for last."""
        state, value = self._outcome(trial)
        self._study.tell(self._asked, value, state)

    def _outcome(self, trial: Trial) -> tuple[Any, float | None]:
        """State and value: top-1, and the loss where that is the same, as it weighs less than one video."""
        if trial.error:
            return self._optuna.trial.TrialState.FAIL, None
        loss = trial.val_loss / (1 + trial.val_loss)
        return self._optuna.trial.TrialState.COMPLETE, trial.val_top1 - loss / self._videos


def require_optuna() -> None:
    """Raise ConfigError where the extra is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"tune needs Optuna: pip install 'actrec-zoo[tune]' ({error})") from error
