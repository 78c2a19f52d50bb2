"""Cards of runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from actrec_zoo import evaluate, train
from actrec_zoo.cards import card, refresh_run_card, run_card
from actrec_zoo.data.layouts import data_name
from actrec_zoo.errors import ActrecZooError, RunError
from tests.hub.test_model_card import head_of, section

SMALL: dict[str, Any] = {"options": {"width": 4}, "size": 32, "frames": 4, "device": "cpu", "workers": 0}


UNEVALUATED = "before.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """A finished run that was evaluated on its test split; its card of before is kept under another name."""
    run = train("tiny_conv3d", squares, out=tmp_path_factory.mktemp("runs") / "run", epochs=2, **SMALL)
    shutil.copy(run.path / "README.md", run.path / UNEVALUATED)
    evaluate(run.path, squares, workers=0, device="cpu")
    return run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of its small files."""
    for name in ("run.json", "config.json", "history.csv", "eval.json", "README.md", UNEVALUATED):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "splits").mkdir()
    for file in (trained / "splits").iterdir():
        (tmp_path / "splits" / file.name).write_bytes(file.read_bytes())
    return tmp_path


def change(run: Path, **values: Any) -> None:
    file = run / "eval.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def six_classes(run: Path) -> None:
    """Give the run's files six classes, so that top-5 says something."""
    labels = list("abcdef")
    change(run, labels=labels)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"labels": labels}))


def test_training_writes_the_card_that_has_no_evaluation_yet(run: Path) -> None:
    text = (run / UNEVALUATED).read_text()
    (run / "eval.json").unlink()
    assert run_card(run) == text
    assert "Not evaluated yet" in section(text, "Evaluation")
    assert "model-index" not in head_of(text)
    assert "16 videos for training, 2 for validation, 2 for testing, 2 classes; 2 epochs" in section(text, "Training")


def test_evaluation_brings_the_card_up_to_date(trained: Path) -> None:
    assert head_of((trained / "README.md").read_text()) == head_of(run_card(trained))
    assert section((trained / "README.md").read_text(), "Evaluation") == section(run_card(trained), "Evaluation")


def test_what_a_person_wrote_in_the_card_of_a_run_stays(run: Path) -> None:
    card = run / "README.md"
    card.write_text((run / UNEVALUATED).read_text().replace("## Input", "## Mine") + "\n## Thanks\n\nTo all.\n")
    refresh_run_card(run)
    text = card.read_text()
    assert text.endswith("\n## Thanks\n\nTo all.\n") and "Not evaluated yet" not in text
    assert section(text, "Evaluation") == section(run_card(run), "Evaluation")


def test_a_card_that_is_gone_is_written_anew(run: Path) -> None:
    (run / "README.md").unlink()
    refresh_run_card(run)
    assert (run / "README.md").read_text() == run_card(run)


def test_a_folder_that_is_no_run_gets_no_card(run: Path) -> None:
    for name in ("run.json", "README.md"):
        (run / name).unlink()
    refresh_run_card(run)
    assert not (run / "README.md").exists()


def test_a_card_that_cannot_be_brought_up_to_date_is_left_and_named(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run / "README.md").write_text("---\ntags: [\n---\nMine.\n")
    refresh_run_card(run)
    assert f"{run / 'README.md'} does not have the figures: the head of" in caplog.text
    assert (run / "README.md").read_text().endswith("Mine.\n")


def test_the_hubs_own_reader_finds_the_figures(run: Path) -> None:
    six_classes(run)
    video = json.loads((run / "eval.json").read_text())["video"]
    data = ModelCard(run_card(run)).data
    assert (data.library_name, data.pipeline_tag) == ("actrec-zoo", "video-classification")
    top1 = data.eval_results[0]
    assert (top1.metric_name, top1.metric_value) == ("top-1, video level", video["top1"])
    assert (top1.dataset_name, top1.dataset_split, top1.metric_args["n"]) == ("squares", "test", video["n"])


def test_the_model_index_is_that_of_eval_json(run: Path) -> None:
    video = {"n": 41, "top1": 0.123, "top5": 0.456, "loss": 1.0}
    change(run, video=video, clip=video | {"n": 82, "top1": 0.111})
    six_classes(run)
    (entry,) = head_of(run_card(run))["model-index"]
    assert entry["name"] == "tiny_conv3d trained on squares"
    (result,) = entry["results"]
    assert result["task"]["type"] == "video-classification"
    assert result["dataset"]["name"] == result["dataset"]["type"] == "squares"
    assert result["dataset"]["split"] == "test"
    assert result["dataset"]["args"] == {
        **{"frames": 4, "stride": 2, "size": 32, "sampling": "blocks", "views": 1, "crop": "center"}
    }
    figures = [(m["name"], m["value"], m["args"]["n"]) for m in result["metrics"]]
    assert figures == [
        ("top-1, video level", 0.123, 41),
        ("top-5, video level", 0.456, 41),
        ("top-1, clip level", 0.111, 82),
        ("top-5, clip level", 0.456, 82),
    ]
    assert result["metrics"][0]["args"]["protocol"] == "mean of the softmax of its clips"
    assert result["metrics"][0]["args"]["n_failed"] == 0
    assert "| video | 41 | 12.30 | 45.60 | mean of" in section(run_card(run), "Evaluation")


def test_no_other_file_reaches_the_model_index(run: Path) -> None:
    before = head_of(run_card(run))
    lines = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text("\n".join([lines[0], *(line.replace("0.", "0.777") for line in lines[1:])]))
    (run / "README.md").write_text("---\nmodel-index: [{name: x}]\n---\n")
    assert head_of(run_card(run)) == before


def test_top5_of_few_classes_is_no_result(run: Path) -> None:
    (entry,) = head_of(run_card(run))["model-index"]
    assert [metric["name"] for metric in entry["results"][0]["metrics"]] == ["top-1, video level", "top-1, clip level"]


@pytest.mark.parametrize(
    ("split", "failed", "reason"),
    [
        ("test", 1, "1 of 2 videos could not"),
        ("val", 0, "These videos chose"),
        ("train", 0, "has learned from"),
    ],
)
def test_figures_that_say_too_much_stay_out_of_the_head(run: Path, split: str, failed: int, reason: str) -> None:
    protocol = json.loads((run / "eval.json").read_text())["protocol"]
    change(run, n_failed=failed, protocol=protocol | {"split": split})
    text = run_card(run)
    assert "model-index" not in head_of(text)
    assert reason in section(text, "Evaluation")


def test_videos_that_the_run_has_seen_keep_the_figures_out_of_the_head(
    trained: Path, squares: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "test.csv").write_text((trained / "splits" / "train.csv").read_text())
    before = (trained / "eval.json").read_text()
    (labels := tmp_path / "labels.toml").write_text("[labels]\n")
    moved = shutil.copytree(squares, tmp_path / "moved")
    ways: list[tuple[Path, dict[str, Any], str]] = [
        (squares, {"split": "all"}, "18 of 20 videos"),
        (squares, {"splits": other}, "16 of 16 videos"),
        (moved, {"split": "all"}, "18 of 20 videos"),
        (squares / "left.csv", {"split": "all", "map_labels": labels}, "9 of 10 videos"),
        (squares.parent / "right.csv", {"split": "all", "map_labels": labels}, "9 of 10 videos"),
    ]
    for file, prefix in ((squares / "left.csv", ""), (squares.parent / "right.csv", "squares/")):
        rows = [f"{prefix}{file.stem}/clip{i},{file.stem}" for i in range(10)]
        file.write_text("\n".join(["path,label", *rows]))
    try:
        for data, options, told in ways:
            evaluate(trained, data, workers=0, device="cpu", **options)
            text = run_card(trained)
            assert "model-index" not in head_of(text)
            assert f"{told} are among those that the run trained on" in section(text, "Evaluation")
    finally:
        (trained / "eval.json").write_text(before)
        for data, *_ in ways[3:]:
            data.unlink()


def test_videos_that_the_run_has_not_seen_are_a_result(trained: Path, videos: Path) -> None:
    assert json.loads((trained / "eval.json").read_text())["protocol"]["seen"] == 0
    before = (trained / "eval.json").read_text()
    evaluate(trained, videos, split="all", workers=0, device="cpu")
    (entry,) = head_of(run_card(trained))["model-index"]
    (trained / "eval.json").write_text(before)
    assert (entry["results"][0]["dataset"]["name"], entry["results"][0]["dataset"]["split"]) == ("videos", "all")


@pytest.mark.parametrize(("data", "kept"), [("squares", False), (None, False), ("elsewhere", True)])
def test_old_results_over_all_videos_are_none_where_the_run_may_know_them(
    run: Path, data: str | None, kept: bool
) -> None:
    protocol = json.loads((run / "eval.json").read_text())["protocol"] | {"split": "all", "data": data}
    change(run, protocol={k: v for k, v in protocol.items() if k != "seen" and v is not None})
    text = run_card(run)
    assert ("model-index" in head_of(text)) is kept
    assert ("does not say how many of them it has seen" in section(text, "Evaluation")) is not kept


def test_data_is_named_in_full(tmp_path: Path) -> None:
    (tmp_path / "clips.v2").mkdir()
    (tmp_path / "odd.csv").mkdir()
    (tmp_path / "list.of.2.csv").touch()
    (tmp_path / "list.json").touch()
    names = ("clips.v2", "odd.csv", "list.of.2.csv", "list.json", "gone.v2", "gone.v2.csv")
    assert [data_name(tmp_path / name) for name in names] == [
        *("clips.v2", "odd.csv", "list.of.2", "list", "gone.v2", "gone.v2"),
    ]


def test_figures_have_their_intervals(run: Path) -> None:
    told = section(run_card(run), "Evaluation")
    assert "[" not in told, "two videos are too few"
    found = {"top1": [0.25, 0.75], "top5": None}
    drawn = {"level": 0.95, "units": "source groups", "n_units": 12, "clip": found, "video": found}
    change(run, intervals=drawn, video={"n": 2, "top1": 0.5, "top5": 1.0})
    told = section(run_card(run), "Evaluation")
    assert "| video | 2 | 50.00 [25.00, 75.00] | 100.00 | mean" in told
    assert "In brackets: 95 % intervals, by bootstrap over 12 source groups." in told


def test_results_of_before_there_were_intervals(run: Path) -> None:
    before = run_card(run)
    values = json.loads((run / "eval.json").read_text())
    assert values.pop("intervals")["n_units"] == 2
    (run / "eval.json").write_text(json.dumps(values))
    assert run_card(run) == before


def test_results_of_before_data_was_named(run: Path) -> None:
    protocol = json.loads((run / "eval.json").read_text())["protocol"]
    assert protocol.pop("data") == "squares"
    change(run, protocol=protocol)
    (entry,) = head_of(run_card(run))["model-index"]
    assert entry["results"][0]["dataset"]["name"] == "the data that was evaluated"


def started(run: Path, model: str = "timesformer:timesformer", **config: Any) -> Path:
    """Make the run one of another model, with other settings."""
    for file, values in (("config.json", {"model": model, "options": {}}), ("eval.json", {"model": model})):
        (run / file).write_text(json.dumps(json.loads((run / file).read_text()) | values))
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"config": record["config"] | config}))
    return run


FACEBOOK = ["facebook/timesformer-base-finetuned-k400"]


@pytest.mark.parametrize(
    ("config", "licence", "bases", "told"),
    [
        ({"weights": "pretrained"}, "cc-by-nc-4.0", FACEBOOK, "licence of the starting weights: CC-BY-NC-4.0."),
        ({"weights": "kinetics400"}, "cc-by-nc-4.0", FACEBOOK, "upstream's weights `kinetics400` (<https://hugging"),
        ({"weights": "none"}, None, None, "Training began with random weights.\n"),
        (
            {"weights": "hf:me/mine@main"},
            "unknown",
            ["me/mine"],
            "hf:me/mine@main; licence of the starting weights: un",
        ),
        ({"weights": "./gone"}, "unknown", None, "gone; licence of the starting weights: unknown."),
        ({"backbone_weights": "a/b.safetensors"}, "unknown", None, "the file b.safetensors; licence of the starting"),
    ],
    ids=str,
)
def test_weights_that_training_began_with(
    run: Path, config: dict[str, Any], licence: str | None, bases: list[str] | None, told: str
) -> None:
    text = run_card(started(run, **config))
    assert (head_of(text).get("license"), head_of(text).get("base_model")) == (licence, bases)
    assert told in section(text, "Licence")
    assert "- Code: Apache-2.0 (`actrec-zoo`)." in section(text, "Licence")


@pytest.mark.parametrize("named", ["", "model.safetensors"])
def test_what_is_trained_from_a_run_derives_from_what_that_began_with(run: Path, tmp_path: Path, named: str) -> None:
    first = started(copied(run, tmp_path / "first"), weights="pretrained")
    second = started(copied(run, tmp_path / "second"), weights=str(first / named))
    third = run_card(started(run, weights=str(second)))
    assert head_of(third)["license"] == "cc-by-nc-4.0"
    assert head_of(third)["base_model"] == FACEBOOK
    began = (
        "Training began with a run of `timesformer` that began with a run of `timesformer` that began with upstream's"
    )
    assert began in section(third, "Licence")
    started(first, weights=str(second))
    assert head_of(run_card(second))["license"] == "unknown"
    (first / "config.json").unlink()
    assert head_of(run_card(second))["license"] == "unknown"


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("first", "second"))
    return folder


def test_words_of_others_are_shown_as_they_are(run: Path) -> None:
    protocol = json.loads((run / "eval.json").read_text())["protocol"]
    name = "a\n---\n<script>x</script> *b*|c"
    change(run, protocol=protocol | {"data": name})
    started(run, "tiny:tiny_conv3d", data=name.replace("/", ""))
    text = run_card(run)
    assert "<script>" not in text.partition("\n---\n")[2]
    assert "# tiny\\_conv3d" not in text
    assert "\n# tiny_conv3d trained on a --- &lt;script>x&lt;script> \\*b\\*|c\n" in text
    assert "Split test of a --- &lt;script>x&lt;/script> \\*b\\*|c: 2 of 2" in section(text, "Evaluation")
    (entry,) = head_of(text)["model-index"]
    assert entry["results"][0]["dataset"]["name"] == " ".join(name.split())


def test_a_run_without_history_or_splits_has_a_card(run: Path) -> None:
    (run / "history.csv").unlink()
    for file in (run / "splits").iterdir():
        file.unlink()
    text = section(run_card(run), "Training")
    assert "0 videos for training" in text and "Validation" not in text


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("eval.json", "{}", "is not what `actrec-zoo eval` writes"),
        ("eval.json", "[", "is not valid JSON"),
        ("run.json", '{"config": {}}', r"is not what `train` writes: KeyError\('data'\)"),
        ("run.json", '{"config": {"data": null}}', r"is not what `train` writes: KeyError\('data'\)"),
        ("run.json", '{"config": {"data": 3}}', "is not what `train` writes: TypeError"),
        ("run.json", '{"config": {"data": "d"}}', r"is not what `train` writes: KeyError\('epochs'\)"),
        ("run.json", '{"config": {"data": "d", "backbone_weights": 3}}', "is not what `train` writes: TypeError"),
        ("history.csv", "epoch,lr\n1,x\n", "is not the history of a run"),
        ("history.csv", "epoch,lr\n1,2,3\n", "is not the history of a run"),
        ("run.json", "{}", "is not the record of a run"),
        ("config.json", "{}", "is not the configuration"),
    ],
)
def test_damaged_files_are_named(run: Path, file: str, content: str, complaint: str) -> None:
    (run / file).write_text(content)
    with pytest.raises(RunError, match=rf"{file}.*{complaint}"):
        run_card(run)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"protocol": {}}, r"protocol\.split: Field required"),
        ({"protocol": 3}, "protocol: "),
        ({"video": {}}, r"video\.n: "),
        ({"video": {"n": 2, "top1": "a", "top5": 1.0}}, r"video\.top1: .*valid number"),
        ({"video": {"n": 2, "top1": 40.0, "top5": 1.0}}, r"video\.top1: .*less than or equal to 1"),
        ({"clip": None}, "clip: "),
        ({"labels": 3}, "labels: .*valid list"),
        ({"intervals": {"level": 0.95}}, r"intervals\.units: Field required"),
        ({"n_failed": "2"}, "n_failed: .*valid integer"),
    ],
    ids=str,
)
def test_evaluations_that_do_not_fit_are_refused(run: Path, values: dict[str, Any], named: str) -> None:
    change(run, **values)
    with pytest.raises(RunError, match=rf"eval\.json is not what `actrec-zoo eval` writes \({named}.*\): run it again"):
        run_card(run)


def test_an_evaluation_of_data_without_a_name_is_refused(run: Path) -> None:
    protocol = json.loads((run / "eval.json").read_text())["protocol"]
    change(run, protocol=protocol | {"data": None})
    with pytest.raises(RunError, match=r"protocol\.data: .*valid string"):
        run_card(run)


def test_an_evaluation_of_another_model_is_refused(run: Path) -> None:
    change(run, labels=["left", "up"])
    with pytest.raises(RunError, match=r"eval\.json is of another model than .*: run `actrec-zoo eval` again"):
        run_card(run)


def test_names_and_paths(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert card(run) == card(str(run)) == run_card(run)
    monkeypatch.chdir(run.parent)
    assert card(f"./{run.name}") == run_card(run)
    assert card("tiny_conv3d") == card("tiny:tiny_conv3d")
    with pytest.raises(ActrecZooError, match="is no run or model folder"):
        card("./nothing")
    with pytest.raises(ActrecZooError, match=r"hf:a/b@main is on the .* https://huggingface\.co/a/b\. `card` takes"):
        card("hf:a/b@main")
