"""Writes the reference of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command

from afmc.cli.app import app

PAGE = "reference/command-line.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, PAGE, content="\n".join(page()) + "\n"))
    return files


def page() -> Iterator[str]:
    """The page, line by line: a section for each command, with a table of what it takes."""
    yield "# Command line\n"
    yield "Made from the program itself: what `afmc COMMAND --help` says, on one page.\n"
    for name, command in commands(get_command(app), "afmc"):
        yield f"## {name}\n"
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"```text\n{name} {usage}\n```\n"
        yield f"{_plain(command.help)}\n"
        if command.params:
            yield "| argument or option | what |\n|---|---|"
            for parameter in command.params:
                names, text = map(_cell, parameter.get_help_record(context))
                yield f"| `{names}` | {text} |"
            yield ""


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command and all that are below it."""
    yield name, command
    for each, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, f"{name} {each}")


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("<", "&lt;").replace("[", "\\[")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
