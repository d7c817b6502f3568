"""The files around the code: README on one screen, a changelog that has the version, a citation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import afmc

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 110
    assert "TODO" not in README and "@@" not in README


@pytest.mark.parametrize("command", ["bash examples/quickstart.sh", "bash tests/run.sh"])
def test_the_two_commands_are_in_the_readme(command: str) -> None:
    assert command in README


def test_links_of_files_at_the_top_lead_somewhere() -> None:
    for file in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
            assert "://" in link or (ROOT / link).exists(), f"{file.name}: {link}"


def test_the_picture_is_small() -> None:
    [picture] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (ROOT / picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (ROOT / picture).stat().st_size < 200_000


def test_the_changelog_has_the_version_and_the_citation_too() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased" and headings[1] == afmc.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == afmc.__version__ and citation["type"] == "software"
    assert citation["authors"] == [{"name": "The afmc authors"}]


def test_files_that_pages_name_exist() -> None:
    """Files of the repository; NAME, other capitals and * stand for what a reader fills in."""
    named = re.compile(r"`((?:afmc|passes|targets|tests|examples|docs)/[\w./-]+)`")
    wrong = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
        for path in named.findall(page.read_text("utf-8"))
        if not re.search(r"\b[A-Z]{2,}\b|_NAME", path) and not (ROOT / path).exists()
    ]
    assert not wrong, "\n".join(wrong)
