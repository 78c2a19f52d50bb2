"""Every hook is documented, and the host calls for what a real plugin gives it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo import hookspecs, spec
from actrec_zoo.errors import ActrecZooError, UnknownNameError
from actrec_zoo.hookspecs import HOOKS
from tests.conftest import SMALL, Outcome
from tests.distributions import Site, model_code

Invoke = Callable[..., Outcome]

# One plugin with every hook. Each component leaves a trace that the tests look for.
PLUGIN = model_code(
    "hooked_net",
    after="""
@hookimpl
def actrec_zoo_datasets():
    yield DatasetSpec(name="listing", summary="A listing.txt", builder="MODULE.parts:ListingReader")

@hookimpl
def actrec_zoo_trainers():
    yield TrainerSpec(name="twice", summary="Says what it trains", builder="MODULE.parts:LoudTrainer")

@hookimpl
def actrec_zoo_objectives():
    yield ObjectiveSpec(name="hinge", summary="Multi-class hinge loss", builder="MODULE.parts:Hinge")

@hookimpl
def actrec_zoo_metrics():
    yield MetricSpec(name="mean_confidence", summary="Mean of the best", builder="MODULE.parts:mean_confidence")

@hookimpl
def actrec_zoo_callbacks(config):
    if config.seed == 7:
        yield CallbackSpec(name="diary", summary="Writes a line an epoch", builder="MODULE.parts:Diary")

@hookimpl
def actrec_zoo_commands():
    yield CommandSpec(name="greet", summary="Say hello", builder="MODULE.greet:command")
""",
)
PARTS = """
import os
from torch.nn import functional
from actrec_zoo.plugin import Callback, Entry
from actrec_zoo.training.trainer import SupervisedTrainer

def note(line):
    with open(os.environ["DIARY"], "a") as file:
        file.write(line + "\\n")

class ListingReader:
    def matches(self, path):
        return (path / "listing.txt").is_file()
    def root(self, path):
        return path
    def read(self, path, skipped):
        note("reader")
        for line in (path / "listing.txt").read_text().splitlines():
            label, video = line.split()
            yield Entry(video, label)

class LoudTrainer(SupervisedTrainer):
    def fit(self, model, *rest):
        note(f"trainer of {model.id}")
        return super().fit(model, *rest)

class Hinge:
    def __init__(self, config):
        note(f"objective {config.objective}")
    def __call__(self, model, batch):
        logits = model(batch.inputs)
        return functional.multi_margin_loss(logits, batch.labels), {}

class Diary(Callback):
    def __init__(self, config):
        note(f"callback of {config.model}")
    def on_epoch_end(self, state):
        note(f"epoch {state.history[-1].epoch}")

def mean_confidence(labels, probabilities):
    note(f"metric {len(labels)} {probabilities.shape[1]}")
    return float(probabilities.max(1).mean())
"""
GREET = """
import click

@click.command("greet")
@click.argument("name")
def command(name):
    \"\"\"Say hello.\"\"\"
    click.echo(f"hello {name}")
"""
QUICK = (*SMALL, "--epochs", "1", "--workers", "0", "--device", "cpu")


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin is installed; its components write into this file."""
    file = tmp_path / "diary.txt"
    monkeypatch.setenv("DIARY", str(file))
    monkeypatch.chdir(tmp_path)
    site = Site(tmp_path / "site", monkeypatch)
    site.add("hooked", PLUGIN, parts=PARTS, greet=GREET)
    with site.installed():
        yield file


def lines(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


def succeed(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented_and_yields_a_spec(hook: str) -> None:
    function = getattr(hookspecs, f"actrec_zoo_{hook}")
    assert len(inspect.getdoc(function) or "") > 20
    assert (HOOKS[hook].__doc__ or "").strip()
    assert HOOKS[hook].__name__ in str(inspect.signature(function).return_annotation)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_row_in_the_guide_and_a_test_of_its_name(hook: str) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "how-to" / "write-a-plugin.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{hook}` \| `actrec_zoo_{hook}\(", guide, re.MULTILINE), f"the guide has no row for {hook}"
    tests = [name for name in globals() if re.fullmatch(rf"test_{hook}(_\w+)?", name)]
    assert tests, f"no test here is called test_{hook} or test_{hook}_..."


def test_no_hook_is_missing_from_the_table() -> None:
    functions = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("actrec_zoo")}
    assert functions == {f"actrec_zoo_{hook}" for hook in HOOKS}


def test_a_plugin_can_import_all_it_yields() -> None:
    from actrec_zoo import plugin

    for kind in HOOKS.values():
        assert getattr(plugin, kind.__name__) is kind
    assert set(plugin.__all__) <= set(dir(plugin))


@pytest.mark.parametrize("name", ["Callback", "Entry", "Reader", "Objective", "Trainer", "Batch", "TrainConfig"])
def test_the_interfaces_of_the_other_hooks_are_public(name: str) -> None:
    from actrec_zoo import plugin

    assert name in dir(plugin) and name not in plugin.__all__
    assert inspect.getdoc(getattr(plugin, name))


def test_every_hook_is_implemented_by_the_plugin_of_these_tests() -> None:
    assert set(re.findall(r"def actrec_zoo_(\w+)", PLUGIN)) == set(HOOKS)


def test_models(diary: Path) -> None:
    model = actrec_zoo.load("hooked_net", weights=None, num_classes=2)
    assert (model.id, model.labels) == ("hooked:hooked_net", ("0", "1"))


def test_datasets(diary: Path, squares: Path, invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "listed"
    data.mkdir()
    videos = [(label, squares / label / f"clip{n}") for label in ("left", "right") for n in range(10)]
    (data / "listing.txt").write_text("".join(f"{label} {video}\n" for label, video in videos))
    succeed(invoke("train", "tiny_conv3d", "--data", data, "--out", "run", *QUICK))
    named = ("--data-format", "listing")
    succeed(invoke("eval", "run", "--data", data, *named, "--workers", "0", "--device", "cpu"))
    assert lines(diary).count("reader") == 2
    assert json.loads(Path("run/eval.json").read_text())["n_used"] == 2


def test_trainers(diary: Path, squares: Path, invoke: Invoke) -> None:
    succeed(
        invoke("train", "tiny_conv3d", "--data", squares, "--out", "run", "--set", "trainer=twice", *QUICK),
    )
    assert lines(diary) == ["trainer of tiny:tiny_conv3d"]


def test_objectives(diary: Path, squares: Path) -> None:
    run = actrec_zoo.train(
        "tiny_conv3d",
        squares,
        out="run",
        objective="hooked:hinge",
        epochs=1,
        size=32,
        frames=4,
        stride=1,
        options={"width": 4},
        workers=0,
        device="cpu",
    )
    assert lines(diary) == ["objective hooked:hinge"]
    assert run.result.last.train_top1 == 0
    assert (run.path / "model.safetensors").is_file()


def test_callbacks_hear_of_the_run_that_they_ask_for(diary: Path, squares: Path, invoke: Invoke) -> None:
    succeed(invoke("train", "tiny_conv3d", "--data", squares, "--out", "run", "--seed", "7", *QUICK))
    assert lines(diary) == ["callback of tiny:tiny_conv3d", "epoch 1"]
    succeed(invoke("train", "tiny_conv3d", "--data", squares, "--out", "other", "--seed", "8", *QUICK))
    assert len(lines(diary)) == 2


def test_metrics(diary: Path, squares: Path) -> None:
    model = actrec_zoo.load("hooked_net", weights=None, num_classes=2)
    model.labels = ("left", "right")
    report = actrec_zoo.evaluate(model, squares, split="all", workers=0, device="cpu")
    assert lines(diary) == ["metric 20 2"]
    assert 0.5 <= report["metrics"]["mean_confidence"] <= 1


def test_commands(diary: Path, invoke: Invoke) -> None:
    assert succeed(invoke("greet", "you")).out == "hello you\n"
    assert re.search(r"^ +greet +Say hello\.$", succeed(invoke("--help")).out, re.MULTILINE)


@pytest.mark.parametrize(("key", "near"), [("trainer", "twice"), ("objective", "hinge")])
def test_unknown_component_tells_the_nearest(diary: Path, squares: Path, invoke: Invoke, key: str, near: str) -> None:
    outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", "run", "--set", f"{key}={near}e", *QUICK)
    assert outcome.code == 2
    assert f"there is no {key} '{near}e'. Did you mean {near}?" in outcome.err
    assert not Path("run").exists()


def test_a_model_of_a_plugin_trains_under_its_id(diary: Path, squares: Path, invoke: Invoke) -> None:
    succeed(invoke("train", "hooked:hooked_net", "--data", squares, *QUICK))
    config = json.loads(Path("runs/hooked_net/config.json").read_text())
    assert config["model"] == "hooked:hooked_net"
    assert config["plugin"] == {"distribution": "hooked", "version": "1.2.3"}
    assert actrec_zoo.load("hooked_net").labels == ("left", "right")


def test_a_run_whose_plugin_is_gone_names_the_distribution(tmp_path: Path, squares: Path) -> None:
    run = tmp_path / "run"
    settings = {"epochs": 1, "size": 32, "options": {"width": 4}, "workers": 0, "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        site = Site(tmp_path / "site", patch)
        site.add("zoo-gone", model_code("gone_net"), entry_point="gone")
        with site.installed():
            assert actrec_zoo.train("gone_net", squares, out=run, **settings).model.id == "gone:gone_net"
    with pytest.raises(UnknownNameError, match="needs the model 'gone:gone_net': `pip install zoo-gone`"):
        actrec_zoo.load(run)


def test_names_of_models_are_checked() -> None:
    for name in ("", "a/b", "a:b", "a b", ".a", "@a"):
        with pytest.raises(ActrecZooError, match="may not be empty"):
            spec.ModelSpec(
                name=name,
                summary="",
                architecture="",
                builder="",
                input=spec.InputSpec(frames=1, size=1),
                parameters=0,
            )


BAD = model_code(
    "bad_net",
    after="""
@hookimpl
def actrec_zoo_metrics():
    yield MetricSpec(name="raises", summary="Raises", builder="MODULE.parts:raises")

@hookimpl
def actrec_zoo_callbacks(config):
    yield CallbackSpec(name="nothing", summary="No callback", builder="MODULE.parts:nothing")
""",
)
BAD_PARTS = """
def raises(labels, probabilities):
    raise ZeroDivisionError("of the metric")

def nothing(config):
    return object()
"""


def test_a_bad_metric_and_a_bad_callback_cost_a_line_and_nothing_else(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("bad", BAD, parts=BAD_PARTS)
    with site.installed():
        trained = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *QUICK)
    assert trained.code == 0 and "plugin 'bad' is broken" in trained.err and "Callback" in trained.err
    with site.installed():
        evaluated = invoke("eval", tmp_path / "run", "--data", squares, "--workers", "0")
    assert evaluated.code == 0 and "of the metric" in evaluated.err
    assert json.loads((tmp_path / "run" / "eval.json").read_text())["metrics"] == {}


def test_metrics_of_the_same_name_keep_both(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    code = """
@hookimpl
def actrec_zoo_metrics():
    yield MetricSpec(name="share", summary="A share", builder="MODULE.parts:share")
"""
    for name, value in (("one", 1), ("two", 2)):
        site.add(name, model_code(f"{name}_net", after=code), parts=f"share = lambda labels, probabilities: {value}")
    with site.installed():
        succeed(invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *QUICK))
        succeed(invoke("eval", tmp_path / "run", "--data", squares, "--workers", "0"))
    metrics = json.loads((tmp_path / "run" / "eval.json").read_text())["metrics"]
    assert metrics == {"one:share": 1.0, "two:share": 2.0}


LOST = model_code(
    "lost_net",
    after="""
@hookimpl
def actrec_zoo_datasets():
    yield DatasetSpec(name="lost", summary="Raises", builder="MODULE.parts:Lost")
""",
)


@pytest.mark.parametrize("fails", ["matches", "read"])
def test_a_reader_that_fails_is_left_out_or_named(
    fails: str, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    parts = f"""
class Lost:
    def matches(self, path):
        return 1 / 0 if {fails!r} == "matches" else True
    def root(self, path):
        return path
    def read(self, path, skipped):
        return 1 / 0
"""
    site = Site(tmp_path / "site", monkeypatch)
    site.add("lost", LOST, parts=parts)
    with site.installed():
        outcome = invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *QUICK)
    assert "Traceback" not in outcome.err and "lost" in outcome.err and "division by zero" in outcome.err
    assert outcome.code == (0 if fails == "matches" else 2)


def test_a_model_with_a_field_of_the_wrong_type_breaks_its_plugin_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("odd", model_code("odd_net").replace("parameters=94_753", "parameters=None"))
    with site.installed():
        outcome = succeed(invoke("list"))
    assert "tiny_conv3d" in outcome.out and "odd_net" not in outcome.out
    assert "parameters of model 'odd_net' must be of type int" in outcome.err


def test_a_plugin_name_that_looks_like_a_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    site = Site(tmp_path / "site", monkeypatch)
    site.add("slash", model_code("slash_net"), entry_point="org/name")
    with site.installed():
        outcome = succeed(invoke("list"))
    assert "slash_net" not in outcome.out and "its name may not" in outcome.err
