"""Writes the reference of the Python API: the public names of `afmc`, from their docstrings."""

from __future__ import annotations

from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import afmc
from afmc.common.described import descriptions_of
from afmc.compiler.options import Options

PAGE = "reference/python.md"
FIRST = ("compile", "load", "CompiledModel")
"""What a reader looks for first; the others follow by name."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, PAGE, content="\n".join(page()) + "\n"))
    return files


def page() -> Iterator[str]:
    """The page, line by line: an entry for each name, which mkdocstrings fills."""
    yield "# Python\n"
    yield "The names that `import afmc` gives. Each loads on first use.\n"
    for name in sorted(afmc.__all__, key=lambda name: (name not in FIRST, name.lower(), name)):
        yield f"::: afmc.{name}\n"
        if name == "compile":
            yield "| option of `compile` | default | meaning |"
            yield "|---|---|---|"
            for option, text in descriptions_of(Options).items():
                yield f"| `{option}` | `{getattr(Options, option)!r}` | {text} |"
            yield ""
