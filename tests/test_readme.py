"""The README's code runs, its commands exist, and its figures are where it says they come from."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path

import pytest
from command_line import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


REAL = [code for code in blocks("python") if "smollm2-135m" in code]
SMALL = [code for code in blocks("python") if code not in REAL]


@pytest.mark.real_model
@pytest.mark.parametrize("code", REAL)
@pytest.mark.usefixtures("smollm2")  # skips, loudly, where the model is not installed
def test_blocks_with_the_real_model_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_python_blocks_run(code, tmp_path, monkeypatch)
    assert (tmp_path / "out" / "program.json").exists()


@pytest.mark.parametrize("code", SMALL)
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block.py").write_text(code)
    runpy.run_path(str(tmp_path / "block.py"), run_name="__main__")


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README and "TODO" not in README


def test_every_command_that_is_named_exists() -> None:
    named = {
        tuple(word for word in line.split()[1:3] if re.fullmatch(r"[a-z]+", word))
        for block in blocks("(?:bash|console|text)")
        for line in block.splitlines()
        if re.match(r"\$? ?afmc [a-z]", line)
        for line in [line.removeprefix("$ ")]
    }
    assert named
    for words in named:
        for depth in (2, 1):
            result = run(ROOT, *words[:depth], "--help")
            if result.returncode == 0:
                break
        assert result.returncode == 0, words


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


@pytest.mark.parametrize("command", ["bash examples/quickstart.sh", "bash tests/run.sh"])
def test_the_two_commands_are_in_the_readme(command: str) -> None:
    assert command in README
