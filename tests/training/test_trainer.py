"""Training end to end on real frames: what is left on disk, exact resume, what a frozen backbone costs."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import actrec_zoo
from actrec_zoo.errors import ConfigError, DataError, InterruptedRun, RunError
from actrec_zoo.training.run import open_run
from actrec_zoo.training.state import Callback, EpochRecord, TrainingState
from tests.conftest import moving_square, write_frames
from tests.distributions import Outcome, run_python

TINY: dict[str, Any] = {
    "options.width": 4,
    "size": 32,
    "frames": 4,
    "stride": 1,
    "workers": 0,
    "device": "cpu",
    "batch_size": 4,
}
FROZEN: dict[str, Any] = TINY | {"trainable": ("@head",), "sampling": "blocks"}


class InterruptAt(Callback):
    """Presses Ctrl-C after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_step(self, state: TrainingState) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


class Count(Callback):
    """Counts steps."""

    steps = 0

    def on_step(self, state: TrainingState) -> None:
        self.steps += 1


def rows(run: Path, without: str = "seconds") -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != without} for row in csv.DictReader(file)]


def test_a_run_folder_holds_what_the_formats_promise(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=2, **TINY)
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        ".lock",
        "README.md",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "config.json",
        "history.csv",
        "model.safetensors",
        "plots/history.png",
        "run.json",
        "splits/test.csv",
        "splits/train.csv",
        "splits/val.csv",
    }
    header = (run.path / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,train_loss,train_top1,val_loss,val_top1,lr,seconds"
    record = json.loads((run.path / "run.json").read_text())
    assert record["config"]["epochs"] == 2 and record["origins"]["epochs"] == "flag"
    assert record["origins"]["optimizer"] == "model" and "seed" not in record["origins"]
    best = load_file(run.path / "checkpoints" / "best.safetensors")
    assert all(torch.equal(best[k], v) for k, v in run.model.net.state_dict().items())


@pytest.mark.usefixtures("empty_index")
def test_the_model_learns_which_way_the_square_moves(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=25, lr=0.01, **TINY)
    assert run.result.history[-1].train_loss < 0.3
    report = actrec_zoo.evaluate(run.path, squares, split="all", workers=0, device="cpu")
    assert report["video"]["top1"] >= 0.9
    found = actrec_zoo.load("tiny_conv3d").predict(squares / "left" / "clip0")
    assert found[0][0] == "left" and sum(p for _, p in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "most"), [({}, 4), ({"accumulate": 2}, 2), ({"accumulate": 2, "eval_batch_size": 3}, 3)]
)
def test_validation_takes_no_more_clips_at_once_than_a_part_of_a_step(
    squares: Path, tmp_path: Path, settings: dict[str, Any], most: int
) -> None:
    taken: list[int] = []

    class Watch(Callback):
        def on_start(self, state: TrainingState) -> None:
            state.model.net.register_forward_hook(self.note)

        def note(self, net: Any, inputs: Any, outputs: Any) -> None:
            if not net.training:
                taken.append(len(outputs))

    several_views = TINY | settings | {"sampling": "uniform", "views": 9}
    actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, callbacks=[Watch()], **several_views)
    assert max(taken) == most


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(squares: Path, tmp_path: Path) -> None:
    runs = [
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / str(n), epochs=2, **TINY | {"workers": n})
        for n in (0, 2)
    ]
    first, second = ((run.path / "model.safetensors").read_bytes() for run in runs)
    assert first == second
    other = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "other", epochs=2, **TINY | {"seed": 1})
    assert (other.path / "model.safetensors").read_bytes() != first


@pytest.mark.parametrize("settings", [TINY, TINY | {"optimizer": "sgd"}, FROZEN], ids=["adamw", "sgd", "features"])
@pytest.mark.parametrize("steps", [1, 4, 6, 11])
def test_an_interrupted_and_resumed_run_ends_in_the_same_bytes(
    squares: Path, tmp_path: Path, steps: int, settings: dict[str, Any]
) -> None:
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", epochs=3, **settings)
    with pytest.raises(InterruptedRun, match="--resume"):
        actrec_zoo.train(
            "tiny_conv3d", squares, out=tmp_path / "cut", epochs=3, callbacks=[InterruptAt(steps)], **settings
        )
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    count = Count()
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True, callbacks=[count])
    total = whole.result.history[-1].epoch * len(range(0, _clips(settings), 4))
    assert count.steps == total - steps
    for name in ("model.safetensors", "checkpoints/best.safetensors"):
        assert (cut.path / name).read_bytes() == (whole.path / name).read_bytes()
    last = [load_file(run.path / "checkpoints" / "last.safetensors") for run in (whole, cut)]
    assert all(torch.equal(last[0][k], last[1][k]) for k in last[0])
    assert rows(cut.path) == rows(whole.path)


def test_a_run_that_stops_early_stops_there_when_it_was_interrupted_too(squares: Path, tmp_path: Path) -> None:
    settings = TINY | {"epochs": 9, "patience": 2, "lr": 0.0, "sampling": "uniform"}
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", **settings)
    assert whole.result.best.epoch == 1 and whole.result.last.epoch == 3
    with pytest.raises(InterruptedRun):
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", callbacks=[InterruptAt(6)], **settings)
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True)
    assert rows(cut.path) == rows(whole.path)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    again = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True)
    assert again.result.last.epoch == 3


class SendTwiceAt(Callback):
    """Sends a signal at the end of a step, and again in the middle of the next one."""

    def __init__(self, steps: int, number: int) -> None:
        self.left, self.number = steps, number

    def on_start(self, state: TrainingState) -> None:
        step = state.optimizer.step
        state.optimizer.step = lambda *a: (step(*a), self._send())[0]  # type: ignore[method-assign]

    def _send(self) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)
            signal.raise_signal(self.number)


def test_a_second_ctrl_c_in_the_middle_of_a_step_saves_no_half_step(squares: Path, tmp_path: Path) -> None:
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", epochs=2, **TINY)
    with pytest.raises(InterruptedRun):
        actrec_zoo.train(
            "tiny_conv3d", squares, out=tmp_path / "cut", epochs=2, callbacks=[SendTwiceAt(6, signal.SIGINT)], **TINY
        )
    origins = json.loads((tmp_path / "cut" / "run.json").read_text())["origins"]
    cut = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "cut", resume=True)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert json.loads((cut.path / "run.json").read_text())["origins"] == origins


def _clips(settings: dict[str, Any]) -> int:
    return 16 * (3 if settings.get("sampling") == "blocks" else 1)


def test_resume_without_a_checkpoint_starts_afresh(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    before = (run.path / "model.safetensors").read_bytes()
    shutil.rmtree(run.path / "checkpoints")
    again = actrec_zoo.train("tiny_conv3d", squares, out=run.path, resume=True)
    assert (again.path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("left", [(), ("run.json",), ("run.json", "config.json")])
def test_a_run_killed_while_it_began_starts_afresh(squares: Path, tmp_path: Path, left: tuple[str, ...]) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    before = (run.path / "model.safetensors").read_bytes()
    for path in list(run.path.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in left:
            path.unlink()
    again = actrec_zoo.train("tiny_conv3d", squares, out=run.path, epochs=1, resume=True, **TINY)
    assert (again.path / "model.safetensors").read_bytes() == before


def test_two_runs_that_choose_the_same_folder_do_not_mix(squares: Path, tmp_path: Path) -> None:
    first, second = (open_run("tiny_conv3d", tmp_path / "run", resume=False) for _ in range(2))
    with first.guard():
        (first.path / "mine").write_text("")
        with pytest.raises(RunError, match="another run"), second.guard():
            raise AssertionError("the second run may not begin")
        assert (first.path / "mine").exists()


class ResumeMeanwhile(Callback):
    """Resumes the run that it listens to, as a second process would."""

    def __init__(self, data: Path, run: Path) -> None:
        self.command = ("-m", "actrec_zoo", "train", "tiny_conv3d", "--data", data, "--out", run, "--resume")
        self.outcomes: list[Outcome] = []

    def on_epoch_end(self, state: TrainingState) -> None:
        self.outcomes.append(run_python(*map(str, self.command)))


def test_a_run_that_is_trained_is_in_use(squares: Path, tmp_path: Path) -> None:
    second = ResumeMeanwhile(squares, tmp_path / "run")
    with pytest.raises(InterruptedRun):
        callbacks = [InterruptAt(6), second]
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=2, callbacks=callbacks, **TINY)
    resumed = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", resume=True, callbacks=[second])
    assert resumed.result.last.epoch == 2
    assert [outcome.code for outcome in second.outcomes] == [2, 2]
    for outcome in second.outcomes:
        assert f"error: {tmp_path / 'run'} is in use" in outcome.err and "Traceback" not in outcome.err


def test_paths_may_be_path_objects(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "a", epochs=1, **TINY)
    again = actrec_zoo.train(
        "tiny_conv3d", squares, out=tmp_path / "b", epochs=1, splits=run.path / "splits", weights=run.path, **TINY
    )
    assert again.result.last.epoch == 1


def test_resume_refuses_other_settings_and_another_model(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    with pytest.raises(ConfigError, match="epochs 1 -> 5"):
        actrec_zoo.train("tiny_conv3d", squares, out=run.path, resume=True, epochs=5)
    with pytest.raises(ConfigError, match="not of r3d:r3d"):
        actrec_zoo.train("r3d", squares, out=run.path, resume=True)


class Refuse(Callback):
    """Does not let a run start, as a tracker that nobody has logged in to."""

    def on_start(self, state: TrainingState) -> None:
        raise ConfigError("not today")


def test_a_resume_that_is_refused_leaves_the_run_as_it_was(squares: Path, tmp_path: Path) -> None:
    whole = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "whole", epochs=2, **TINY)
    run = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        actrec_zoo.train("tiny_conv3d", squares, out=run, epochs=2, callbacks=[InterruptAt(2)], **TINY)
    before = (run / "run.json").read_bytes()
    with pytest.raises(ConfigError, match="not today"):
        actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True, checkpoint_steps=3, callbacks=[Refuse()])
    assert (run / "run.json").read_bytes() == before
    actrec_zoo.train("tiny_conv3d", squares, out=run, resume=True, checkpoint_steps=3)
    assert json.loads((run / "run.json").read_text())["config"]["checkpoint_steps"] == 3
    assert (run / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_run_from_before_a_setting_existed_is_resumed_with_its_default(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    record = json.loads((run.path / "run.json").read_text())
    del record["config"]["allow_leak"], record["config"]["gamma"]
    (run.path / "run.json").write_text(json.dumps(record))
    assert actrec_zoo.train("tiny_conv3d", squares, out=run.path, resume=True).result.last.epoch == 1
    with pytest.raises(ConfigError, match=r"gamma 0\.1 -> 0\.5"):
        actrec_zoo.train("tiny_conv3d", squares, out=run.path, resume=True, gamma=0.5)


def test_resume_names_a_damaged_checkpoint(squares: Path, tmp_path: Path) -> None:
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY)
    (run.path / "checkpoints" / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"last\.safetensors"):
        actrec_zoo.train("tiny_conv3d", squares, out=run.path, resume=True)


class FillDisk(Callback):
    """Fills the disk after the first epoch's checkpoint."""

    def __init__(self, ballast: Path) -> None:
        self.ballast = ballast

    def on_epoch_end(self, state: TrainingState) -> None:
        free = shutil.disk_usage(self.ballast.parent).free
        self.ballast.write_bytes(b"\0" * free)


def test_a_full_disk_keeps_the_last_good_checkpoint(squares: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(RunError, match=r"cannot write .*safetensors.*Free some space"):
        actrec_zoo.train(
            "tiny_conv3d", squares, out=small_disk / "run", epochs=3, callbacks=[FillDisk(ballast)], **TINY
        )
    assert not list(small_disk.rglob("*.tmp"))
    ballast.unlink()
    run = actrec_zoo.train("tiny_conv3d", squares, out=small_disk / "run", resume=True)
    assert [record.epoch for record in run.result.history] == [1, 2, 3]


def test_frozen_weights_and_statistics_do_not_move(squares: Path, tmp_path: Path) -> None:
    settings = FROZEN | {"cache_features": "off", "augment": ("horizontal_flip",), "lr": 0.1}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=2, **settings)
    torch.manual_seed(0)
    start = actrec_zoo.get_spec("tiny_conv3d")
    fresh = _fresh(start.name)
    for name, tensor in run.model.net.state_dict().items():
        assert torch.equal(tensor, fresh[name]) == name.startswith("backbone."), name


def _fresh(name: str) -> dict[str, torch.Tensor]:
    from actrec_zoo.loading import create
    from actrec_zoo.registry import get_registry

    return dict(create(get_registry().find(name), labels=["left", "right"], options={"width": 4}).net.state_dict())


def test_the_best_epoch_is_by_top1_then_loss_then_the_earliest() -> None:
    def record(epoch: int, top1: float, loss: float) -> EpochRecord:
        return EpochRecord(epoch, 0.0, 0.0, loss, top1, 0.0, 0.0)

    history = [record(1, 0.5, 0.9), record(2, 0.6, 0.8), record(3, 0.6, 0.7), record(4, 0.6, 0.7), record(5, 0.5, 0.1)]
    assert max(history, key=lambda r: r.rank).epoch == 3


def broken_copy(squares: Path, folder: Path, broken: int) -> Path:
    """The data set with one damaged JPEG in the middle of some videos."""
    shutil.copytree(squares, folder)
    for number in range(broken):
        frame = folder / ("left", "right")[number % 2] / f"clip{number}" / "2.jpg"
        frame.write_bytes(frame.read_bytes()[:200])
    return folder


def test_a_few_unreadable_videos_are_skipped_named_and_counted(squares: Path, tmp_path: Path) -> None:
    data = broken_copy(squares, tmp_path / "data", broken=2)
    run = actrec_zoo.train("tiny_conv3d", data, out=tmp_path / "run", epochs=2, **FROZEN)
    report = actrec_zoo.evaluate(run.path, data, split="all", workers=0, device="cpu")
    assert report["n_failed"] == 2 and report["n_used"] == 18 and report["n_expected"] == 20
    assert {f["path"] for f in report["failures"]} == {"left/clip0", "right/clip1"}
    assert all("2.jpg" in f["error"] for f in report["failures"])
    assert report["clip"]["n"] == 18 * 3 + 2 and report["video"]["n"] == 20
    assert sum(row[-1] for row in report["confusion"]) == 2
    assert {f.path for f in run.result.failures} <= {"left/clip0", "right/clip1"}


def test_too_many_unreadable_videos_stop_training_and_leave_nothing(squares: Path, tmp_path: Path) -> None:
    data = broken_copy(squares, tmp_path / "data", broken=10)
    for settings in (TINY | {"frames": 12}, FROZEN):
        with pytest.raises(DataError, match="more than the 3 allowed"):
            actrec_zoo.train("tiny_conv3d", data, out=tmp_path / "run", epochs=30, **settings)
        assert not (tmp_path / "run").exists()


def test_a_last_batch_of_one_clip_is_trained_on(tmp_path: Path) -> None:
    for label, step in (("left", -2), ("right", 2)):
        for number in range(3):
            write_frames(tmp_path / "data" / label / f"clip{number}", moving_square(6, step=step, start=number))
    run = actrec_zoo.train("tiny_conv3d", tmp_path / "data", out=tmp_path / "run", epochs=2, **TINY | {"batch_size": 1})
    assert run.result.last.epoch == 2


def test_a_step_schedule_shows_in_the_history(squares: Path, tmp_path: Path) -> None:
    schedule = {"schedule": "step", "milestones": (1, 2), "lr": 1.0, "lr_factors.backbone": 0.5, "warmup_epochs": 0}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=3, **TINY | schedule)
    assert [record.lr for record in run.result.history] == pytest.approx([1, 0.1, 0.01])


def test_nothing_is_mirrored_where_a_class_is_a_direction(
    squares: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip = TINY | {"augment": ("horizontal_flip",), "cache_features": "off", "sampling": "blocks"}
    plain, left_out, paired = (
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / name, epochs=1, **flip | settings).result.last
        for name, settings in (
            ("plain", {"augment": ()}),
            ("left out", {}),
            ("paired", {"flip_labels": {"left": "right"}}),
        )
    )
    assert left_out.train_loss == plain.train_loss != paired.train_loss
    assert caplog.text.count("horizontal_flip is left out: a mirrored clip of class 'left'") == 1


def test_flip_labels_without_a_flip_are_an_error(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add horizontal_flip to augment"):
        settings = TINY | {"flip_labels": {"left": "right"}}
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **settings)
    same = TINY | {"flip_labels": {"left": "left", "right": "right"}, "augment": ("horizontal_flip",)}
    mirrored = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "same", epochs=1, **same)
    plain = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "plain", epochs=1, **TINY)
    assert mirrored.result.last.train_loss != plain.result.last.train_loss


def test_mirrored_clips_of_paired_classes_are_learnt_as_the_other(squares: Path, tmp_path: Path) -> None:
    settings = {"augment": ("horizontal_flip",), "flip_labels": {"left": "right"}, "sampling": "blocks"}
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=12, **TINY | settings)
    assert run.result.best.val_top1 == 1.0
    assert json.loads((run.path / "run.json").read_text())["config"]["flip_labels"] == {"left": "right"}
    with pytest.raises(ConfigError, match="there is no class 'lft'"):
        settings["flip_labels"] = {"lft": "right"}
        actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "other", epochs=1, **TINY | settings)


def test_augmentations_by_name(squares: Path, tmp_path: Path) -> None:
    augment = ("random_crop", "horizontal_flip", "rotation")
    run = actrec_zoo.train("tiny_conv3d", squares, out=tmp_path / "run", epochs=1, **TINY | {"augment": augment})
    assert json.loads((run.path / "run.json").read_text())["config"]["augment"] == list(augment)
    with Image.open(run.path / "plots" / "history.png") as picture:
        assert picture.width > 100
