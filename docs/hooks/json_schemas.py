"""Writes the JSON Schemas that commands print with `--schema`, and a page about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from command_line import commands
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command
from typer.testing import CliRunner

from afmc.cli.app import app

PAGE = "reference/json-schemas.md"
FOLDER = "reference/schemas"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page and a file for each schema."""
    found = dict(schemas())
    for name, (_, schema) in found.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        files.append(File.generated(config, f"{FOLDER}/{name}.json", content=text))
    files.append(File.generated(config, PAGE, content="\n".join(page(found)) + "\n"))
    return files


def schemas() -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """The schema of each command that has one, by name, with the command that prints it."""
    for command, found in commands(get_command(app), "afmc"):
        if any("--schema" in each.opts for each in found.params):
            yield command.removeprefix("afmc ").replace(" ", "-"), _printed(f"{command} --schema")
    yield "export-huggingface", _printed("afmc export --as huggingface --schema")
    yield "target", _printed("afmc targets schema")


def _printed(command: str) -> tuple[str, dict[str, Any]]:
    ran = CliRunner().invoke(app, command.split()[1:], catch_exceptions=False)
    if ran.exit_code:
        raise ValueError(f"'{command}' exits with {ran.exit_code}: {ran.output}")
    return command, json.loads(ran.stdout)


def page(found: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """The page, line by line: a section for each schema, with its first level of keys."""
    yield "# JSON schemas\n"
    yield "What commands print or write as data has a JSON Schema, which the command itself prints."
    yield "The files here are what it printed when these pages were built.\n"
    for name, (command, schema) in found.items():
        yield f"## {name}\n"
        yield f"`{command}`: [{name}.json](schemas/{name}.json)\n"
        if text := schema.get("description"):
            yield f"{_cell(text)}\n"
        if keys := _properties(schema):
            yield "| key | type | unit | what |\n|---|---|---|---|"
            for key, value in keys.items():
                cells = (f"`{key}`", kind_of(value), value.get("unit", ""), _text(value, schema))
                yield f"| {' | '.join(map(_cell, cells))} |"
            yield ""


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    """The keys of an object, or of the objects of a list; errors are the same everywhere."""
    schema = {**schema, **schema.get("$defs", {}).get("data", {})}
    inner = schema.get("items", schema) if schema.get("type") == "array" else schema
    found: dict[str, Any] = _followed(inner, schema).get("properties", {})
    return found


def _followed(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    name = value.get("$ref", "").removeprefix("#/$defs/")
    return dict(schema.get("$defs", {}).get(name, {})) | value if name else value


def _text(value: dict[str, Any], schema: dict[str, Any]) -> str:
    return str(_followed(value, schema).get("description", ""))


def kind_of(value: dict[str, Any]) -> str:
    """The type of a value in words: `number`, `list of string`, `string or null`."""
    if "anyOf" in value or "oneOf" in value:
        kinds = dict.fromkeys(map(kind_of, value.get("anyOf") or value["oneOf"]))
        return " or ".join(kinds)
    if "enum" in value or "const" in value:
        choices = value.get("enum", [value.get("const")])
        return ", ".join(f"`{json.dumps(each)}`" for each in choices)
    if value.get("type") == "array":
        return f"list of {kind_of(value.get('items', {}))}"
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    kind = value.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
