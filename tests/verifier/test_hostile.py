"""Folders that were changed by one who knows of the manifest, or not: none passes."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kept import edit, read_tables, write, write_tables
from sealed import seal

from afmc.errors import ArtifactError
from afmc.hardware.defects import DEFECT
from afmc.verifier import verify

Damage = Callable[[Path], object]


def says(*path: str | int, to: object) -> Damage:
    return lambda folder: edit(folder, *path, to=to)


def defects(rates: object, *entries: tuple[int, ...]) -> Damage:
    def damage(folder: Path) -> None:
        tables = read_tables(folder)
        write_tables(folder, {**tables, "defects": np.array(list(entries), DEFECT)})
        edit(folder, "defects", to={"name": "map", "rates": rates})

    return damage


def bound_by_name(name: str) -> Damage:
    """Nine tiles, as many as blocks, where four are enough, called the best that there is."""

    def damage(folder: Path) -> None:
        tables = read_tables(folder)
        tiles = np.arange(9, dtype=np.int32)
        for table in ("allocations", "placements"):
            tables[table]["row"] = tables[table]["col"] = 0
        tables["allocations"]["tile"] = tiles
        tables["placements"]["chip"], tables["placements"]["tier"] = tiles // 2, tiles % 2
        write_tables(folder, tables)
        for key, value in {"tiles": 9, "lower_bound": 9, "status": "OPTIMAL"}.items():
            edit(folder, "allocation", key, to=value)
        edit(folder, "allocation", "bounds", to={"area": 3, name: 9})

    return damage


def twice_in_json(folder: Path) -> None:
    file = folder / "program.json"
    file.write_text(file.read_text().replace('"moved"', '"digital": {}, "moved"', 1))


def twice_in_zip(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(folder / "blocks.npz", "a") as archive:
            archive.writestr("blocks.npy", archive.read("blocks.npy"))


def many_rows(folder: Path) -> None:
    """A table that is small as long as it is compressed."""
    with np.load(folder / "blocks.npz") as stored:
        tables = {**stored, "blocks": np.zeros(30_000_000, np.int8)}
    np.savez_compressed(folder / "blocks.npz", **tables)


SEALED: list[tuple[Damage, str, str]] = [
    (bound_by_name("because I say so"), "bounds", "the rule parallel has no bound 'because I say"),
    (bound_by_name("blocks"), "bounds", "the rule parallel has no bound 'blocks'."),
    (bound_by_name("set cover"), "bounds", "the bounds say at least 9 tiles, but "),
    (says("matrices", 0, "stored", to="rows_cols"), "layers", "q.weight is stored as rows_cols, "),
    (says("matrices", 1, "module", to="q"), "layers", "q is the module of two matrices."),
    (says("matrices", 2, "tied_to", to="b.weight"), "layers", "its own bias, or tied to itself"),
    (defects({"tiles": 1.5, "seed": 0}), "defects", "the rate tiles of the map of defects is 1.5"),
    (defects({"tiles": -0.5, "seed": 0}), "defects", "is -0.5, which is no share."),
    (defects({"tiles": "much"}), "defects", "is 'much', which is no share."),
    (defects(None), "defects", "the map of defects 'map' breaks nothing."),
    (defects({"tiles": 0, "seed": 7}), "defects", "the map of defects 'map' breaks nothing."),
    (defects(None, (9, -1, -1, -1, -1, -1, -1, 2)), "defects", "is of chip 9, which is not there"),
    (defects(None, (0, 0, 0, -2, 0, 0, 0, 1)), "defects", "is of row -2, which is not there."),
    (defects(None, (0, 0, 0, 0, 0, 0, 0, 3)), "defects", "defect 0 has the state 3."),
    (many_rows, "files", "blocks.npy has 30,000,000 rows, and at most 16,777,216 are read."),
    (twice_in_zip, "files", "blocks.npz: it has two members 'blocks.npy'."),
]


@pytest.mark.parametrize(("damage", "check", "sentence"), SEALED)
def test_sealed_again(tmp_path: Path, damage: Damage, check: str, sentence: str) -> None:
    folder = write(tmp_path / "out")
    damage(folder)
    found = verify(seal(folder))[check]
    assert found.outcome == "failed"
    assert sentence in " ".join(found.problems)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (twice_in_json, "the key 'digital' comes twice"),
        (says("placing", "load", to=10**400), "a whole number has 401 digits"),
        (says("placing", "load", to=float("nan")), "NaN is not a number"),
        (
            lambda folder: (folder / "program.json").write_text('{"a":' * 100_000),
            "cannot be read",
        ),
        (
            lambda folder: (folder / "program.json").write_text('{"schema_version": 1e999}'),
            "1e999 is beyond all numbers",
        ),
    ],
)
def test_json_that_says_nothing(tmp_path: Path, text: Damage, reason: str) -> None:
    folder = write(tmp_path / "out")
    text(folder)
    with pytest.raises(ArtifactError) as caught:
        verify(folder)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_shared_bytes_of_a_safetensors_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    (folder / "model").mkdir()
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for header, sentence in (
        (json.dumps({"a": entry, "b": entry}), "b begins at byte 0, but 8 is next."),
        (f'{{"a": {json.dumps(entry)}, "a": {json.dumps(entry)}}}', "the key 'a' comes twice."),
    ):
        content = struct.pack("<Q", len(header)) + header.encode() + bytes(16)
        (folder / "model" / "0.safetensors").write_bytes(content)
        found = verify(seal(folder))["model folder"]
        assert found.outcome == "failed" and sentence in found.problems[0]


def test_a_link_out_of_the_model_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    (folder / "model").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"")
    (folder / "model" / "0.safetensors").symlink_to(tmp_path / "elsewhere")
    found = verify(seal(folder))["model folder"]
    assert found.problems == ("model/0.safetensors is a link that leaves the folder.",)


def adapter(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "adapter.json").touch()


NOT_SEALED: list[tuple[Damage, str]] = [
    (lambda f: (f / "afmc_manifest.json").unlink(), "cannot be read: No such file or directory."),
    (lambda f: (f / "afmc_manifest.json").write_text("{}"), "cannot be read: 'schema_version'."),
    (lambda f: (f / "compile.json").write_text("{}"), "'compile.json' has 2 bytes, but "),
    (lambda f: (f / "compile.json").unlink(), "'compile.json' is in afmc_manifest.json, but is "),
    (
        lambda f: (f / "program.json").write_text(
            (f / "program.json").read_text().replace('"in_order"', '"in_ordre"')
        ),
        "'program.json' has another SHA-256 than in afmc_manifest.json.",
    ),
    (
        adapter,
        "'model/adapter.json' is not in afmc_manifest.json.",
    ),
    (
        lambda f: (f / "afmc_manifest.json").write_text(
            (f / "afmc_manifest.json").read_text().replace('"kept"', '"other"')
        ),
        "afmc_manifest.json says model 'other', but it should be 'kept'.",
    ),
]


@pytest.mark.parametrize(("damage", "sentence"), NOT_SEALED)
def test_as_it_was_when_it_was_finished(tmp_path: Path, damage: Damage, sentence: str) -> None:
    folder = write(tmp_path / "out")
    assert verify(folder)["unchanged"].passed
    damage(folder)
    assert sentence in " ".join(verify(folder)["unchanged"].problems)
