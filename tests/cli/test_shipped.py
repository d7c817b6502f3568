"""What comes with afmc besides its code has a licence, and the quickstart says what comes next."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from in_process import run

ROOT = Path(__file__).parents[2]
CODE = {".py", ".md", ".toml", ".j2", ".js", ".css", ".sh", ".typed", ""}


def test_every_text_and_model_is_under_a_licence() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    said = (ROOT / "LICENSE-texts").read_text()
    folders = ("afmc", "examples", "passes", "targets")
    listed = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    named = re.findall(r"^((?:afmc|examples|targets)[\w/., -]*)$", said, re.M)
    places = [place for line in named for place in line.split(", ")]
    for file in map(Path, listed):
        if file.suffix not in CODE:
            assert {str(file), *map(str, file.parents)} & set(places), file
    for place in places:
        assert (ROOT / place).exists(), place


def test_it_is_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license-files"] == ["LICENSE", "LICENSE-texts"]
    assert "LICENSE-texts" in (ROOT / "README.md").read_text()


def test_the_last_lines_of_the_quickstart_are_commands_that_there_are(tmp_path: Path) -> None:
    script = (ROOT / "examples" / "quickstart.sh").read_text()
    body = re.search(r"^next\(\) \{\n(.*?)^\}", script, re.M | re.S)
    assert body is not None and script.rstrip().endswith('next "$results"')
    parts = [part.partition('"')[0] for part in body[1].split("$afmc ")[1:]]
    names = [re.match(r"[a-z]+( list)?", part)[0] for part in parts]  # type: ignore[index]
    assert {*names} >= {"report", "run", "costs", "validate", "compile"}
    for name, rest in zip(names, parts, strict=True):
        known = run(tmp_path, *name.split(), "--help").stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, (name, option)
    for page in re.findall(r"docs/[\w/-]+\.md", script):
        assert (ROOT / page).exists()
