"""Writes the reference of target files: every key, and a page on each target that comes along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from json_schemas import kind_of
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from afmc.targets import target_schema
from afmc.targets.document import pages

KEYS = "reference/target-keys.md"
FOLDER = "reference/targets"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    files.append(File.generated(config, KEYS, content="\n".join(keys()) + "\n"))
    for name, text in pages().items():
        page = f"{FOLDER}/{'index.md' if name == 'README.md' else name}"
        files.append(File.generated(config, page, content=text))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of the targets where the navigation names their folder."""
    names = ["index.md", *sorted(name for name in pages() if name != "README.md")]
    _fill(config.nav, f"{FOLDER}/", [f"{FOLDER}/{name}" for name in names])
    return config


def _fill(entries: Any, folder: str, found: list[str]) -> None:
    for entry in entries if isinstance(entries, list) else []:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if below == folder:
                entry[title] = found
            _fill(below, folder, found)


def keys() -> Iterator[str]:
    """The page on keys, line by line: a table for each table of the file."""
    schema = target_schema()
    defined = schema["$defs"]
    yield "# Target keys\n"
    yield "Every key of a target file, made from the schema that checks it (`afmc targets schema`)."
    yield "A key's unit is its end: `read_latency_ns` is in nanoseconds. Keys without a default are"
    yield "required if their table is given. `afmc targets new FILE` writes a file that has them"
    yield "all.\n"
    for kind in schema["oneOf"]:
        analog = "crossbar" in kind["properties"]
        yield f"## {'Analog targets' if analog else 'Digital baselines'}\n"
        plain = {key: each for key, each in kind["properties"].items() if not _table(each)}
        yield from _rows(plain, kind.get("required", []))
        for name, each in kind["properties"].items():
            if table := _table(each):
                yield f"### {'' if analog else 'baseline: '}[{name}]\n"
                required = defined[table].get("required", [])
                yield from _rows(defined[table]["properties"], required)


def _table(value: dict[str, Any]) -> str | None:
    """The definition that a table refers to, which may be optional."""
    for each in (value, *value.get("anyOf", ())):
        if "$ref" in each:
            return str(each["$ref"].rpartition("/")[2])
    return None


def _rows(properties: dict[str, Any], required: list[str]) -> Iterator[str]:
    yield "| key | type | unit | default | what |\n|---|---|---|---|---|"
    for key, value in properties.items():
        default = value.get("default")
        shown = "required" if key in required else "" if default is None else f"`{default}`"
        text = " ".join(value.get("description", "").split())
        cells = (f"`{key}`", kind_of(value), value.get("unit", ""), shown, text)
        yield f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"
    yield ""
