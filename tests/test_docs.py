"""The documentation says what the code does: options, settings, models, formats, links and examples."""

from __future__ import annotations

import ast
import doctest
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from pydantic_core import PydanticUndefined

import actrec_zoo
from actrec_zoo import loading, plugin_manager, registry
from actrec_zoo.cards import card_files, differences
from actrec_zoo.cli import _COMMANDS, BAD_INPUT, INTERRUPTED, cli
from actrec_zoo.cli.list_models import _as_json
from actrec_zoo.config import MACHINE_KEYS, Layer, TrainConfig, parse_assignment, read_toml, resolve
from actrec_zoo.data.checking.findings import KINDS, write_findings
from actrec_zoo.data.inspection import inspect_manifest
from actrec_zoo.data.layouts import BUILT_IN, VIDEO_SUFFIXES
from actrec_zoo.data.layouts.tables import COLUMNS
from actrec_zoo.data.manifest import Entry, Manifest
from actrec_zoo.data.packets import ONE_FRAME_A_PACKET
from actrec_zoo.data.splits import write_splits
from actrec_zoo.data.strings import PackedStrings
from actrec_zoo.data.transforms import AUGMENTATIONS
from actrec_zoo.evaluation.analysis import analyse
from actrec_zoo.evaluation.comparison import compare_evaluations
from actrec_zoo.evaluation.corruption import KINDS as CORRUPTIONS
from actrec_zoo.evaluation.evaluator import VideoEvaluator
from actrec_zoo.evaluation.predictions import Videos
from actrec_zoo.hookspecs import HOOKS
from actrec_zoo.registry import get_registry
from actrec_zoo.studies import plan_study
from actrec_zoo.studies.definition import Published, Study, StudyData, StudyModel
from actrec_zoo.testing import RULES
from actrec_zoo.training.state import EpochRecord
from tests.evaluation.known import write_evaluation

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARDS = ROOT / "model_cards"
OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = sorted([*DOCS.rglob("*.md"), *CARDS.glob("*.md"), *(ROOT / name for name in OTHERS)])


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = heading.split(" ", 1)[0]
    found = re.search(rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text_of(page), re.M | re.S)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Cells of the body rows of every table in a text."""
    lines = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    rules = [i for i, cells in enumerate(lines) if all(re.fullmatch(r":?-+:?", cell) for cell in cells)]
    heads = {i - 1 for i in rules} | set(rules)
    return [cells for i, cells in enumerate(lines) if i not in heads]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", without_blocks(text))


def without_blocks(text: str) -> str:
    return re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.M | re.S)


# Command line


def commands() -> list[tuple[str, click.Command]]:
    """Heading and command of every command, and of those below it."""
    found = []
    for name in _COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        found.append((f"## actrec-zoo {name}", command))
        for inner, below in subcommands(command).items():
            found.append((f"### actrec-zoo {name} {inner}", below))
    return found


def subcommands(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by name, also of one that imports them when asked; none of a command."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: below for name, below in found.items() if below is not None}


@pytest.mark.parametrize(("heading", "command"), commands())
def test_every_option_is_documented_and_exists(heading: str, command: click.Command) -> None:
    text = section("docs/reference/cli.md", heading).split("\n### ")[0]
    documented = {item for cells in rows(text) for item in quoted(cells[0])}
    actual = {
        p.opts[0] if isinstance(p, click.Option) else p.make_metavar(click.Context(command)) for p in command.params
    }
    assert documented == {re.sub(r"[\[\].]", "", item) for item in actual}


def test_every_command_has_a_section() -> None:
    headings = re.findall(r"^#+ actrec-zoo .+$", text_of("docs/reference/cli.md"), re.M)
    assert headings == [heading for heading, _ in commands()]


def test_options_of_the_program_are_documented() -> None:
    head = text_of("docs/reference/cli.md").split("\n## ")[0]
    documented = {item for cells in rows(head) for item in quoted(cells[0])}
    assert documented == {"-h", *(option for p in cli.params for option in p.opts), "--help"}


def test_exit_codes_are_documented() -> None:
    documented = [cells[0] for cells in rows(section("docs/reference/formats.md", "## Exit codes"))]
    assert documented == ["0", "1", str(BAD_INPUT), str(INTERRUPTED)]


def console_commands() -> list[tuple[str, list[str]]]:
    """Page and words of every `$ actrec-zoo` line."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in re.findall(r"^\$ actrec-zoo (.*)$", block, re.M):
                found.append((page.name, shlex.split(line, comments=True)))
    return found


@pytest.mark.parametrize(("page", "words"), console_commands())
def test_commands_in_the_text_parse(page: str, words: list[str]) -> None:
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{page}: there is no command {words[0]}"
    if words[1:2] and words[1] in (below := subcommands(command)):
        command, words = below[words[1]], words[1:]
    command.make_context(words[0], words[1:])


# Settings


def test_every_setting_is_documented_with_its_default() -> None:
    table = {quoted(c[0])[0]: c[1] for c in rows(text_of("docs/reference/config.md"))}
    assert table == {name: shown_default(field.default) for name, field in TrainConfig.model_fields.items()}


def shown_default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    return "none" if value is None else f"`{json.dumps(value)}`"


def test_every_key_of_a_study_is_documented_with_its_default() -> None:
    table = [(quoted(cells[0])[0], cells[1]) for cells in rows(text_of("docs/reference/study.md"))]
    tables = (Study, StudyData, StudyModel, Published)
    fields = [(name, field) for keys in tables for name, field in keys.model_fields.items()]
    assert table == [(name, "`{}`" if name == "data" else shown_default(field.default)) for name, field in fields]


def test_the_study_in_the_text_is_one(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", text_of("docs/how-to/run-a-study.md"), re.S)
    assert example
    file = tmp_path / "mine.toml"
    file.write_text(example[1])
    plan = plan_study(file, settings={"precision": "bf16", "r3d.lr": 1e-3})
    assert [run.config.lr for run in plan.runs[::3]] == [1e-3, 1e-4, 3e-6] and len(plan.runs) == 9


def test_choices_in_the_settings_exist() -> None:
    meaning = {quoted(c[0])[0]: c[2] for c in rows(text_of("docs/reference/config.md"))}
    assert quoted(meaning["augment"]) == list(AUGMENTATIONS)
    for name in ("optimizer", "schedule", "balance", "sampling", "cache_features", "device"):
        choices = TrainConfig.model_fields[name].annotation.__args__  # type: ignore[union-attr]
        assert set(choices) <= set(quoted(meaning[name])), name


def test_settings_that_a_resumed_run_may_change_are_documented() -> None:
    flags = re.search(r"Only (.*?)\s+may change", text_of("docs/how-to/resume-a-run.md"), re.S)
    assert flags and {name.removeprefix("--").replace("-", "_") for name in quoted(flags[1])} == MACHINE_KEYS


def test_the_toml_example_is_accepted(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", text_of("docs/reference/config.md"), re.S)
    assert example
    file = tmp_path / "settings.toml"
    file.write_text(example[1])
    flags = Layer("flag", {"model": "r3d_attn8", "data": "data"})
    config = resolve(actrec_zoo.get_spec("r3d_attn8"), [read_toml(file), flags]).config
    assert (config.options, config.lr_factors, config.milestones) == ({"heads": 4}, {"stem": 0.1}, (5, 10))


def test_assignments_in_the_text_are_accepted() -> None:
    found = {
        a for page in PAGES for a in re.findall(r"--set ([a-z_.]+=(?:'[^']*'|[^\s`',;)]+))", page.read_text("utf-8"))
    }
    assert found
    for text in found - {"trainer=NAME", "objective=NAME"}:
        key, value = parse_assignment(text.replace("'", ""))
        model = "r3d_stem" if "stem" in key else "tiny_conv3d" if "width" in key else "r3d_attn8"
        resolve(actrec_zoo.get_spec(model), [Layer("flag", {"model": model, "data": "data", key: value})])


# Models


def test_the_cards_and_the_table_of_the_reference_are_true() -> None:
    files = card_files(CARDS, page=DOCS / "reference" / "models.md")
    assert differences(files, CARDS) == [], "run `make cards`"


def test_the_model_table_of_the_readme_is_true() -> None:
    table = {quoted(cells[0])[0]: (cells[2], cells[3], cells[5]) for cells in rows(section("README.md", "## Models"))}
    expected = {}
    for model in get_registry().models:
        spec = model.spec
        figure = f"{100 * spec.reference.top1:.2f}" if spec.reference else "-"
        expected[spec.name] = (f"{spec.parameters:,}", f"{spec.input.frames} x {spec.input.size}", figure)
    assert table == expected


def test_architecture_options_are_documented() -> None:
    page = text_of("docs/reference/models.md")
    for model in get_registry().models:
        for option in model.spec.options:
            assert f"`{option}`" in page, f"{model.id}: option {option}"


# Formats


def test_history_columns_are_documented() -> None:
    table = [name for c in rows(section("docs/reference/formats.md", "## history.csv")) for name in quoted(c[0])]
    assert table == list(EpochRecord.__dataclass_fields__)


def test_eval_keys_are_documented() -> None:
    evaluator, videos = VideoEvaluator(["a"], np.array([0]), np.array([0])), PackedStrings(["v"])
    predictions = evaluator.predictions(Videos(("a",), videos, PackedStrings([""]), np.array([0])))
    report = evaluator.compute()
    actual = report.to_dict(model="", protocol={}, versions={}) | analyse(predictions, report)
    table = [name for c in rows(section("docs/reference/formats.md", "## eval.json")) for name in quoted(c[0])]
    assert set(table) == set(actual) | {"identity", "corruptions", "label_map", "left_out"}
    parts = (actual["clip"], actual["video"], actual["per_class"][0], actual["calibration"], actual["intervals"])
    for keys in (*parts, actual["calibration"]["bins"][0], actual["intervals"]["video"]):
        assert "{" + ", ".join(keys) + "}" in section("docs/reference/formats.md", "## eval.json")


def test_compare_keys_are_documented(tmp_path: Path) -> None:
    found = compare_evaluations(*(write_evaluation(tmp_path / said, "ab", said) for said in ("ab", "bb")))
    text = section("docs/reference/formats.md", "## compare --json")
    assert [name for cells in rows(text) for name in quoted(cells[0])] == list(found)
    for keys in (
        found["a"],
        found["intervals"],
        found["top1"],
        found["mcnemar"],
        *found["per_class"],
        *found["changed"],
    ):
        assert "{" + ", ".join(keys) + "}" in text


def test_corruptions_are_documented_with_their_strengths() -> None:
    table = {quoted(cells[0])[0]: cells[1:] for cells in rows(text_of("docs/how-to/test-robustness.md"))}
    assert table.keys() == CORRUPTIONS.keys()
    for name, kind in CORRUPTIONS.items():
        assert re.findall(r"[\d.]+", table[name][1]) == [f"{strength:g}" for strength in kind.strengths], name


def test_list_keys_are_documented() -> None:
    actual = _as_json(get_registry().find("r3d"))
    table = [name for c in rows(section("docs/reference/formats.md", "## list --json")) for name in quoted(c[0])]
    assert set(table) == set(actual)


def test_inspection_keys_are_documented(tmp_path: Path) -> None:
    actual = inspect_manifest(Manifest.from_entries(tmp_path, [Entry("clip.mp4", "jump")])).to_dict()
    text = section("docs/reference/formats.md", "## data inspect --json")
    assert [name for cells in rows(text) for name in quoted(cells[0])] == list(actual)
    for keys in (actual["classes"][0], actual["balance"], actual["balance"]["frames"]):
        assert "{" + ", ".join(keys) + "}" in text


def test_split_file_columns_are_documented(tmp_path: Path) -> None:
    manifest = Manifest.from_entries(tmp_path, [Entry("clip.mp4", "jump")])
    write_splits(tmp_path, manifest, {"train": np.array([0])})
    header = (tmp_path / "train.csv").read_text().splitlines()[0]
    assert f"`{header}`" in section("docs/reference/formats.md", "## Split files")


def test_layouts_and_columns_of_tables_are_documented() -> None:
    text = section("docs/reference/formats.md", "## Data layouts")
    names = [name for cells in rows(text.split("\n### ")[0]) for name in quoted(cells[0])]
    assert list(dict.fromkeys(names)) == list(BUILT_IN)
    columns = section("docs/reference/formats.md", "### Columns of a table")
    assert [name for cells in rows(columns) for name in quoted(cells[0])] == re.findall(r"\w+", COLUMNS)


def test_findings_are_documented(tmp_path: Path) -> None:
    text = section("docs/reference/formats.md", "## Findings of data check")
    write_findings(tmp_path / "findings.csv", [])
    assert f"`{(tmp_path / 'findings.csv').read_text().strip()}`" in text
    assert [quoted(cells[0])[0] for cells in rows(text)] == list(KINDS)


def test_video_suffixes_are_documented() -> None:
    listed = re.findall(
        r"\.[a-z0-9]+\b", next(t for t in quoted(text_of("docs/reference/formats.md")) if ".avi .mp4" in t)
    )
    assert set(listed) == VIDEO_SUFFIXES


def test_environment_variables_are_documented() -> None:
    table = {quoted(c[0])[0] for c in rows(section("docs/reference/formats.md", "## Environment variables"))}
    used = {
        v for f in (ROOT / "src").rglob("*.py") for v in re.findall(r"\bACTREC_ZOO_[A-Z_]+\b", f.read_text("utf-8"))
    }
    assert table == used - {"ACTREC_ZOO_API"}
    assert {plugin_manager.ALLOW_VARIABLE, plugin_manager.DISABLE_VARIABLE} <= table


def test_codecs_whose_packets_are_counted_are_documented() -> None:
    names = {"h264": "H.264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1", "mjpeg": "Motion JPEG"}
    assert names.keys() == ONE_FRAME_A_PACKET
    choice = section("docs/decisions/0005-exact-frame-counts.md", "## Choice")
    assert all(name in choice for name in names.values())


# Architecture


def test_the_floors_are_those_of_import_linter() -> None:
    block = re.search(r"```text\n(.*?)```", section("docs/explanation/architecture.md", "## Floors"), re.S)
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert block and block[1].splitlines() == [layer.replace(" :", ",") for layer in layers]


# Plugins


def test_every_hook_is_documented() -> None:
    table = {quoted(c[0])[0]: c for c in rows(section("docs/how-to/write-a-plugin.md", "## Hooks"))}
    assert table.keys() == HOOKS.keys()
    for name, cells in table.items():
        assert quoted(cells[1])[0].startswith(f"actrec_zoo_{name}(")
        assert quoted(cells[2]) == [HOOKS[name].__name__]


def readme_files() -> dict[str, str]:
    """The files that the README shows, by name."""
    return dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```", text_of("README.md"), re.M | re.S))


def test_the_plugin_of_the_readme_works(tmp_path: Path) -> None:
    files = readme_files()
    assert set(files) == {"pyproject.toml", "smallconv/__init__.py", "smallconv/model.py"}
    broken = broken_rules(tmp_path, tmp_path, files, "smallconv")
    assert broken == ["card"]  # the template has one


def broken_rules(folder: Path, packages: Path, files: dict[str, str], name: str) -> list[str]:
    """Rules of the contract that a model breaks, whose plugin is a project of these files with its packages there."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    information = packages / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    entry_points = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["actrec_zoo"].items())
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (information / "entry_points.txt").write_text(f"[actrec_zoo]\n{entry_points}")
    code = (
        "from actrec_zoo.registry import get_registry\n"
        "from actrec_zoo.testing import examine_model\n"
        f"model = get_registry().find({name!r})\n"
        "broken = [result.rule for result in examine_model(model).broken]\n"
        "print(model.id, model.plugin.distribution, model.plugin.status, *broken)"
    )
    environment = os.environ | {"PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (plugin,) = project["entry-points"]["actrec_zoo"]
    identity, distribution, status, *broken = done.stdout.split()
    assert (identity, distribution, status) == (f"{plugin}:{name}", project["name"], "ok")
    return broken


TEMPLATE = ROOT / "examples" / "actrec-zoo-plugin-template"


def guide_files() -> dict[str, str]:
    """The files that the guide shows, put together from their parts in the order of the page."""
    parts: dict[str, list[str]] = {}
    shown = re.findall(r"^`([\w./]+)`:\n\n(`{3,})\w+\n(.*?)^\2$", text_of("docs/how-to/write-a-plugin.md"), re.M | re.S)
    for file, _, code in shown:
        parts.setdefault(file, []).append(code)
    return {file: functools.reduce(_joined, codes) for file, codes in parts.items()}


def _joined(code: str, part: str) -> str:
    """A further model goes into the function above it, anything else after two empty lines."""
    return code + textwrap.indent(part, "    ") if part.startswith("yield ") else f"{code}\n\n{part}"


@pytest.mark.parametrize("file", guide_files())
def test_the_guide_shows_the_template_as_it_is(file: str) -> None:
    assert guide_files()[file] == (TEMPLATE / file).read_text("utf-8")


def test_the_plugin_of_the_guide_works(tmp_path: Path) -> None:
    assert broken_rules(tmp_path, tmp_path / "src", guide_files(), "tsm_tiny") == []


def test_the_guide_and_the_readme_of_the_template_name_all_its_files() -> None:
    files = {file.relative_to(TEMPLATE).as_posix() for file in TEMPLATE.rglob("*") if file.is_file()}
    files = {name for name in files if "cache" not in name} - {"README.md"}
    assert files - {"src/actrec_zoo_tsm/py.typed"} == guide_files().keys()
    table = rows(section("examples/actrec-zoo-plugin-template/README.md", "## The files"))
    assert files == {quoted(cells[0])[0] for cells in table}


def test_every_rule_of_the_contract_is_documented() -> None:
    table = [quoted(cells[0])[0] for cells in rows(section("docs/how-to/write-a-plugin.md", "## The model contract"))]
    assert table == [rule.name for rule in RULES]


# Python


def python_blocks() -> list[tuple[str, str]]:
    """A name and the code of every Python block."""
    pattern = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
    return [
        (f"{page.name}:{number}", code)
        for page in PAGES
        for number, code in enumerate(pattern.findall(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize(("where", "code"), python_blocks())
def test_python_blocks_compile_and_their_names_exist(where: str, code: str) -> None:
    tree = ast.parse(code, where)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "actrec_zoo":
            module = __import__(node.module, fromlist=["*"])
            assert all(hasattr(module, alias.name) for alias in node.names), where
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "actrec_zoo":
            assert node.attr in actrec_zoo.__all__, f"{where}: actrec_zoo.{node.attr}"


def test_the_python_walk_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], videos: Path
) -> None:
    code = re.search(r"```python\n(.*?)```", section("README.md", "## Python"), re.S)
    assert code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-data").symlink_to(videos)
    small = code[1].replace("my-data/jump", "my-data/left")
    small = re.sub(r"epochs=\d+", "epochs=1, options={'width': 4}, size=32, frames=4, device='cpu', workers=0", small)
    small = small.replace("evaluate(run.path, ", "evaluate(run.path, workers=0, device='cpu', data=")
    exec(compile(small, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "'r3d_attn_adaptive'" in printed and "('left', 'right')" in printed


@pytest.mark.parametrize("module", [actrec_zoo, loading, registry], ids=lambda module: module.__name__)
def test_docstring_examples(module: object) -> None:
    runner = doctest.DocTestRunner()
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]  # type: ignore[arg-type]
    assert examples
    for test in examples:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_public_names_are_documented() -> None:
    page = text_of("docs/reference/python-api.md")
    references = re.findall(r"^::: (\S+)$", page, re.M)
    names = {reference.rpartition(".")[2] for reference in references} | {"errors", "hookspecs"}
    elsewhere = {"__version__", "ActrecZooError", "hookimpl"}
    assert set(actrec_zoo.__all__) - elsewhere <= names


# Links


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as the site makes them."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(page.read_text("utf-8")), re.M)
    slugs = (re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower() for title in titles)
    return {re.sub(r"[-\s]+", "-", slug) for slug in slugs}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_internal_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_navigation_lists_every_page() -> None:
    def files(item: object) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
            yield from files(inner)

    listed = list(files(yaml.safe_load(text_of("mkdocs.yml"))["nav"]))
    assert sorted(listed) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))


def test_decisions_are_numbered_and_listed() -> None:
    records = sorted(p.name for p in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [name[:4] for name in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    assert all(f"({name})" in text_of("docs/decisions/index.md") for name in records)
