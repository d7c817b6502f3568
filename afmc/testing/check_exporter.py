"""The conformance test of an exporter: what it promises whoever runs ``afmc export``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afmc.errors import AfmcError
from afmc.export.door import exporter_named, schema_of, write
from afmc.testing.check_target import Finding

FOREIGN = "what somebody else wrote, and wants to keep\n"


def check_exporter(
    name: str, directory: str | Path, output: str | Path, options: Mapping[str, Any] | None = None
) -> list[Finding]:
    """What is right and wrong with an exporter, tried on a compiled folder.

    `output` names what it writes, with the ending that the format has; it must not exist yet.
    Raises OptionError for a name that there is not.
    """
    exporter = exporter_named(name)
    output, given = Path(output), dict(options or {})
    if output.exists():
        return [Finding("wrong", f"{output} exists; name a file or folder that does not")]
    return [
        _writes(name, Path(directory), output, given),
        _keeps_what_is_foreign(name, Path(directory), output, given),
        _refuses_what_is_no_compile(name, output, given),
        *([_has_a_schema(name)] if exporter.schema else []),
    ]


def _writes(name: str, directory: Path, output: Path, options: Mapping[str, Any]) -> Finding:
    try:
        made = write(name, directory, output, options)
    except Exception as error:  # whatever a plug-in raises
        return Finding("wrong", f"it does not write {output}: {error!r}")
    if made.place != output or not output.exists():
        return Finding("wrong", f"it says that it wrote {made.place}, not {output}")
    files = [output] if output.is_file() else [f for f in output.rglob("*") if f.is_file()]
    size = sum(each.stat().st_size for each in files)
    if not size or not made.what:
        return Finding("wrong", "it writes nothing, or does not say what")
    return Finding("passed", f"it writes {made.what} ({size:,} bytes)")


def _keeps_what_is_foreign(
    name: str, directory: Path, output: Path, options: Mapping[str, Any]
) -> Finding:
    foreign = output.with_name(f"foreign-{output.name}")
    inside = foreign / "notes.txt" if output.is_dir() else foreign
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_text(FOREIGN, encoding="utf-8")
    try:
        write(name, directory, foreign, options)
    except AfmcError:
        pass
    except Exception as error:  # whatever a plug-in raises
        return Finding("wrong", f"over what is not its own it fails: {error!r}")
    if not inside.is_file() or inside.read_text(encoding="utf-8") != FOREIGN:
        return Finding("wrong", "it writes over a file that it did not write")
    return Finding("passed", "it writes over nothing that is not its own")


def _refuses_what_is_no_compile(name: str, output: Path, options: Mapping[str, Any]) -> Finding:
    missing, other = output.with_name("no-compile"), output.with_name(f"other-{output.name}")
    try:
        write(name, missing, other, options)
    except AfmcError as error:
        if "\n" in str(error) or other.exists():
            return Finding("wrong", "of a folder that is no compile it says no one sentence")
        return Finding("passed", "it refuses a folder that is no compile, and leaves nothing")
    except Exception as error:  # whatever a plug-in raises
        return Finding("wrong", f"of a folder that is no compile it fails: {error!r}")
    return Finding("wrong", "it writes something of a folder that is no compile")


def _has_a_schema(name: str) -> Finding:
    schema = schema_of(name)
    if "$schema" not in schema:
        return Finding("wrong", "its JSON Schema does not say which kind of schema it is")
    return Finding("passed", "it has a JSON Schema")
