"""Model cards: rendered from descriptions and counts, written, and compared with those that are there."""

import csv
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from actrec_zoo.cost import Cost, measure
from actrec_zoo.data.layouts import data_name
from actrec_zoo.data.manifest import SPLIT_NAMES
from actrec_zoo.errors import ActrecZooError, ConfigError, RunError
from actrec_zoo.files import write_text
from actrec_zoo.fitting import check_fit
from actrec_zoo.hub.card import RunFacts, Start, render_card
from actrec_zoo.hub.model_card import render_model_card, render_model_table
from actrec_zoo.hub.package import CARD_FILE, EVAL_FILE, WEIGHTS_FILE, read_package
from actrec_zoo.hub.prose import read_prose
from actrec_zoo.hub.readme import merge
from actrec_zoo.hub.reference import PREFIX
from actrec_zoo.hub.report import read_report
from actrec_zoo.loading import find_model, is_path
from actrec_zoo.registry import RegisteredModel, get_registry
from actrec_zoo.spec import ModelSpec
from actrec_zoo.training.checkpoint import HISTORY, read_history
from actrec_zoo.training.parameters import set_trainable
from actrec_zoo.training.run import RUN_FILE, RunFolder

BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
"""What surrounds the table of models on a page."""

_log = logging.getLogger(__name__)

Difference = Literal["missing", "stale", "surplus"]


class CardFile(NamedTuple):
    """A file that holds a card or a table, as it should be."""

    path: Path
    text: str


def card(name: str | Path) -> str:
    """The card of a model, by name, or of a run, by the path of its folder.

    Raises:
        ActrecZooError: there is no such model or run, its card lacks prose, or the run's files do not fit.
    """
    if str(name).startswith(PREFIX):
        repository = str(name).removeprefix(PREFIX).partition("@")[0]
        raise ConfigError(
            f"{name} is on the Hugging Face Hub and has its card there: https://huggingface.co/{repository}. "
            "`card` takes a model's name or the path of a run"
        )
    if is_path(name):
        return run_card(Path(name))
    model = get_registry().find(str(name))
    return render_model_card(model, read_prose(model.spec), cost_of(model))


def run_card(
    folder: Path,
    *,
    repository: str | None = None,
    license: str | None = None,  # noqa: A002 (the Hub's word)
) -> str:
    """The card of a finished run, from the files of its folder.

    Args:
        folder: of the run.
        repository: of the Hub that the card is for; None is the folder itself.
        license: of the trained weights; None is that of the weights that the run began with.

    Raises:
        RunError: a file is missing or is not what `train` and `eval` write.
    """
    package = read_package(folder)
    config = RunFolder(folder, fresh=False).settings().values
    history = read_history(folder / HISTORY) if (folder / HISTORY).is_file() else []
    spec, report = find_model(package).spec, read_report(folder / EVAL_FILE, package)
    try:
        facts = RunFacts(
            config=config,
            data=data_name(config["data"]),
            best=asdict(max(history, key=lambda record: record.rank)) if history else None,
            videos=_videos(folder / "splits"),
            start=_start(spec, config, (folder.resolve(),)),
            report=report,
        )
        return render_card(spec, package, facts, repository=repository, license=license)
    except (KeyError, TypeError) as error:
        raise RunError(f"run.json in {folder} is not what `train` writes: {error!r}") from error


def refresh_run_card(folder: Path) -> None:
    """Let the card in a run's folder tell what its files say by now; what a person wrote in it stays.

    A folder that is no run is left alone. Where the card cannot be brought up to date, the log says why.
    """
    file = folder / CARD_FILE
    if not (folder / RUN_FILE).is_file():
        return
    try:
        there = file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else ""
        write_text(file, merge(there, run_card(folder), str(file)))
    except (ActrecZooError, OSError) as error:
        _log.warning("%s does not have the figures: %s", file, error)


def cost_of(model: RegisteredModel) -> Cost:
    """What a model costs at its own input, without weights and, mostly, without memory.

    Raises:
        ConfigError: the network cannot take its own input.
        PluginError: its builder cannot be imported.
    """
    net = check_fit(model, model.spec.input, {})
    set_trainable(net, model.spec, model.spec.trainable)
    return measure(net, model.spec.input)


def card_files(folder: Path, *, plugin: str | None = None, page: Path | None = None) -> list[CardFile]:
    """The cards of models as they should be, and the page with the table of them.

    Args:
        folder: where the cards lie, `<model>.md` each.
        plugin: whose models; None takes those that come with actrec-zoo.
        page: Markdown file whose text between `BEGIN` and `END` is the table.

    Raises:
        ActrecZooError: there is no such plugin or page, a model lacks prose, or its network cannot be built.
    """
    models = [m for m in get_registry().matching(plugin=plugin) if plugin is not None or m.plugin.first_party]
    costs = [(model, cost_of(model)) for model in models]
    files = [
        CardFile(folder / f"{model.spec.name}.md", render_model_card(model, read_prose(model.spec), cost))
        for model, cost in costs
    ]
    return [*files, CardFile(page, _with_table(page, render_model_table(costs)))] if page else files


def differences(files: Iterable[CardFile], folder: Path) -> list[tuple[Difference, Path]]:
    """Files that are missing, stale (their text is another), or surplus (Markdown in the folder that is no card)."""
    expected = {file.path: file.text for file in files}
    surplus = sorted(path for path in folder.glob("*.md") if path not in expected)
    return [*_unlike(expected), *(("surplus", path) for path in surplus)]


def write_cards(files: Iterable[CardFile]) -> None:
    """Write every file, atomically.

    Raises:
        RunError: one cannot be written.
    """
    for file in files:
        write_text(file.path, file.text)


def _start(spec: ModelSpec, config: Mapping[str, Any], runs: tuple[Path, ...]) -> Start:
    """The weights that a run began with, which may be those of another run; `runs` are those on the way here."""
    weights = str(config.get("weights", "none"))
    tag = next(iter(spec.weights), "none") if weights == "pretrained" else weights
    if "backbone_weights" in config:
        return Start.unknown(f"the file {Path(config['backbone_weights']).name}")
    if tag == "none":
        return Start()
    if tag in spec.weights:
        return Start.upstream(tag, spec.weights[tag])
    if tag.startswith(PREFIX):
        return Start.unknown(tag, [tag.removeprefix(PREFIX).partition("@")[0]])
    return _start_of_run(Path(tag).expanduser().resolve(), runs)


def _start_of_run(path: Path, runs: tuple[Path, ...]) -> Start:
    """The weights that the run at `path` began with: what was trained from them derives from them, too."""
    folder = path.parent if path.name == WEIGHTS_FILE else path
    if folder in runs or not (folder / RUN_FILE).is_file():
        return Start.unknown(path.name)
    try:
        spec, config = find_model(read_package(folder)).spec, RunFolder(folder, fresh=False).settings().values
    except ActrecZooError:
        return Start.unknown(path.name)
    first = _start(spec, config, (*runs, folder))
    return replace(first, told=f"a run of `{spec.name}` that began with {first.told}")


def _unlike(expected: Mapping[Path, str]) -> Iterable[tuple[Difference, Path]]:
    for path, text in expected.items():
        if not path.is_file():
            yield "missing", path
        elif path.read_text(encoding="utf-8", errors="surrogateescape") != text:
            yield "stale", path


def _with_table(page: Path, rows: str) -> str:
    """The page's text with another table."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read --page {page}: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"--page {page} has no place for the table: put it between {BEGIN} and {END}")
    return f"{before}{begin}\n\n{rows}\n\n{end}{after}"


def _videos(splits: Path) -> dict[str, int]:
    return {name: _rows(splits / f"{name}.csv") for name in SPLIT_NAMES if (splits / f"{name}.csv").is_file()}


def _rows(file: Path) -> int:
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        return max(0, sum(1 for _ in csv.reader(lines)) - 1)
