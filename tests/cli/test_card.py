"""`actrec-zoo card`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actrec_zoo.cards import BEGIN, END, card
from tests.conftest import Outcome
from tests.distributions import Site, model_code, run_python

Invoke = Callable[..., Outcome]

PROSE = "".join(f"## {h}\n\nText.\n\n" for h in ("Architecture", "Origin", "Intended use", "Limits"))
PROSE += "## Citation\n\n```bibtex\n@misc{one,\n}\n```\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a plugin `extra` of two models that have a card."""
    site = Site(tmp_path / "site", monkeypatch)
    code = model_code("net", "other").replace("input=InputSpec", 'card="MODULE:card.md", input=InputSpec')
    module = site.add("extra", code)
    (site.folder / module / "card.md").write_text(PROSE)
    return site


def test_prints_a_models_card(invoke: Invoke) -> None:
    assert invoke("card", "tiny_conv3d") == (0, card("tiny_conv3d"), "")


@pytest.mark.parametrize("arguments", [(), ("r3d", "--check"), ("--check", "--write")])
def test_one_thing_at_a_time(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    code, _, err = invoke("card", *arguments)
    assert code == 2
    assert "give one of MODEL, --check and --write" in err


def test_unknown_model_is_one_line_and_exit_code_2(invoke: Invoke) -> None:
    code, out, err = invoke("card", "r3d_atn8")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and "Did you mean" in err


def test_a_plugins_cards_are_written_and_checked(invoke: Invoke, plugin: Site, tmp_path: Path) -> None:
    cards, page = tmp_path / "cards", tmp_path / "models.md"
    page.write_text(f"# Models\n\n{BEGIN}{END}\n\nMore.\n")
    options = ("--plugin", "extra", "--folder", cards, "--page", page)
    with plugin.installed():
        code, out, _ = invoke("card", "--check", *options)
        assert code == 1
        assert out.splitlines()[:3] == [f"missing: {cards}/net.md", f"missing: {cards}/other.md", f"stale: {page}"]
        assert not cards.exists()
        code, out, _ = invoke("card", "--write", *options)
        assert (code, out.count("written: ")) == (0, 3)
        assert invoke("card", "--check", *options).out == "3 files are as they should be\n"
        assert (cards / "net.md").read_text() == invoke("card", "extra:net").out
    assert page.read_text().startswith(f"# Models\n\n{BEGIN}\n\n| model | ")
    assert "| `other` | Tiny 3D CNN | 94,753 |" in page.read_text()
    assert page.read_text().endswith(f"\n\n{END}\n\nMore.\n")


def test_stale_and_surplus_cards_are_named_and_none_is_removed(invoke: Invoke, plugin: Site, tmp_path: Path) -> None:
    options = ("--plugin", "extra", "--folder", tmp_path)
    with plugin.installed():
        invoke("card", "--write", *options)
        untouched = (tmp_path / "other.md").stat().st_mtime_ns
        (tmp_path / "net.md").write_text("Edited.")
        (tmp_path / "gone.md").write_text("Of a model that was renamed.")
        code, out, _ = invoke("card", "--check", *options)
        assert code == 1
        assert out.splitlines()[:2] == [f"stale: {tmp_path}/net.md", f"surplus: {tmp_path}/gone.md"]
        code, out, _ = invoke("card", "--write", *options)
        assert code == 1
        assert out.splitlines()[:2] == [f"written: {tmp_path}/net.md", f"surplus: {tmp_path}/gone.md"]
    assert (tmp_path / "gone.md").exists()
    assert (tmp_path / "other.md").stat().st_mtime_ns == untouched


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--plugin", "nothing"), "there is no plugin 'nothing'"),
        (("--plugin", "extra", "--page", "none.md"), "cannot read --page none.md"),
        (("--plugin", "extra", "--page", "empty.md"), f"empty.md has no place for the table: put it between {BEGIN}"),
        (("--plugin", "bare"), "model 'bare' has no card: set card='package:file' in its spec"),
    ],
)
def test_what_cannot_be_rendered(
    invoke: Invoke,
    plugin: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    plugin.add("bare", model_code("bare"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.md").write_text(f"{END} {BEGIN}")
    with plugin.installed():
        code, out, err = invoke("card", "--write", *options)
    assert (code, out) == (2, "")
    assert complaint in err and err.count("\n") == 1
    assert not (tmp_path / "model_cards").exists()


def test_a_folder_that_cannot_be_written(invoke: Invoke, plugin: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with plugin.installed():
        code, _, err = invoke("card", "--write", "--plugin", "extra", "--folder", tmp_path / "file")
    assert code == 2 and "cannot write" in err


def test_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom actrec_zoo import cli\nsys.argv = ['actrec-zoo', 'card', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    assert run_python("-c", code).code == 0
