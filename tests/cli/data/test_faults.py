"""Every command on a data set with a video of each fault in it: each is named and counted, and the others are read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.training.state import Callback, TrainingState
from tests.conftest import SMALL, Outcome, moving_square, write_frames, write_video
from tests.data.faults import BAD_IMAGES, BAD_VIDEOS, ODD_IMAGES, ODD_VIDEOS

Invoke = Callable[..., Outcome]
FLAGS = (*SMALL, "--epochs", 1, "--device", "cpu")


def good_data(folder: Path, count: int = 6) -> Path:
    """Classes `left` and `right`, folders of frames and files in turn."""
    for label, step in (("left", -2), ("right", 2)):
        for number in range(count):
            frames = moving_square(6, step=step, start=3 * number)
            if number % 2:
                write_video(folder / label / f"clip{number}.mp4", frames)
            else:
                write_frames(folder / label / f"clip{number}", frames)
    return folder


def spoil(folder: Path, content: bytes) -> None:
    """Give a folder of frames another fourth frame."""
    (folder / "4.jpg").write_bytes(content)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The data, and the paths of what cannot be read; odd videos are there too."""
    data = good_data(tmp_path_factory.mktemp("faults") / "data")
    bad = []
    for label, corpus in (("left", BAD_IMAGES), ("right", ODD_IMAGES)):
        for name, content in corpus.items():
            spoil(write_frames(data / label / f"image {name}", moving_square(6, step=2)), content)
            bad += [f"{label}/image {name}"] if corpus is BAD_IMAGES else []
    for label, videos in (("left", BAD_VIDEOS), ("right", ODD_VIDEOS)):
        for name, make in videos.items():
            path = data / label / f"video {name}.mp4"
            content = make(path)
            for made in path.parent.glob("*.made.*"):
                made.unlink()
            path.write_bytes(content)
            bad += [f"{label}/video {name}.mp4"] if videos is BAD_VIDEOS else []
    return data, bad


def test_inspect_counts_them(faulty: tuple[Path, list[str]], invoke: Invoke) -> None:
    data, bad = faulty
    outcome = invoke("data", "inspect", data, "--json")
    found = json.loads(outcome.out)
    unreadable = {item["path"] for item in found["unreadable"]}
    assert unreadable == {p for p in bad if "/video" in p} - {"left/video enormous frames.mp4"}  # nothing is decoded
    everything = 12 + sum(map(len, (BAD_IMAGES, ODD_IMAGES, BAD_VIDEOS, ODD_VIDEOS)))
    assert outcome.code == 0 and found["videos"] == everything - len(unreadable)


def test_check_finds_them(faulty: tuple[Path, list[str]], tmp_path: Path, invoke: Invoke) -> None:
    data, bad = faulty
    outcome = invoke("data", "check", data, "--decode", "all", "--out", tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "duplicate"]
    assert outcome.code == 1
    odd = {("truncated", "right/video header that lies.mp4")}
    assert {(row["kind"], row["path"]) for row in rows if row["path"] not in bad} == odd
    assert {row["path"] for row in rows} >= set(bad)


def test_extract_and_pack_name_them(faulty: tuple[Path, list[str]], tmp_path: Path, invoke: Invoke) -> None:
    data, bad = faulty
    extracted = invoke("data", "extract", data, tmp_path / "frames")
    assert extracted.code == 1 and extracted.out.endswith(f"{len(BAD_VIDEOS)} failed\n")
    assert all(f"{data / path}" in extracted.err for path in bad if "/video" in path)
    assert not list((tmp_path / "frames" / "left").glob("video*"))
    packed = invoke("data", "pack", data, tmp_path / "pack", "--size", 16, "--workers", 2)
    assert packed.code == 1 and packed.out.endswith(f"{len(bad)} failed\n")
    assert all(f"{data / path}" in packed.err for path in bad)
    found = json.loads(invoke("data", "inspect", tmp_path / "pack", "--json").out)
    assert sorted(item["path"] for item in found["unreadable"]) == sorted(bad)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    settings = {"options": {"width": 4}, "size": 32, "frames": 4, "stride": 1, "workers": 0, "device": "cpu"}
    return actrec_zoo.train("tiny_conv3d", good_data(folder / "data"), out=folder / "run", epochs=1, **settings).path


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_counts_them_as_wrong(
    faulty: tuple[Path, list[str]], run: Path, workers: int, tmp_path: Path, invoke: Invoke
) -> None:
    data, bad = faulty
    flags = ("--data", data, "--split", "all", "--workers", workers, "--device", "cpu", "--out", tmp_path)
    assert invoke("eval", run, *flags).code == 0
    report = json.loads((tmp_path / "eval.json").read_text())
    assert sorted(failure["path"] for failure in report["failures"]) == sorted(bad)
    assert report["n_failed"] == len(bad)
    assert [row[-1] for row in report["confusion"]] == [len(bad), 0]


def test_prediction_names_them(faulty: tuple[Path, list[str]], run: Path, invoke: Invoke) -> None:
    data, bad = faulty
    outcome = invoke("predict", run, *(data / path for path in bad), data / "left" / "clip0", "--json")
    answers = {answer["path"]: answer for answer in json.loads(outcome.out)}
    assert outcome.code == 2
    assert {path for path, answer in answers.items() if "error" in answer} == {str(data / path) for path in bad}
    assert len(answers[str(data / "left" / "clip0")]["predictions"]) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_without_three_of_them(workers: int, tmp_path: Path, invoke: Invoke) -> None:
    data = good_data(tmp_path / "data", count=9)
    spoil(data / "left" / "clip2", BAD_IMAGES["enormous jpeg"])
    spoil(data / "right" / "clip4", BAD_IMAGES["truncated"])
    (data / "left" / "clip3.mp4").write_bytes(b"")
    outcome = invoke("train", "tiny_conv3d", "--data", data, "--out", tmp_path / "run", "--workers", workers, *FLAGS)
    assert outcome.code == 0, outcome.err
    skipped = [line for line in outcome.out.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) <= 3 and len(set(skipped)) == len(skipped)
    splits = "".join((tmp_path / "run" / "splits" / f"{name}.csv").read_text() for name in ("train", "val"))
    bad = [f"{label}/clip{name}" for label, name in (("left", "2"), ("right", "4"), ("left", "3.mp4"))]
    assert len(skipped) == sum(f"{path}," in splits for path in bad) > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_training_stops_where_there_are_more(
    workers: int, faulty: tuple[Path, list[str]], tmp_path: Path, invoke: Invoke
) -> None:
    data, _ = faulty
    outcome = invoke("train", "tiny_conv3d", "--data", data, "--out", tmp_path / "run", "--workers", workers, *FLAGS)
    assert outcome.code == 2 and "more than the 3 allowed" in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_files_that_disappear_during_training_are_named(workers: int, tmp_path: Path) -> None:
    data = good_data(tmp_path / "data", count=9)

    class Burglar(Callback):
        def on_step(self, state: TrainingState) -> None:
            shutil.rmtree(data / "left" / "clip0", ignore_errors=True)
            (data / "right" / "clip1.mp4").unlink(missing_ok=True)

    settings = {"options": {"width": 4}, "size": 32, "frames": 4, "stride": 1, "batch_size": 2, "device": "cpu"}
    run = actrec_zoo.train(
        "tiny_conv3d", data, out=tmp_path / "run", epochs=3, workers=workers, callbacks=[Burglar()], **settings
    )
    assert run.result.last.epoch == 3
    gone = {"left/clip0", "right/clip1.mp4"}
    used = "".join((run.path / "splits" / f"{name}.csv").read_text() for name in ("train", "val"))
    assert {failure.path for failure in run.result.failures} == {path for path in gone if f"{path}," in used} != set()
    assert all(str(data) in failure.error for failure in run.result.failures)
