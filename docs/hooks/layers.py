"""Draws the layers of the package, from the contract that import-linter holds."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
MARKER = "<!-- layers -->"
WIDTH, HEIGHT, GAP = 720, 34, 12


@dataclass(frozen=True)
class Layer:
    """Modules at one height."""

    modules: tuple[str, ...]
    apart: bool
    """Whether they do not import one another either."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts the picture and the table where a page has the marker."""
    if MARKER not in markdown:
        return markdown
    found = layers()
    return markdown.replace(MARKER, f"{drawing(found)}\n\n" + "\n".join(table(found)))


def layers() -> list[Layer]:
    """The contract, from the top; ``|`` stands between modules that are apart, ``:`` otherwise."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [rows] = [each["layers"] for each in contracts if each["type"] == "layers"]
    return [Layer(tuple(re.findall(r"[\w.]+", row)), ":" not in row) for row in rows]


def drawing(rows: list[Layer]) -> str:
    """The layers as SVG in the colours of the page."""
    height = len(rows) * (HEIGHT + GAP) - GAP
    parts = [
        f'<svg class="layers" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Layers of the package; each imports only what is below it" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for number, row in enumerate(rows):
        top = number * (HEIGHT + GAP)
        gap = GAP if row.apart else 0
        width = (WIDTH - gap * (len(row.modules) - 1)) / len(row.modules)
        for place, name in enumerate(row.modules):
            left = place * (width + gap)
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="4" '
                'fill="currentColor" fill-opacity="0.08" stroke="currentColor" '
                'stroke-opacity="0.45"/>'
                f'<text x="{left + width / 2:.1f}" y="{top + HEIGHT / 2 + 5:.1f}" '
                f'text-anchor="middle" font-size="14" fill="currentColor">{escape(name)}</text>'
            )
        if number:
            middle = WIDTH / 2
            parts.append(
                f'<path d="M{middle - 4:.0f} {top - 8} h8 l-4 5 z" fill="currentColor" '
                'fill-opacity="0.6"/>'
            )
    return "".join([*parts, "</svg>"])


def table(rows: list[Layer]) -> Iterator[str]:
    """What each module is, in the first sentence of its own docstring."""
    yield "| layer | module | what |\n|---:|---|---|"
    for number, row in enumerate(rows, 1):
        for name in row.modules:
            yield f"| {number} | `{name}` | {sentence(name)} |"


def sentence(module: str) -> str:
    """The first sentence of a module's docstring."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.replace("|", "\\|")
