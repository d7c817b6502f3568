"""Random changes of a compiled folder: of bytes, of values in JSON, of tables, of whole files."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Mutation = Callable[[Path, random.Random], str]
"""Changes a folder and says how."""

WILD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 2**31, 10**400, 0.5, -0.0, 1e-308, 1e308, "", "x", "\x1b[2J",
    "\ud800", [], {}, [[]], {"a": 1}, "x" * 10_000,
)  # fmt: skip


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def some_bytes(folder: Path, chance: random.Random) -> str:
    file = chance.choice(files_of(folder))
    content = bytearray(file.read_bytes() or b"\0")
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file.write_bytes(content)
    return f"bytes of {file.name}"


def some_zeros(folder: Path, chance: random.Random) -> str:
    file = chance.choice(files_of(folder))
    content = bytearray(file.read_bytes())
    at, count = chance.randrange(len(content) + 1), chance.randint(1, 500)
    content[at : at + count] = bytes(len(content[at : at + count]))
    file.write_bytes(content)
    return f"zeros in {file.name}"


def cut_or_longer(folder: Path, chance: random.Random) -> str:
    file = chance.choice(files_of(folder))
    content = file.read_bytes()
    longer = chance.random() < 0.3
    file.write_bytes(content + b"\0" if longer else content[: chance.randrange(len(content) + 1)])
    return f"another length of {file.name}"


def a_value(folder: Path, chance: random.Random) -> str:
    """Somewhere in a JSON file, another value of any kind, or none; perhaps in two places."""
    file = chance.choice([path for path in files_of(folder) if path.suffix == ".json"])
    try:
        data = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError):
        return "nothing"
    said = []
    for _ in range(chance.randint(1, 2)):
        place, key = data, None
        while isinstance(place, dict | list) and place:
            holder = place
            key = chance.choice([*place] if isinstance(place, dict) else range(len(place)))
            place = holder[key]
            if chance.random() < 0.15:
                break
        if key is None:
            continue
        how = chance.random()
        if how < 0.15:
            del holder[key]
        elif how < 0.5 and type(holder[key]) in (int, float):
            holder[key] += chance.choice([-1, 1, 0.5])
        else:
            holder[key] = chance.choice(WILD)
        said.append(str(key))
    file.write_text(json.dumps(data), encoding="utf-8")
    return f"{', '.join(said)} in {file.name}"


def a_name_twice(folder: Path, chance: random.Random) -> str:
    file = chance.choice([path for path in files_of(folder) if path.suffix == ".json"])
    text = file.read_text("utf-8", errors="replace")
    file.write_text(text.replace("{", '{"schema_version": 1, "schema_version": 1, ', 1))
    return f"a name twice in {file.name}"


def a_table(folder: Path, chance: random.Random) -> str:
    """Another number in a table, a row less, or rows in another order."""
    file = folder / "blocks.npz"
    try:
        with file.open("rb") as stream:
            tables = dict(np.load(stream))
    except Exception:  # an earlier change made something else of it
        return "nothing"
    name = chance.choice(sorted(name for name in tables if len(tables[name])) or [""])
    if not name:
        return "nothing"
    table, how = tables[name].copy(), chance.random()
    if how < 0.2:
        table = table[:-1]
    elif how < 0.4:
        table = table[::-1]
    else:
        row = chance.randrange(len(table))
        column = table[chance.choice(table.dtype.names)] if table.dtype.names else table
        column[row] = chance.choice([-1, 0, 1, 2**31 - 1, int(column[row]) ^ 1])
    np.savez(file, **{**tables, name: table})
    return f"table {name}"


def swapped(folder: Path, chance: random.Random) -> str:
    one, other = chance.sample(files_of(folder), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return f"{one.name} and {other.name} swapped"


def gone(folder: Path, chance: random.Random) -> str:
    file = chance.choice(files_of(folder))
    file.unlink()
    return f"{file.name} gone"


def added(folder: Path, chance: random.Random) -> str:
    place = chance.choice([path for path in (folder, folder / "model") if path.is_dir()])
    name = chance.choice(["model.safetensors.index.json", "adapter_config.json", "x", "model.onnx"])
    file = place / name
    if file.exists():
        return "nothing"
    file.write_text(chance.choice(["{}", "", "\0"]))
    return f"{file.relative_to(folder)} added"


def replaced(folder: Path, chance: random.Random) -> str:
    """A file becomes a link to a copy that is elsewhere, or a folder."""
    file = chance.choice(files_of(folder))
    if chance.random() < 0.5:
        file.unlink()
        file.mkdir()
        return f"{file.name} is a folder"
    copy = folder.parent / "elsewhere"
    shutil.copy(file, copy)
    file.unlink()
    file.symlink_to(copy)
    return f"{file.name} is a link"


MUTATIONS: tuple[Mutation, ...] = (
    some_bytes, some_zeros, cut_or_longer, a_value, a_value, a_value, a_name_twice, a_table,
    a_table, swapped, gone, added, replaced,
)  # fmt: skip


def mutate(folder: Path, seed: int) -> str:
    """One to three changes of a folder, by a seed; says which."""
    chance = random.Random(seed)
    return "; ".join(
        chance.choice(MUTATIONS)(folder, chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))
    )
