"""The scripts that a reader starts: the two commands of the README, and an example."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_drop_in_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "drop_in_layer.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert re.search(r"ideal-512 .* 0\.00 %", printed)
    assert printed.count("relative error") >= 3


@pytest.mark.parametrize("script", ["examples/quickstart.sh", "tests/run.sh", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path]).returncode == 0
