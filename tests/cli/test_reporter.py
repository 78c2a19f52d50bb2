"""What is shown while a run trains, on a terminal and without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import actrec_zoo
from actrec_zoo.cli.display import ProgressDisplay
from actrec_zoo.cli.reporter import Reporter
from tests.training.test_trainer import TINY

FIGURES = r"loss \d\.\d{4}  top-1 \d\.\d{4}  \d+\.\d clips/s  data wait \d+%  \d:\d\d:\d\d left in all"


def shown(squares: Path, run: Path, capsys: pytest.CaptureFixture[str], seconds: float | None) -> tuple[str, str]:
    """Stdout and stderr of a run of two epochs of four steps."""
    with ProgressDisplay() as display:
        reporter = Reporter(display, seconds)
        actrec_zoo.train("tiny_conv3d", squares, out=run, epochs=2, callbacks=[reporter], **TINY)
    return capsys.readouterr()


def figures_in(err: str) -> list[str]:
    """The lines of the reporter; the library's own remarks are on stderr too."""
    return [line for line in err.splitlines() if line.startswith("Epoch ")]


def test_plain_lines_without_a_terminal(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(squares, tmp_path / "run", capsys, seconds=0)
    lines = figures_in(err)
    assert [line.split("  ")[0] for line in lines] == [f"Epoch {e}/2, step {s}/4" for e in (1, 2) for s in (1, 2, 3, 4)]
    assert all(re.search(rf"  {FIGURES}$", line) for line in lines), err
    assert lines[-1].endswith("0:00:00 left in all")
    assert len(re.findall(r"^epoch   \d/2  train loss", out, re.M)) == 2


def test_they_come_once_a_minute(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures_in(shown(squares, tmp_path / "run", capsys, seconds=None)[1]) == []


def test_a_bar_with_figures_on_a_terminal(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "160", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    _, err = shown(squares, tmp_path / "run", capsys, seconds=0)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert re.search(rf"Epoch 2/2 .*4/4 .*{FIGURES}", plain), plain
