"""Trains and evaluates the runs of a study one after the other; after each the results are written anew."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from actrec_zoo.api import train
from actrec_zoo.cards import refresh_run_card
from actrec_zoo.config import TrainConfig, flatten
from actrec_zoo.data.probe import Track
from actrec_zoo.errors import ActrecZooError, DataError, InterruptedRun, RunError
from actrec_zoo.evaluating import evaluate
from actrec_zoo.files import write_json, write_text
from actrec_zoo.hub.package import CARD_FILE, EVAL_FILE
from actrec_zoo.preparation import training_data
from actrec_zoo.runs.record import read_run
from actrec_zoo.studies.curves import plot_curves
from actrec_zoo.studies.folder import is_begun, look
from actrec_zoo.studies.ledger import Ledger
from actrec_zoo.studies.origin import division, write_origin
from actrec_zoo.studies.plan import SPLIT, Plan, PlannedRun
from actrec_zoo.studies.results import STUDY_FILE, collect
from actrec_zoo.studies.standing import State, differences
from actrec_zoo.studies.table import as_csv, as_markdown
from actrec_zoo.training.state import Callback

TABLE_FILE = "table.md"
CURVES = "plots/curves"
_BATCH_SIZE = 16


class Listener:
    """Told how a study goes on; override what is needed."""

    def on_run_start(self, run: PlannedRun, number: int, total: int, seconds_left: float | None) -> None:
        """A run is begun or continued: the how manyth of how many are left, and what they will take, once known."""

    def on_run_end(self, run: PlannedRun, evaluation: dict[str, Any], seconds: float) -> None:
        """It is trained and evaluated."""

    def on_run_failure(self, run: PlannedRun, error: str) -> None:
        """It could not be finished."""


@dataclass
class Runner:
    """A study on its way.

    Attributes:
        plan: what is to run.
        told: how it goes on.
        callbacks: told about steps and epochs of each training.
        track: shows the progress of long preparations.
        fail_fast: whether the first run that fails ends the study.
        results: of the last time that they were written.
    """

    plan: Plan
    told: Listener
    callbacks: Sequence[Callback]
    track: Track[Any]
    fail_fast: bool
    results: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Do what is left to do.

        Raises:
            ActrecZooError: the data cannot be divided, or otherwise than they were, or with `fail_fast` a run failed.
            InterruptedRun: Ctrl-C.
        """
        ledger = Ledger.read(self.plan.folder)
        found = look(self.plan)
        if not is_begun(self.plan):
            self._divide()
        for run, state in found:
            if state == "done":
                _tell_what_a_kill_left_out(run.folder)
        self._write(ledger)
        left = [(run, state) for run, state in found if state != "done"]
        for number, (run, state) in enumerate(left, start=1):
            self.told.on_run_start(run, number, len(left), self._seconds_left(left[number - 1 :], ledger))
            try:
                self._do(run, state, ledger)
            except (InterruptedRun, KeyboardInterrupt) as error:
                raise InterruptedRun(
                    f"interrupted in run {number} of {len(left)}, {run.name}. The same command goes on from here"
                ) from error
            finally:
                self._write(ledger)

    @property
    def failures(self) -> dict[str, str]:
        """Why runs that were asked for could not be finished, by their names."""
        runs = [run for model in self.results["models"] if model["name"] in self.plan.chosen for run in model["runs"]]
        return {run["name"]: run["error"] for run in runs if run["error"] is not None}

    def _divide(self) -> None:
        """Read the data and divide them; all runs have the files of the first start."""
        data, first = self.plan.data, self.plan.wanted[0]
        config = TrainConfig.model_validate(
            {"model": first.model.id, "data": self.plan.path, **data.model_dump(exclude={"path"})}
        )
        files, divided = None if data.splits is None else Path(data.splits), division(self.plan)
        manifest, splits = training_data(config, first.config.input_of(first.model.spec), files, self.track)
        if SPLIT not in splits or not len(splits[SPLIT]):
            raise DataError(f"{data.splits or self.plan.path} has no videos for {SPLIT}: a study evaluates on them")
        write_origin(self.plan, divided, manifest, splits)

    def _do(self, run: PlannedRun, state: State, ledger: Ledger) -> None:
        """Train a run, unless that is done, and evaluate it."""
        begun = time.monotonic()
        ledger.begin(run.name, afresh=state == "new")
        self._error_file(run).unlink(missing_ok=True)
        told = None
        try:
            if state != "trained":
                self._train(run)
            evaluation = self._evaluate(run)
        except InterruptedRun:
            raise
        except Exception as error:  # a model's network may raise anything, and the others are to have their turn
            told = self._explain(run, error)
            if self.fail_fast:
                raise RunError(f"{run.name} failed: {told}") from error
            self.told.on_run_failure(run, told)
        else:
            self.told.on_run_end(run, evaluation, time.monotonic() - begun)
        finally:
            ledger.end(run.name, time.monotonic() - begun, told)

    def _train(self, run: PlannedRun) -> None:
        data = self.plan.data
        train(
            run.model.id,
            self.plan.path,
            out=run.folder,
            resume=run.folder.exists(),
            callbacks=self.callbacks,
            track=self.track,
            **{**flatten(run.settings), "seed": run.seed},
            splits=str(self.plan.splits),
            data_format=data.data_format,
            classes=data.classes,
            allow_leak=data.allow_leak or None,
        )

    def _evaluate(self, run: PlannedRun) -> dict[str, Any]:
        """Evaluate a run; its card tells the figures."""
        found = evaluate(
            run.folder,
            self.plan.path,
            data_format=self.plan.data.data_format,
            classes=self.plan.data.classes,
            split=SPLIT,
            protocol=self.plan.study.protocol,
            views=self.plan.study.views,
            batch_size=run.config.eval_batch_size or _BATCH_SIZE,
            workers=run.config.workers,
            device=run.config.device,
            track=self.track,
        )
        unlike = list(differences(run, read_run(run.folder), self.plan))
        if unlike:
            raise RunError(f"the evaluation of {run.folder} is not the study's: {'; '.join(unlike)}")
        return found

    def _explain(self, run: PlannedRun, error: Exception) -> str:
        """What is said of a run that failed; where the fault is the program's, a file has more of it."""
        if isinstance(error, ActrecZooError):
            return str(error)
        file = self._error_file(run)
        write_text(file, "".join(traceback.format_exception(error)))
        return f"{type(error).__name__}: {error} (see {file})"

    def _error_file(self, run: PlannedRun) -> Path:
        return self.plan.folder / "errors" / f"{run.name}.txt"

    def _write(self, ledger: Ledger) -> None:
        self.results = collect(self.plan, ledger)
        folder = self.plan.folder
        write_json(folder / STUDY_FILE, self.results)
        write_text(folder / TABLE_FILE, as_markdown(self.results))
        write_text(folder / "table.csv", as_csv(self.results))
        plot_curves(folder / CURVES, self.results, folder)

    def _seconds_left(self, left: Sequence[tuple[PlannedRun, State]], ledger: Ledger) -> float | None:
        """By the runs of the same model, or else of all models, that are done; None where none is."""
        waiting = {run for run, _ in left}
        ended = [run for run in self.plan.runs if run not in waiting and ledger.error(run.name) is None]
        done = {run: seconds for run in ended if (seconds := ledger.seconds(run.name)) is not None}
        if not done:
            return None
        mean = fmean(done.values())

        def guess(run: PlannedRun) -> float:
            alike = [seconds for other, seconds in done.items() if other.entry == run.entry]
            return fmean(alike) if alike else mean

        return sum(guess(run) for run, _ in left)


def _tell_what_a_kill_left_out(folder: Path) -> None:
    """Bring the card of an evaluated run up to date where that has not been done."""
    card, evaluation = folder / CARD_FILE, folder / EVAL_FILE
    if not card.is_file() or card.stat().st_mtime_ns < evaluation.stat().st_mtime_ns:
        refresh_run_card(folder)
