"""What is imported when nothing is built: no torch, and none of the other large libraries."""

from __future__ import annotations

import pytest

from tests.distributions import run_python

HEAVY = ("torch", "torchvision", "sklearn", "numpy", "pydantic", "transformers", "accelerate", "matplotlib", "av")
REPORT = f"""
import sys
heavy = {HEAVY!r}
def report():
    sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["list", "--json"], ["--help"], ["--version"], ["info", "r3d"], ["info", "r3d", "--json"]),
        *(["plugins"], ["plugins", "--json"], ["info", "unknown"], ["train", "--help"], ["eval", "--help"]),
        *(["compare", "--help"], ["study", "--help"]),
        *(["predict", "--help"], ["demo-data", "--help"], ["data", "--help"]),
        *(["runs", "--help"], ["runs", "."], ["runs", "compare", "a", "b"]),
        *(["data", name, "--help"] for name in ("inspect", "check", "split", "extract", "pack")),
    ],
    ids=" ".join,
)
def test_command_imports_no_large_library(arguments: list[str]) -> None:
    code = f"""{REPORT}
from actrec_zoo import cli
sys.argv = ["actrec-zoo", *{arguments!r}]
try:
    cli.main()
except SystemExit:
    pass
report()
"""
    done = run_python("-c", code)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "code",
    [
        "import actrec_zoo",
        "import actrec_zoo; actrec_zoo.list_models(); actrec_zoo.get_spec('r3d'); actrec_zoo.hookimpl; dir(actrec_zoo)",
        "import actrec_zoo.plugin",
        "import actrec_zoo_plugins.r3d, actrec_zoo_plugins.r2d_attn, actrec_zoo_plugins.tiny",
        "import actrec_zoo.hookspecs, actrec_zoo.spec, actrec_zoo.registry, actrec_zoo.errors, actrec_zoo.files",
    ],
)
def test_package_imports_no_large_library(code: str) -> None:
    done = run_python("-c", f"{REPORT}\n{code}\nreport()")
    assert done.code == 0, done.err


def test_import_of_the_package_finds_no_plugins() -> None:
    code = "import sys, actrec_zoo; sys.exit('pluggy' in sys.modules or 'actrec_zoo_plugins' in sys.modules)"
    assert run_python("-c", code).code == 0


def test_every_public_name_is_there() -> None:
    import actrec_zoo

    assert sorted(actrec_zoo.__all__) == dir(actrec_zoo)
    for name in actrec_zoo.__all__:
        assert getattr(actrec_zoo, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        _ = actrec_zoo.lod
