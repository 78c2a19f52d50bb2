"""`train`, `eval` and `predict` as a user types them, and every kind of bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.models.video import R3D_18_Weights

import actrec_zoo
from tests import upstream
from tests.conftest import SMALL, Outcome, moving_square, write_frames, write_video

Invoke = Callable[..., Outcome]
ONCE = (*SMALL, "--epochs", "1", "--workers", "0", "--device", "cpu")


@pytest.fixture
def run(squares: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """A finished run of one epoch."""
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *ONCE)
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def assert_refused(outcome: Outcome, *words: object) -> None:
    """Exit code 2 and one clear line that names what is wrong."""
    assert outcome.code == 2
    lines = outcome.err.strip().splitlines()
    assert lines[-1].startswith("error: ") and "Traceback" not in outcome.err
    for word in words:
        assert str(word) in lines[-1]


def test_train_eval_predict(squares: Path, run: Path, invoke: Invoke) -> None:
    outcome = invoke("eval", run, "--data", squares, "--workers", "0")
    assert outcome.code == 0
    assert "2 of 2 videos read" in outcome.out and "mean of the softmax" in outcome.out
    report = json.loads((run / "eval.json").read_text())
    assert list(report)[:3] == ["format", "model", "protocol"] and report["format"] == 1
    assert set(report) >= {"labels", "n_expected", "n_used", "n_failed", "failures", "clip", "video", "versions"}
    assert set(report["per_class"][0]) == {"label", "precision", "recall", "f1", "support", "average_precision"}
    assert [len(row) for row in report["confusion"]] == [3, 3]
    assert report["protocol"]["split"] == "test" and report["protocol"]["frames"] == 4

    outcome = invoke("predict", run, squares / "left" / "clip0", str(squares / "right" / "*"), "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 0 and len(found) == 11
    assert sum(p["probability"] for p in found[0]["predictions"]) == pytest.approx(1, abs=1e-5)


def test_eval_prints_json_alone(squares: Path, run: Path, invoke: Invoke) -> None:
    outcome = invoke("eval", run, "--data", squares, "--split", "all", "--json", "--workers", "0")
    assert json.loads(outcome.out) == json.loads((run / "eval.json").read_text())
    assert json.loads(outcome.out)["n_expected"] == 20


@pytest.mark.usefixtures("empty_index")
def test_eval_finds_the_run_by_the_name_of_the_model(squares: Path, run: Path, invoke: Invoke) -> None:
    outcome = invoke("eval", "tiny_conv3d", "--data", squares, "--workers", "0")
    assert outcome.code == 0 and (run / "eval.json").is_file()


def test_eval_does_not_depend_on_batch_size_or_workers(squares: Path, run: Path, invoke: Invoke) -> None:
    reports = [
        json.loads(
            invoke("eval", run, "--data", squares, "--split", "all", "--json", "--batch-size", b, "--workers", w).out
        )
        for b, w in ((1, 0), (7, 2), (64, 0))
    ]
    for other in reports[1:]:
        assert other["confusion"] == reports[0]["confusion"]
        for level in ("clip", "video"):
            assert other[level] == pytest.approx(reports[0][level], rel=1e-5)


def test_predict_agrees_with_eval(squares: Path, run: Path, invoke: Invoke) -> None:
    files = [squares / "left" / f"clip{n}" for n in range(10)] + [squares / "right" / f"clip{n}" for n in range(10)]
    found = json.loads(invoke("predict", run, *files, "--json", "--top-k", "1").out)
    right = sum(Path(item["path"]).parent.name == item["predictions"][0]["label"] for item in found)
    report = json.loads(invoke("eval", run, "--data", squares, "--split", "all", "--json", "--workers", "0").out)
    assert right / 20 == pytest.approx(report["video"]["top1"])


def test_video_files_work_the_same(videos: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("train", "tiny_conv3d", "--data", videos, "--out", tmp_path / "run", *ONCE).code == 0
    assert invoke("eval", tmp_path / "run", "--data", videos, "--workers", "2").code == 0
    outcome = invoke("predict", tmp_path / "run", videos / "left" / "clip0.mp4")
    assert outcome.code == 0 and "clip0.mp4" in outcome.out


def test_the_default_folder_gets_a_number_when_it_exists(
    squares: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny_conv3d", "tiny_conv3d-2"):
        assert invoke("train", "tiny_conv3d", "--data", squares, *ONCE).code == 0
        assert (tmp_path / "runs" / name / "model.safetensors").is_file()
    assert invoke("eval", "runs/tiny_conv3d", "--data", squares, "--workers", "0").code == 0


def test_splits_given_are_used_and_kept(squares: Path, tmp_path: Path, run: Path, invoke: Invoke) -> None:
    outcome = invoke(
        "train", "tiny_conv3d", "--data", squares, "--splits", run / "splits", "--out", tmp_path / "b", *ONCE
    )
    assert outcome.code == 0
    for name in ("train", "val", "test"):
        assert (tmp_path / "b" / "splits" / f"{name}.csv").read_bytes() == (run / "splits" / f"{name}.csv").read_bytes()


def test_settings_from_a_file_and_flags(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("epochs = 3\nlr = 0.5\n[options]\nwidth = 4\n[lr_factors]\nbackbone = 0.1\n")
    flags = ("--epochs", "1", "--size", "32", "--frames", "4", "--workers", "0")
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "r", "--config", file, *flags)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["config"]["epochs"] == 1 and record["origins"]["epochs"] == "flag"
    assert record["config"]["lr"] == 0.5 and record["origins"]["lr"] == "recipe.toml"
    assert record["config"]["lr_factors"] == {"backbone": 0.1}


def test_the_settings_are_printed_and_can_be_fed_back(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "recipe.toml").write_text("epochs = 3\n[options]\nheads = 4\n")
    flags = (
        "--config",
        tmp_path / "recipe.toml",
        "--lr",
        "1e-5",
        "--trainable",
        "@head",
        "--set",
        "lr_factors.stem=0.1",
    )
    command = ("train", "r3d_attn8", "--data", tmp_path / "no where", "--out", tmp_path / "run", "--print-config")
    outcome = invoke(*command, *flags, "--set", 'flip_labels={"turn left"="turn right"}', "--track", "wandb")
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "run").exists()
    lines = outcome.out.splitlines()
    for line in (
        *("epochs = 3 # recipe.toml", "heads = 4 # recipe.toml", "lr = 1e-05 # flag", 'trainable = ["@head"] # flag'),
        *("# frames: none (default)", "momentum = 0.9 # default", "stem = 0.1 # flag", "weight_decay = 0.0001 # model"),
    ):
        assert line in lines, line
    (tmp_path / "printed.toml").write_text(outcome.out)
    again = invoke(*command, "--config", tmp_path / "printed.toml")
    assert tomllib.loads(again.out) == tomllib.loads(outcome.out)
    assert "lr = 1e-05 # printed.toml" in again.out.splitlines()


def test_the_printed_settings_of_a_run_are_its_own(squares: Path, run: Path, invoke: Invoke) -> None:
    command = ("train", "tiny_conv3d", "--data", squares, "--out", run, "--print-config")
    assert_refused(invoke(*command), run, "--resume")
    outcome = invoke(*command, "--resume")
    assert outcome.code == 0 and "epochs = 1 # run" in outcome.out.splitlines()
    assert_refused(invoke(*command, "--resume", "--epochs", "2"), "epochs 1 -> 2")


def test_early_stopping_says_so(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    """With no rate, and a backbone whose batch statistics are frozen, all epochs are alike."""
    flags = (*SMALL, "--workers", "0", "--device", "cpu", "--set", "patience=1", "--lr", "0", "--trainable", "@head")
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *flags)
    assert outcome.code == 0 and "stopped after epoch 2: none of the last 1 was better" in outcome.out
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", "--resume")
    assert outcome.code == 0 and "nothing to resume: stopped after epoch 2" in outcome.out


# Bad input: nothing may be left behind.


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--set", "epohcs=3"), ("epohcs", "Did you mean epochs")),
        (("--set", "options.widht=3"), ("widht", "Did you mean width?")),
        (("--set", "epochs"), ("key=value",)),
        (("--set", "data=elsewhere"), ("data", "argument of its own")),
        (("--set", "track=1"), ("track",)),
        (("--set", "epochs=2"), ("epochs", "given twice")),
        (("--set", "options.width=wide"), ("options.width", "type int")),
        (("--set", "ratios=[nan,1,1]"), ("ratios",)),
        (("--set", "lr_factors.head=-1"), ("lr_factors.head",)),
        (("--set", "weight_decay=inf"), ("weight_decay",)),
        (("--seed", "99999999999999999999999"), ("seed",)),
        (("--set", "callbacks=1"), ("callbacks",)),
        (("--set", "optimizer=lbfgs"), ("optimizer", "lbfgs")),
        (("--epochs", "0"), ("epochs", "greater than or equal to 1")),
        (("--sampling", "some"), ("sampling", "some")),
        (("--trainable", "@hed"), ("@hed", "Did you mean @head")),
        (("--weights", "pretrained"), ("no pretrained weights", "--weights none")),
        (("--weights", "imagnet"), ("imagnet",)),
        (("--backbone-weights", "absent.safetensors"), ("absent.safetensors",)),
        (("--set", 'augment=["rotate"]'), ("rotate", "Did you mean rotation")),
        (("--device", "tpu"), ("device", "tpu")),
        (("--config", "absent.toml"), ("absent.toml",)),
        (("--splits", "absent"), ("absent", "--splits")),
        (("--set", "objective=regression"), ("objective", "regression")),
        (("--set", "trainer=other"), ("trainer", "other")),
        (("--track", "excel"), ("trackers", "excel", "'tensorboard', 'wandb', 'mlflow' or 'trackio'")),
        (("--set", "patience=0"), ("patience", "greater than or equal to 1")),
    ],
)
def test_bad_settings_are_refused(
    squares: Path, tmp_path: Path, invoke: Invoke, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    assert_refused(invoke("train", "tiny_conv3d", "--data", squares, "--out", out, *ONCE, *flags), *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("squeezenet_attn", "--size", "8"), ("squeezenet_attn", "16 frames of 8x8", "works with --size 224")),
        (("r2d_attn", "--set", "options.heads=7"), ("heads=7", "a divisor", "works with --set options.heads=8")),
        (("r2d18_attn", "--set", "options.frames=5"), ("8 frames of 224x224", "with no --set options.frames")),
        (("tiny_conv3d", "--set", "options.widht=3"), ("widht", "Did you mean width?")),
        (("tiny_conv3d", "--trainable", "@hed"), ("@hed", "Did you mean @head")),
        (("timesformer", "--set", "options.frames=abc"), ("options.frames", "type int", "'abc'")),
        (("timesformer", "--size", "100"), ("size=100", "the patch of 16 pixels", "works with --size 224")),
        (("videomae", "--frames", "7"), ("frames=7", "the tubelet of 2 frames", "works with --frames 16")),
        (("mobilenet_attn", "--set", 'options.backbone_args={weights="X"}'), ("mobilenet_attn", "weights")),
        (("r2d_attn", "--set", "options.backbone=alexnet"), ("@stem", "--trainable @head")),
        (("tiny_conv3d", "--weights", "pretrained"), ("no pretrained weights", "--weights none")),
        (("tiny_conv3d", "--weights", "absent/run"), ("--weights", "there is nothing at absent/run")),
        (("r3d", "--weights", "kinetics"), ("r3d has no weights 'kinetics'", "kinetics400")),
        (("r3d", "--backbone-weights", "absent.safetensors"), ("--backbone-weights", "no file absent.safetensors")),
        (("tiny_conv3d", "--set", "trainer=other"), ("there is no trainer 'other'",)),
        (("tiny_conv3d", "--set", "objective=other"), ("there is no objective 'other'",)),
    ],
    ids=" ".join,
)
def test_what_does_not_fit_the_network_is_told_before_any_data_is_looked_for(
    tmp_path: Path, invoke: Invoke, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    outcome = invoke("train", *flags, "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert_refused(outcome, *words)
    assert "nowhere" not in outcome.err and "Warning" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_what_fits_goes_on_to_the_data(tmp_path: Path, invoke: Invoke) -> None:
    flags = ("--frames", "4", "--set", "options.readout=mean", "--set", "options.frames=3", "--weights", "none")
    assert_refused(invoke("train", "r2d18_attn", *flags, "--data", tmp_path / "nowhere"), "nowhere")


def test_a_loss_that_is_no_number_stops_the_run(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *ONCE, "--lr", "1e30")
    assert_refused(outcome, "epoch 1", "not a number", "--set lr=")
    assert not (tmp_path / "run").exists()


def test_odd_names_of_classes_and_folders_get_through(tmp_path: Path, invoke: Invoke) -> None:
    for label, step in (("a$b_{$", -2), (os.fsdecode(b"c\xff"), 2), ("[/b]", 1)):
        for number in range(3):
            write_frames(tmp_path / "data" / label / f"clip {number}", moving_square(6, step=step, start=number))
    run = tmp_path / "[/b] run[a]"
    outcome = invoke("train", "tiny_conv3d", "--data", tmp_path / "data", "--out", run, *ONCE)
    assert outcome.code == 0 and f"eval '{run}'" in outcome.out
    assert invoke("eval", run, "--data", tmp_path / "data", "--workers", "0").code == 0
    outcome = invoke("eval", run, "--data", tmp_path / "data", "--workers", "0", "--json")
    assert "a$b_{$" in json.loads(outcome.out)["labels"]


def test_a_store_that_cannot_be_written_does_not_fail_a_finished_run(
    squares: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACTREC_ZOO_HOME", str(tmp_path / "file"))
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *ONCE)
    assert outcome.code == 0 and "not registered" in outcome.err
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_one_class_is_refused(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(squares / "left", tmp_path / "data" / "left")
    assert_refused(invoke("train", "tiny_conv3d", "--data", tmp_path / "data", *ONCE), "one class", "left")


def test_one_image_is_no_video(squares: Path, run: Path, invoke: Invoke) -> None:
    outcome = invoke("predict", run, squares / "left" / "clip0" / "1.jpg")
    assert outcome.code == 2 and "the folder that holds its frames" in outcome.err


@pytest.mark.usefixtures("empty_index")
def test_a_moved_run_is_missed_by_name(squares: Path, run: Path, invoke: Invoke) -> None:
    run.rename(run.with_name("elsewhere"))
    assert_refused(invoke("predict", "tiny_conv3d", squares / "left" / "clip0"), run, "is gone")


def test_unknown_model(squares: Path, invoke: Invoke) -> None:
    assert_refused(invoke("train", "tiny_conv2d", "--data", squares), "tiny_conv2d", "Did you mean tiny_conv3d?")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "r", *ONCE, "--device", "cuda")
    assert_refused(outcome, "cuda", "--device auto or cpu")
    assert not (tmp_path / "r").exists()


def test_missing_and_empty_data(tmp_path: Path, invoke: Invoke) -> None:
    assert_refused(invoke("train", "tiny_conv3d", "--data", tmp_path / "absent"), tmp_path / "absent", "--data")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    assert_refused(invoke("train", "tiny_conv3d", "--data", tmp_path / "empty"), tmp_path / "empty", "no videos")


def test_a_class_with_too_few_videos(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    data = tmp_path / "data"
    shutil.copytree(squares, data)
    write_frames(data / "rare" / "only", moving_square(8, step=1))
    outcome = invoke("train", "tiny_conv3d", "--data", data, "--out", tmp_path / "run", *ONCE)
    assert_refused(outcome, "rare", "too few")


def edit_split(run: Path, folder: Path, name: str, change: Callable[[list[dict[str, str]]], None]) -> Path:
    shutil.copytree(run / "splits", folder)
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "group"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_bad_split_files(squares: Path, run: Path, tmp_path: Path, invoke: Invoke) -> None:
    with (run / "splits" / "train.csv").open(newline="") as file:
        first = next(iter(csv.DictReader(file)))
    cases: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
        ("missing", {"path": "left/absent", "label": "left", "group": ""}, ("left/absent", "not in")),
        ("shared", first, (first["path"], "share the video")),
    ]
    for name, row, words in cases:
        folder = edit_split(run, tmp_path / name, "test", lambda rows, row=row: rows.append(row))  # type: ignore[misc]
        for command in (
            ("train", "tiny_conv3d", "--out", tmp_path / "new", *ONCE),
            ("eval", run, "--workers", "0"),
        ):
            assert_refused(invoke(*command, "--data", squares, "--splits", folder), *words)
    assert not (tmp_path / "new").exists()


def test_splits_that_share_a_group(squares: Path, run: Path, tmp_path: Path, invoke: Invoke) -> None:
    folder = edit_split(run, tmp_path / "a", "train", lambda rows: rows[0].update(group="film7"))
    folder = edit_split_in_place(folder, "val")
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--splits", folder, "--out", tmp_path / "n", *ONCE)
    assert_refused(outcome, "train and val share the source group film7")


def test_a_leak_that_is_allowed_is_a_warning_and_stays_on_record(
    squares: Path, run: Path, tmp_path: Path, invoke: Invoke
) -> None:
    folder = edit_split_in_place(
        edit_split(run, tmp_path / "a", "train", lambda rows: rows[0].update(group="film7")), "val"
    )
    command = ("train", "tiny_conv3d", "--data", squares, "--splits", folder, "--out", tmp_path / "n", *ONCE)
    outcome = invoke(*command, "--allow-leak")
    warning = "train and val share the source group film7"
    assert outcome.code == 0 and f"warning: {folder}: {warning}" in outcome.err
    assert json.loads((tmp_path / "n" / "run.json").read_text())["config"]["allow_leak"] is True
    assert invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "n", "--resume").code == 0
    outcome = invoke("eval", tmp_path / "n", "--data", squares, "--split", "val", "--workers", "0")
    assert outcome.code == 0 and warning in outcome.err


def test_groups_come_from_the_names_of_a_known_data_set(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    for label in ("left", "right"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number, clip in enumerate(sorted((squares / label).iterdir())):
            name = f"Film{number // 2}_{label}_u_nm_np1_fr_med_{number}"
            (tmp_path / "data" / label / name).symlink_to(clip)
    outcome = invoke("train", "tiny_conv3d", "--data", tmp_path / "data", "--out", tmp_path / "run", *ONCE)
    assert outcome.code == 0 and "groups from HMDB51's names: 5 sources" in outcome.err
    with (tmp_path / "run" / "splits" / "test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and len({row["group"] for row in rows}) == 1


def edit_split_in_place(folder: Path, name: str) -> Path:
    file = folder / f"{name}.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1] + "film7", *lines[2:]]) + "\n")
    return folder


def test_labels_that_differ_between_run_and_data(videos: Path, run: Path, tmp_path: Path, invoke: Invoke) -> None:
    data = tmp_path / "data"
    shutil.copytree(videos, data)
    (data / "left").rename(data / "port")
    assert_refused(invoke("eval", run, "--data", data, "--split", "all"), "port", "does not know")


def test_an_existing_out_is_refused_and_left_alone(squares: Path, run: Path, invoke: Invoke) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert_refused(invoke("train", "tiny_conv3d", "--data", squares, "--out", run, *ONCE), run, "--resume")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_resume_of_what_is_no_run(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "other", "--resume", *ONCE)
    assert_refused(outcome, "no run to resume")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "years of work"
    assert_refused(invoke("train", "tiny_conv3d", "--data", squares, "--resume", *ONCE), "--resume needs --out")


def test_a_file_where_the_out_folder_should_go(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "run", tmp_path / "file" / "deep" / "run"):
        assert_refused(invoke("train", "tiny_conv3d", "--data", squares, "--out", out, *ONCE), tmp_path / "file")


def test_a_corrupt_video_is_named_by_predict_and_the_others_are_answered(
    squares: Path, run: Path, tmp_path: Path, invoke: Invoke
) -> None:
    good = write_video(tmp_path / "good.mp4", moving_square(12, step=2))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(good.read_bytes()[:300])
    outcome = invoke("predict", run, bad, good)
    assert outcome.code == 2 and str(bad) in outcome.err and "good.mp4" in outcome.out
    assert_refused(invoke("predict", run, tmp_path / "absent.mp4"), "absent.mp4")


def test_a_folder_that_is_no_model(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert_refused(invoke("eval", tmp_path, "--data", squares), tmp_path, "config.json")


def test_a_full_disk_before_the_first_checkpoint_leaves_nothing(
    squares: Path, small_disk: Path, invoke: Invoke
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 390_000)
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", small_disk / "run", *ONCE)
    assert_refused(outcome, "cannot write", "Free some space")
    assert list(small_disk.iterdir()) == [ballast]


def test_the_share_of_time_that_was_waited_for_data(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    command = ("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", "--epochs", "2", "--size", "32")
    code, out, _ = invoke(*command, "--profile")
    assert code == 0
    shares = re.findall(r"waited for data: (\d+\.\d)% of the training steps \((\S+) of (\S+) s\)", out)
    assert len(shares) == 2 and all(0 < float(share) <= 100 for share, _, _ in shares)
    assert ("--workers" in out) == any(float(share) > 10 for share, _, _ in shares)
    code, out, _ = invoke(*command[:4], "--out", tmp_path / "other", *command[6:])
    assert code == 0 and "waited" not in out


def test_split_files_whose_names_share_a_film_are_refused(tmp_path: Path, invoke: Invoke) -> None:
    for label in ("wave", "jump"):
        for film in range(4):
            name = f"Film{film}_{label}_u_nm_np1_ba_goo_{film}.avi"
            write_video(tmp_path / "data" / label / name, moving_square(8, step=1))
    names = sorted(str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*.avi"))
    for split, films in {"train": "012", "val": "3"}.items():
        rows = "".join(f"{name},{name.split('/')[0]}\n" for name in names if name.split("Film")[1][0] in films)
        (tmp_path / f"{split}.csv").write_text(f"path,label\n{rows}")
    command = ("train", "tiny_conv3d", "--data", tmp_path / "data", *SMALL, "--epochs", "1", "--splits", tmp_path)
    assert invoke(*command, "--out", tmp_path / "good").code == 0
    shared = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("path,label\n" + shared[1] + "\n")
    (tmp_path / "train.csv").write_text("\n".join([shared[0], *shared[2:]]) + "\n")
    code, _, err = invoke(*command, "--out", tmp_path / "bad")
    assert code == 2 and "train and test share the source group Film0" in err
    assert invoke(*command, "--out", tmp_path / "allowed", "--allow-leak").code == 0


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = [*SMALL, "--epochs", "4000", "--workers", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "actrec_zoo", "train", "tiny_conv3d", "--data", str(squares), "--out", str(run)]
    process = subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in errors and "Traceback" not in errors
    assert (run / "checkpoints" / "last.safetensors").is_file() and not (run / "model.safetensors").exists()
    again = subprocess.Popen(
        [*command, "--resume"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert again.stdout is not None
    first = again.stdout.readline()
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=120)
    assert first.startswith("resumed at epoch ")


def test_predict_with_upstreams_weights(torch_home: Path, squares: Path, invoke: Invoke) -> None:
    spec = actrec_zoo.get_spec("r3d")
    reference = upstream.torchvision_network("r3d_18")
    upstream.publish_torchvision(torch_home, upstream.weights_of(spec), reference.state_dict())
    outcome = invoke("predict", "r3d", squares / "left" / "clip0", "--weights", "pretrained", "--json", "--top-k", "2")
    assert outcome.code == 0, outcome.err
    labels = {p["label"] for p in json.loads(outcome.out)[0]["predictions"]}
    assert labels <= set(R3D_18_Weights.KINETICS400_V1.meta["categories"])


@pytest.mark.parametrize(
    ("name", "weights", "complaint"),
    [
        ("r3d", "imagenet", "r3d has no weights 'imagenet': use pretrained, kinetics400, none"),
        ("r3d", "none", "--weights none: the classifier of r3d would be new and its answers mean nothing"),
        ("r3d_attn8", "pretrained", "--weights pretrained: the classifier of r3d_attn8 would be new"),
        ("./run", "pretrained", "--weights pretrained: ./run has weights of its own, leave it out"),
    ],
)
def test_answers_of_an_untrained_classifier_are_refused(
    name: str, weights: str, complaint: str, squares: Path, invoke: Invoke
) -> None:
    for command in (("predict", name, squares / "left" / "clip0"), ("eval", name, "--data", squares, "--split", "all")):
        outcome = invoke(*command, "--weights", weights)
        assert_refused(outcome, complaint)
        assert outcome.out == ""


def test_eval_with_upstreams_weights(torch_home: Path, tmp_path: Path, invoke: Invoke) -> None:
    spec = actrec_zoo.get_spec("r3d")
    reference = upstream.torchvision_network("r3d_18")
    upstream.publish_torchvision(torch_home, upstream.weights_of(spec), reference.state_dict())
    for label in ("archery", "bowling"):
        write_frames(tmp_path / "data" / label / "clip0", moving_square(8, step=1))
    flags = ("--split", "all", "--weights", "pretrained", "--workers", "0", "--json")
    outcome = invoke("eval", "r3d", "--data", tmp_path / "data", *flags)
    assert_refused(outcome, "The model knows 398 classes (abseiling, ", "zumba) without a video", "--map-labels")
    (tmp_path / "labels.toml").write_text("[labels]\n")
    outcome = invoke("eval", "r3d", "--data", tmp_path / "data", "--map-labels", tmp_path / "labels.toml", *flags)
    assert outcome.code == 0, outcome.err
    assert "nothing was written: --out DIR keeps eval.json" in outcome.err
    assert json.loads(outcome.out)["n_used"] == 2
