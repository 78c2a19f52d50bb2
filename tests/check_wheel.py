"""Build the wheel, install it where the source tree is not visible, and use it as a new user would.

Called by `make test`. The dependencies are those of the calling environment (through a .pth file); actrec-zoo itself
comes from the wheel.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--epochs", "1", "--workers", "0", "--size", "32", "--set", "options.width=4"]


def run(*command: str | Path, cwd: Path, environment: dict[str, str]) -> str:
    """Run a command, echo it, and return what it prints."""
    print("$", *(Path(part).name if isinstance(part, Path) else part for part in command), flush=True)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def make_environment(folder: Path, environment: dict[str, str]) -> Path:
    """A virtual environment with the wheel and the dependencies of this one, without this project; its bin folder."""
    run(
        sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT, cwd=folder, environment=environment
    )
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder, environment=environment)
    binaries = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    purelib = run(
        binaries / "python",
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=folder,
        environment=environment,
    ).strip()
    (wheel,) = (folder / "dist").glob("*.whl")
    run(binaries / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=folder, environment=environment)
    # After the wheel: a path entry comes behind site-packages, and its own .pth files (editable installs) are not read.
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return binaries


def main() -> None:
    """Build, install, list, info, train, eval, load."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment = keep | {"ACTREC_ZOO_HOME": str(folder / "home"), "ACTREC_ZOO_CACHE": str(folder / "cache")}
        binaries = make_environment(folder, environment)
        zoo = binaries / "actrec-zoo"

        def use(*arguments: str) -> str:
            return run(*arguments, cwd=folder, environment=environment)

        where = use(str(binaries / "python"), "-c", "import actrec_zoo; print(actrec_zoo.__file__)").strip()
        if not Path(where).is_relative_to(folder):
            sys.exit(f"the wheel is not what is used: {where}")
        models = json.loads(use(str(zoo), "list", "--json"))
        for model in models:
            use(str(zoo), "info", model["name"])
        prose = "from actrec_zoo.hub.prose import read_prose; from actrec_zoo.registry import get_registry; "
        use(str(binaries / "python"), "-c", prose + "[read_prose(model.spec) for model in get_registry().models]")
        use(str(zoo), "demo-data", "shapes", "--scenes", "4")
        use(str(zoo), "train", "tiny_conv3d", "--data", "shapes", "--out", "run", *TINY)
        report = json.loads(use(str(zoo), "eval", "run", "--data", "shapes", "--workers", "0", "--json"))
        if report["n_used"] != report["n_expected"] or not report["n_used"]:
            sys.exit(f"eval read {report['n_used']} of {report['n_expected']} videos")
        if not (folder / "run" / "report.html").is_file():
            sys.exit("eval wrote no report.html")
        use(str(zoo), "study", "report", "--data", "shapes", "--dry-run")  # the study's file is in the wheel
        ask = (
            "import sys, actrec_zoo; print(actrec_zoo.load(sys.argv[1]).predict('shapes/grow/scene000', top_k=1)[0][0])"
        )
        shipped, own = (use(str(binaries / "python"), "-c", ask, name).strip() for name in ("tiny_conv3d", "run"))
        if shipped != "grow":
            sys.exit(f"the weights that come with the package say {shipped!r} of a shape that grows")
        print(f"it grows, say the weights that come along; after one epoch: {own}")
    print(f"the wheel works: {len(models)} models")


if __name__ == "__main__":
    main()
