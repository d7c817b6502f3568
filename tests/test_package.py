"""What is shipped, and what starting it costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from compiled_once import Shared

ROOT = Path(__file__).parents[1]
AFMC = Path(sys.executable).with_name("afmc")
HEAVY = {"torch", "transformers", "ortools", "pandas", "scipy", "networkx"}


def imported_by(*arguments: str) -> tuple[set[str], float]:
    """Top-level packages that a command imports, and its seconds of importing."""
    code = "import sys; from afmc.cli import main; sys.argv[1:] = sys.argv[1:]; main()"
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",  # the installed package, not the checkout
    )
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", result.stderr)
    assert result.returncode == 0 and lines, result.stderr[-2000:]
    return {name.split(".")[0] for _, name in lines}, sum(int(own) for own, _ in lines) / 1e6


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compile", "--help"],
        ["targets", "list"],
        ["inspect", "PROGRAM"],
        ["report", "PROGRAM", "-o", "PAGE"],
        ["inspect", "PROGRAM", "--layer", "q_proj"],
        ["inspect", "PROGRAM", "--tile", "0/0"],
        ["inspect", "PROGRAM", "--why", "*"],
        ["compare", "PROGRAM", "PROGRAM"],
        ["compare", "PROGRAM", "PROGRAM", "-o", "PAGE"],
        ["compare", "--schema"],
        ["export", "PROGRAM", "-o", "FILE"],
        ["export", "--schema"],
        ["export", "--as", "huggingface", "--schema"],
        ["export", "PROGRAM", "--as", "model-explorer", "-o", "GRAPH"],
        ["export", "PROGRAM", "--as", "aihwkit", "-o", "CODE"],
        ["costs", "PROGRAM", "-o", "FILE"],
        ["costs", "--schema"],
        ["inspect", "--schema"],
        ["verify", "PROGRAM"],
    ],
)
def test_light_commands_import_nothing_heavy(
    arguments: list[str], shared: Shared, tmp_path: Path
) -> None:
    if "PROGRAM" in arguments:
        import kept
        import written

        module = kept if arguments[0] == "verify" else written
        program = shared(module.__name__, make=lambda folder: module.write(folder / "out")) / "out"
        paths = {"PROGRAM": str(program), "FILE": str(tmp_path / "blocks.csv")}
        paths |= {"PAGE": str(tmp_path / "page.html"), "GRAPH": str(tmp_path / "graph.json")}
        paths["CODE"] = str(tmp_path / "rpu_config.py")
        arguments = [paths.get(each, each) for each in arguments]
    packages, seconds = imported_by(*arguments)
    print(f"afmc {arguments[0]}: {seconds:.2f} s of imports")  # shown by pytest -rP
    assert not packages & HEAVY


def test_the_wheel_holds_every_tracked_file(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    tracked = subprocess.run(
        ["git", "ls-files", "afmc", "passes", "targets"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    links = {"afmc/passes", "afmc/targets"}
    wanted = {n if n.startswith("afmc/") else f"afmc/{n}" for n in set(tracked) - links}
    assert inside == wanted


def test_the_tests_run_on_the_installed_package() -> None:
    """Passing because of the checkout would prove nothing about what users get."""
    import afmc

    if "AFMC_TEST_PACKAGE" not in os.environ:
        pytest.skip("not by tests/run.sh, which tests the package")
    assert "site-packages" in Path(afmc.__file__).parts


def test_python_runs_the_package() -> None:
    import afmc

    command = [sys.executable, "-m", "afmc", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == f"afmc {afmc.__version__}\n"
