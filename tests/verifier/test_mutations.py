"""One thing wrong at a time: which check finds it, and in which words."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from kept import edit, read_tables, write, write_tables
from numpy.typing import NDArray
from sealed import seal

from afmc.fit import Rule
from afmc.program.program import Table
from afmc.verifier import verify

Damage = Callable[[Path], None]


@pytest.mark.parametrize("rule", get_args(Rule))
def test_what_is_right_passes(tmp_path: Path, rule: Rule) -> None:
    report = verify(write(tmp_path / "out", rule))
    assert report.problems == () and report.passed
    assert [check.name for check in report.checks if not check.passed] == [
        "recovery",
        "model folder",
    ]
    assert report["model folder"].notes == (
        "there is no folder model: no weights to compare the matrices with",
    )
    assert report["cover"].counts == {"weights": 396}
    shared = {"exclusive": 0, "parallel": 3, "serial": 2}[rule]
    assert report["co-location"].counts["shared"] == shared


def move(table: str, line: int, **fields: int) -> Damage:
    """Sets fields of one line."""

    def damage(folder: Path) -> None:
        tables = read_tables(folder)
        for field, value in fields.items():
            tables[table][field][line] = value
        write_tables(folder, tables)

    return damage


def both(line: int, **fields: int) -> Damage:
    """Changes the allocation and the placements alike, so that they agree."""

    def damage(folder: Path) -> None:
        move("allocations", line, **fields)(folder)
        move("placements", line, **fields)(folder)

    return damage


def to_crossbar(line: int, chip: int, tier: int, row: int, col: int) -> Damage:
    """A block on another crossbar, and in the allocation on the tile that is meant by it."""

    def damage(folder: Path) -> None:
        move("allocations", line, tile=2 * chip + tier, row=row, col=col)(folder)
        move("placements", line, chip=chip, tier=tier, row=row, col=col)(folder)

    return damage


def lines(change: Callable[[Table], Table], *tables: str) -> Damage:
    """Other lines in some of the tables."""

    def damage(folder: Path) -> None:
        kept = read_tables(folder)
        write_tables(folder, {**kept, **{name: change(kept[name]) for name in tables}})

    return damage


def says(*path: str | int, to: Any) -> Damage:
    return lambda folder: edit(folder, *path, to=to)


def all_of(*damages: Damage) -> Damage:
    def damage(folder: Path) -> None:
        for each in damages:
            each(folder)

    return damage


def lacks(*path: str) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "program.json"
        data = json.loads(file.read_text())
        place = data
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        file.write_text(json.dumps(data))

    return damage


def as_64_bits(folder: Path) -> None:
    kept = read_tables(folder)
    wide = np.dtype([(name, "<i8") for name in kept["blocks"].dtype.names or ()])
    write_tables(folder, {**kept, "blocks": kept["blocks"].astype(wide)})


def pickled(folder: Path) -> None:
    np.savez(folder / "blocks.npz", blocks=np.array([{}], dtype=object))


def without_a_table(folder: Path) -> None:
    kept = read_tables(folder)
    del kept["placements"]
    write_tables(folder, kept)


def cut_short(folder: Path) -> None:
    file = folder / "blocks.npz"
    os.truncate(file, file.stat().st_size // 2)


def one_bit(folder: Path) -> None:
    """Within the table of blocks, which is stored as it is for that."""
    file = folder / "blocks.npz"
    with np.load(file) as tables:
        plain = dict(tables)
    np.savez(file, **plain)
    content = bytearray(file.read_bytes())
    content[content.index(b"\x93NUMPY") + 140] ^= 1
    file.write_bytes(content)


def plain_array(folder: Path) -> None:
    with (folder / "blocks.npz").open("wb") as file:
        np.save(file, np.zeros(3))


def tokens(change: Callable[[NDArray[np.int32]], NDArray[np.int32]], name: str = "mlp") -> Damage:
    """Another sample of tokens."""

    def damage(folder: Path) -> None:
        with np.load(folder / "routing.npz") as stored:
            changed: dict[str, Any] = {name: change(stored["mlp"]).astype(np.int32)}
        np.savez(folder / "routing.npz", **changed)

    return damage


def huge_array(folder: Path) -> None:
    """A header that promises more than any memory."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<i4", "fortran_order": False, "shape": (2**60,)}
    )
    with zipfile.ZipFile(folder / "blocks.npz", "w") as file:
        file.writestr("blocks.npy", stream.getvalue())


def q_and_k(**other: Any) -> Damage:
    """Something else in k than in q, with which it is in a group."""
    return all_of(*(says("matrices", 1, key, to=value) for key, value in other.items()))


MUTATIONS: list[tuple[Rule, Damage, list[str], str]] = [
    # files
    (
        "parallel",
        says("schema_version", to=3),
        ["files"],
        (
            "program.json has schema version 3, but what is verified is version 2; verify it with"
            " the afmc that wrote it."
        ),
    ),
    ("parallel", lacks("matrices"), ["files"], "program.json has no matrices."),
    ("parallel", lacks("groups"), ["files"], "program.json has no groups."),
    (
        "parallel",
        says("matrices", 2, "rows", to="10"),
        ["files"],
        'program.json: matrices[2].rows must be a whole number, but is "10".',
    ),
    (
        "parallel",
        says("matrices", 2, "rows", to=-1),
        ["files"],
        (
            "program.json: matrices[2].rows must be a whole number from 0 to 2,147,483,647, but "
            "is -1."
        ),
    ),
    (
        "parallel",
        says("matrices", 2, "rows", to=True),
        ["files"],
        "program.json: matrices[2].rows must be a whole number, but is true.",
    ),
    (
        "parallel",
        says("matrices", 2, "rows", to=2**31),
        ["files"],
        (
            "program.json: matrices[2].rows must be a whole number from 0 to 2,147,483,647, but "
            "is 2147483648."
        ),
    ),
    (
        "parallel",
        says("matrices", 2, "name", to="b\nweight"),
        ["files"],
        'program.json: matrices[2].name must be a line of text, but is "b\\nweight".',
    ),
    (
        "parallel",
        says("allocation", to=None),
        ["files"],
        "program.json: allocation must be an object, but is null.",
    ),
    (
        "parallel",
        says("allocation", "rule", to="any"),
        ["files"],
        ('program.json: allocation.rule must be one of exclusive, parallel, serial, but is "any".'),
    ),
    (
        "parallel",
        says("groups", 0, "members", to=[]),
        ["files"],
        "program.json: groups[0].members is empty.",
    ),
    (
        "parallel",
        says("target", "crossbar", "rows", to=0),
        ["files"],
        "program.json: target:crossbar.rows must be greater than 0, but is 0.",
    ),
    ("parallel", cut_short, ["files"], "blocks.npz cannot be read: File is not a zip file."),
    (
        "parallel",
        one_bit,
        ["files"],
        "blocks.npz cannot be read: Bad CRC-32 for file 'blocks.npy'.",
    ),
    (
        "parallel",
        pickled,
        ["files"],
        "blocks.npz cannot be read: Object arrays cannot be loaded when allow_pickle=False.",
    ),
    (
        "parallel",
        as_64_bits,
        ["files"],
        (
            "blocks.npz: the table blocks must have the columns group, copy, replica, row, col, "
            "rows, cols as 32-bit whole numbers in one dimension, but has group int64, copy "
            "int64, replica int64, row int64, col int64, rows int64, cols int64 in 1."
        ),
    ),
    (
        "parallel",
        lines(lambda t: t.reshape(3, 3), "allocations"),
        ["files"],
        "blocks.npz: the table allocations must have the columns block, tile, row, col as 32-bit "
        "whole numbers in one dimension, but has block int32, tile int32, row int32, col int32 in "
        "2.",
    ),
    (
        "parallel",
        plain_array,
        ["files"],
        "blocks.npz is a single array, not an archive of several.",
    ),
    (
        "parallel",
        huge_array,
        ["files"],
        (
            "blocks.npz: blocks.npy has 1,152,921,504,606,846,976 rows, and at most 16,777,216 are "
            "read."
        ),
    ),
    ("parallel", without_a_table, ["files"], "blocks.npz has no table placements."),
    (
        "parallel",
        lambda folder: (folder / "blocks.npz").unlink(),
        ["files"],
        "blocks.npz is not there.",
    ),
    (
        "parallel",
        move("blocks", 4, rows=0),
        ["files"],
        "blocks.npz: block 4 is 0 x 6, but must be at least 1 x 1.",
    ),
    # matrices
    (
        "parallel",
        says("matrices", 1, "name", to="q.weight"),
        ["matrices"],
        "q.weight is the name of two matrices.",
    ),
    (
        "parallel",
        says("matrices", 4, "rows", to=0),
        ["matrices"],
        "d.weight has 0 rows, 5 columns and 1 copies, of which none can be 0.",
    ),
    (
        "parallel",
        says("matrices", 0, "input_range", to=-1),
        ["matrices"],
        "q.weight has the input range -1, which must be above 0.",
    ),
    (
        "parallel",
        says("matrices", 0, "slice_ranges", to=[1.0, 9.0]),
        ["matrices"],
        "q.weight has row slices with input ranges of their own, but not the largest of them as "
        "its own.",
    ),
    (
        "parallel",
        says("matrices", 0, "per_token", to=-1),
        ["matrices"],
        "q.weight is used -1 times a token, which must not be below 0.",
    ),
    (
        "parallel",
        says("matrices", 3, "sources", to=["c.weight"]),
        ["matrices"],
        "experts names the source c.weight, which is no matrix.",
    ),
    # sides
    (
        "parallel",
        says("digital", to={"c.weight": "why"}),
        ["sides", "summary"],
        "digital c.weight is no matrix. d.weight is neither digital nor in a group.",
    ),
    (
        "parallel",
        says("digital", "b.weight", to="why"),
        ["sides", "summary"],
        "b.weight is digital and in a group.",
    ),
    (
        "parallel",
        says("digital", to={}),
        ["sides", "summary"],
        "d.weight is neither digital nor in a group.",
    ),
    (
        "parallel",
        says("groups", 0, "members", to=["q.weight"]),
        ["sides"],
        "k.weight is neither digital nor in a group.",
    ),
    (
        "parallel",
        says("groups", 0, "members", to=["q.weight", "c.weight"]),
        ["sides"],
        "c.weight in a group is no matrix. k.weight is neither digital nor in a group.",
    ),
    (
        "parallel",
        says("groups", 1, "members", to=["b.weight", "q.weight"]),
        ["sides"],
        "q.weight is in groups more than once.",
    ),
    # groups
    (
        "parallel",
        q_and_k(rows=17),
        ["groups", "weights", "summary"],
        "k.weight has 17 rows, but its group has 16.",
    ),
    (
        "parallel",
        q_and_k(cols=5),
        ["groups", "weights", "summary"],
        "the members of q.weight and 1 more add up to 13 columns, but the group has 12.",
    ),
    (
        "parallel",
        q_and_k(input="y"),
        ["groups"],
        "k.weight reads y, but q.weight of the same group reads x.",
    ),
    (
        "parallel",
        says("matrices", 0, "slice_ranges", to=[1.0, 2.0]),
        ["groups"],
        "k.weight has the input range 2, but q.weight of the same group has 1, 2.",
    ),
    (
        "parallel",
        q_and_k(input_range=1.5),
        ["groups"],
        "k.weight has the input range 1.5, but q.weight of the same group has 2.",
    ),
    (
        "parallel",
        says("matrices", 3, "copies", to=4),
        ["groups", "weights", "summary"],
        "experts has 4 copies, but its group has 3.",
    ),
    (
        "parallel",
        says("groups", 2, "replicas", to=[2, 1]),
        ["groups"],
        "experts has 2 numbers of replicas, but 3 copies.",
    ),
    (
        "parallel",
        says("groups", 2, "replicas", to=[2, 1, 0]),
        ["groups"],
        "copy 2 of experts has 0 replicas.",
    ),
    # weights
    (
        "parallel",
        says("model", "parameters", to=436),
        ["weights"],
        (
            "the model has 436 weights, but matrices (385), their biases (6) and the rest (7) add"
            " up to 398."
        ),
    ),
    (
        "parallel",
        says("matrices", 4, "rows", to=6),
        ["weights", "summary"],
        (
            "the model has 398 weights, but matrices (390), their biases (6) and the rest (7) add"
            " up to 403."
        ),
    ),
    # owners
    (
        "parallel",
        move("blocks", 4, group=3),
        ["owners"],
        ("block 4 is of group 3, copy 0, replica 0, which does not exist. b.weight has no block."),
    ),
    (
        "parallel",
        move("blocks", 8, copy=3),
        ["owners"],
        (
            "block 8 is of group 2, copy 3, replica 0, which does not exist. experts, copy 2, "
            "replica 0 has no block."
        ),
    ),
    (
        "parallel",
        move("blocks", 6, replica=2),
        ["owners"],
        (
            "block 6 is of group 2, copy 0, replica 2, which does not exist. experts, copy 0, "
            "replica 1 has no block."
        ),
    ),
    ("parallel", move("blocks", 7, copy=2), ["owners"], "experts, copy 1, replica 0 has no block."),
    (
        "parallel",
        says("groups", 2, "replicas", to=[2, 1, 2]),
        ["owners"],
        "experts, copy 2, replica 1 has no block.",
    ),
    (
        "parallel",
        all_of(
            *(lines(lambda t: t[:-1], name) for name in ("blocks", "allocations", "placements"))
        ),
        ["owners", "weights", "summary", "bounds"],
        "experts, copy 2, replica 0 has no block.",
    ),
    # cover
    (
        "parallel",
        move("blocks", 1, row=1),
        ["cover", "co-location"],
        (
            "blocks 1 and 3 both hold row 8, column 8 of q.weight and 1 more. no block holds row "
            "0, column 8 of q.weight and 1 more."
        ),
    ),
    (
        "parallel",
        move("blocks", 2, row=7),
        ["cover", "co-location"],
        (
            "blocks 0 and 2 both hold row 7, column 0 of q.weight and 1 more. no block holds row "
            "15, column 0 of q.weight and 1 more."
        ),
    ),
    (
        "parallel",
        move("blocks", 3, col=7),
        ["cover", "co-location"],
        (
            "blocks 2 and 3 both hold row 8, column 7 of q.weight and 1 more. no block holds row "
            "8, column 11 of q.weight and 1 more."
        ),
    ),
    (
        "parallel",
        move("blocks", 3, cols=3),
        ["cover", "weights", "co-location", "summary"],
        "no block holds row 8, column 11 of q.weight and 1 more.",
    ),
    (
        "parallel",
        move("blocks", 5, row=-1),
        ["cover"],
        (
            "block 5 (rows -1 to 4, columns 0 to 5 of experts, copy 0, replica 0) reaches outside"
            " of its 6 x 6 weights. no block holds row 5, column 0 of experts, copy 0, replica 0."
        ),
    ),
    (
        "parallel",
        move("blocks", 8, row=2**31 - 1),
        ["cover"],
        (
            "block 8 (rows 2147483647 to 2147483652, columns 0 to 5 of experts, copy 2, replica "
            "0) reaches outside of its 6 x 6 weights. no block holds row 0, column 0 of experts, "
            "copy 2, replica 0."
        ),
    ),
    (
        "parallel",
        lines(lambda t: np.delete(t, 3), "blocks"),
        ["cover", "weights", "once"],
        "no block holds row 8, column 8 of q.weight and 1 more.",
    ),
    (
        "parallel",
        lines(lambda t: np.append(t, t[-1:]), "blocks"),
        ["cover", "weights", "once"],
        "blocks 8 and 9 both hold row 0, column 0 of experts, copy 2, replica 0.",
    ),
    (
        "exclusive",
        all_of(
            lines(lambda t: np.append(t, t[-1:]), "blocks", "allocations", "placements"),
            move("allocations", 9, block=9, tile=9),
            move("placements", 9, block=9, chip=4, tier=1),
        ),
        ["cover", "weights", "summary", "bounds"],
        "blocks 8 and 9 both hold row 0, column 0 of experts, copy 2, replica 0.",
    ),
    (
        "parallel",
        all_of(says("matrices", 1, "cols", to=5), says("groups", 0, "cols", to=13)),
        ["cover", "weights", "summary"],
        "no block holds row 0, column 12 of q.weight and 1 more.",
    ),
    (
        "parallel",
        all_of(
            says("matrices", 0, "rows", to=15),
            says("matrices", 1, "rows", to=15),
            says("groups", 0, "rows", to=15),
        ),
        ["cover", "weights", "summary"],
        (
            "block 2 (rows 8 to 15, columns 0 to 7 of q.weight and 1 more) reaches outside of its"
            " 15 x 12 weights (the first of 2)."
        ),
    ),
    # row cuts
    (
        "parallel",
        all_of(move("blocks", 1, rows=7), move("blocks", 3, row=7, rows=9)),
        ["row cuts", "crossbars", "co-location"],
        (
            "the row cuts of block 1 (rows 0 to 6, columns 8 to 11 of q.weight and 1 more) do not"
            " run across its matrix: blocks of exactly these rows hold 4 of its 12 columns (the "
            "first of 4)."
        ),
    ),
    # once
    (
        "parallel",
        move("allocations", 3, block=2),
        ["once"],
        "block 2 has 2 lines in allocations (the first of 2).",
    ),
    (
        "parallel",
        move("placements", 3, block=9),
        ["once"],
        (
            "line 3 of placements is about block 9, but there are 9 blocks. block 3 has no line "
            "in placements."
        ),
    ),
    (
        "parallel",
        lines(lambda t: t[:-1], "placements"),
        ["once"],
        "block 8 has no line in placements.",
    ),
    (
        "parallel",
        lines(lambda t: np.append(t, t[-1:]), "placements"),
        ["once"],
        "block 8 has 2 lines in placements.",
    ),
    # crossbars
    (
        "parallel",
        both(5, row=11),
        ["crossbars"],
        (
            "block 5 (rows 0 to 5, columns 0 to 5 of experts, copy 0, replica 0) begins at row "
            "11, column 6 of chip 0, tile 0, tier 1 and reaches over the edge of 16 x 12."
        ),
    ),
    (
        "serial",
        both(8, col=-1),
        ["crossbars"],
        (
            "block 8 (rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) begins at row 3,"
            " column -1 of chip 1, tile 0, tier 0 and reaches over the edge of 16 x 12."
        ),
    ),
    (
        "parallel",
        says("target", "crossbar", "rows", to=15),
        ["crossbars", "summary"],
        (
            "block 2 (rows 8 to 15, columns 0 to 7 of q.weight and 1 more) begins at row 8, "
            "column 0 of chip 0, tile 0, tier 0 and reaches over the edge of 15 x 12 (the first "
            "of 3)."
        ),
    ),
    # chips
    (
        "exclusive",
        move("placements", 8, chip=5),
        ["chips", "placing", "summary"],
        (
            "block 8 (rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) is on chip 5, "
            "but chips are counted from 0 and the system has 5."
        ),
    ),
    (
        "exclusive",
        move("placements", 8, chip=-1),
        ["chips", "placing", "summary"],
        (
            "block 8 (rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) is on chip -1, "
            "but chips are counted from 0 and the system has 5."
        ),
    ),
    (
        "exclusive",
        move("placements", 8, tile=1),
        ["chips"],
        (
            "block 8 (rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) is on tile 1, "
            "but tiles are counted from 0 and a chip has 1."
        ),
    ),
    (
        "exclusive",
        move("placements", 8, tier=2),
        ["chips"],
        (
            "block 8 (rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) is on tier 2, "
            "but tiers are counted from 0 and a tile has 2."
        ),
    ),
    # overlap
    (
        "serial",
        both(3, row=7),
        ["overlap"],
        "blocks 1 and 3 are both on row 7, column 8 of chip 0, tile 0, tier 0.",
    ),
    (
        "serial",
        both(7, row=5),
        ["overlap"],
        "blocks 5 and 7 are both on row 5, column 6 of chip 0, tile 0, tier 1.",
    ),
    (
        "serial",
        all_of(both(4, col=6), both(5, col=0)),
        ["overlap"],
        "blocks 4 and 7 are both on row 6, column 6 of chip 0, tile 0, tier 1.",
    ),
    # co-location
    (
        "exclusive",
        to_crossbar(8, 0, 0, 8, 0),
        ["co-location", "placing", "summary", "bounds"],
        "blocks 0 and 8 share chip 0, tile 0, tier 0, but the rule is exclusive.",
    ),
    (
        "parallel",
        to_crossbar(8, 1, 0, 0, 6),
        ["co-location", "summary", "bounds"],
        (
            "block 6 (rows 0 to 5, columns 0 to 5 of experts, copy 0, replica 1) and block 8 "
            "(rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) share rows of chip 1, "
            "tile 0, tier 0, but read different inputs there. block 7 (rows 0 to 5, columns 0 to "
            "5 of experts, copy 1, replica 0) and block 8 (rows 0 to 5, columns 0 to 5 of "
            "experts, copy 2, replica 0) share columns of chip 1, tile 0, tier 0, but do not add "
            "up to the same outputs there."
        ),
    ),
    (
        "parallel",
        to_crossbar(8, 1, 0, 6, 0),
        ["co-location", "summary", "bounds"],
        (
            "block 7 (rows 0 to 5, columns 0 to 5 of experts, copy 1, replica 0) and block 8 "
            "(rows 0 to 5, columns 0 to 5 of experts, copy 2, replica 0) share rows of chip 1, "
            "tile 0, tier 0, but read different inputs there. block 6 (rows 0 to 5, columns 0 to "
            "5 of experts, copy 0, replica 1) and block 8 (rows 0 to 5, columns 0 to 5 of "
            "experts, copy 2, replica 0) share columns of chip 1, tile 0, tier 0, but do not add "
            "up to the same outputs there."
        ),
    ),
    (
        "parallel",
        both(7, row=5),
        ["co-location"],
        (
            "block 6 (rows 0 to 5, columns 0 to 5 of experts, copy 0, replica 1) and block 7 "
            "(rows 0 to 5, columns 0 to 5 of experts, copy 1, replica 0) share rows of chip 1, "
            "tile 0, tier 0, but read different inputs there."
        ),
    ),
    # routing
    (
        "parallel",
        tokens(lambda t: t + 1),
        ["routing"],
        "token 1 goes to the experts 1, 3 of mlp, which has 3, counted from 0 (the first of 2).",
    ),
    (
        "parallel",
        tokens(lambda t: np.where(t == 2, 0, t)),
        ["routing"],
        "token 1 goes to one of the experts 0, 0 of mlp more than once (the first of 2).",
    ),
    (
        "parallel",
        tokens(lambda t: t[:, :1]),
        ["routing"],
        "the routing of mlp is 4 x 1 of int32, but must be one row a token of 2 32-bit whole "
        "numbers.",
    ),
    (
        "parallel",
        tokens(lambda t: t[:0]),
        ["routing"],
        "the routing of mlp has no tokens.",
    ),
    (
        "parallel",
        tokens(lambda t: t, name="q"),
        ["routing"],
        "the routing has q, which is no bank of experts.",
    ),
    (
        "parallel",
        lambda folder: (folder / "routing.npz").unlink(),
        ["files"],
        "routing.npz is not there.",
    ),
    # replicas
    (
        "parallel",
        all_of(says("replication", "tokens", to=8), says("summary", "replication", "tokens", to=8)),
        ["replicas"],
        (
            "replication.turns is 4, but 8 is what follows. replication.turns_alone is 4, "
            "but 8 is what follows."
        ),
    ),
    (
        "parallel",
        all_of(says("replication", "budget", to=8), says("summary", "replication", "budget", to=8)),
        ["replicas"],
        "the replicas take 9 crossbars, but the budget is 8.",
    ),
    (
        "parallel",
        all_of(
            says("replication", "lower_bound", to=5),
            says("summary", "replication", "lower_bound", to=5),
        ),
        ["replicas"],
        (
            "replication.lower_bound is 5, above the 4 turns. replication.status is "
            "OPTIMAL, but it takes 4 turns and the lower bound is 5. the replication says "
            "at least 5 turns, but 4 would take 8 crossbars of 10."
        ),
    ),
    (
        "parallel",
        all_of(
            says("replication", "status", to="FEASIBLE"),
            says("summary", "replication", "status", to="FEASIBLE"),
        ),
        ["replicas"],
        "replication.status is FEASIBLE, but it takes 4 turns and the lower bound is 4.",
    ),
    (
        "parallel",
        says("replication", to=None),
        ["replicas", "summary"],
        "experts has replicas, of which program.json says nothing.",
    ),
    # turns
    (
        "serial",
        says("allocation", "turns", to=5),
        ["turns", "summary"],
        "allocation.turns is 5, but no crossbar holds more than 4 blocks.",
    ),
    (
        "serial",
        says("allocation", "mean_turns", to=1.0),
        ["turns", "summary"],
        "allocation.mean_turns is 1, but is at least 1.66667 and at most 3.",
    ),
    (
        "parallel",
        says("allocation", "turns", to=2),
        ["turns", "summary"],
        "allocation.turns is 2, but under the rule parallel nothing waits.",
    ),
    # placing
    (
        "parallel",
        all_of(says("placing", "chips", to=3), says("summary", "placing", "chips", to=3)),
        ["placing"],
        "placing.chips is 3, but the blocks are on 2.",
    ),
    (
        "parallel",
        all_of(says("placing", "load", to=5.0), says("summary", "placing", "load", to=5.0)),
        ["placing"],
        "placing.load is 5, but the busiest tile has 5.33333 reads.",
    ),
    (
        "parallel",
        all_of(
            says("placing", "reads_bound", to=10.0),
            says("summary", "placing", "reads_bound", to=10.0),
        ),
        ["placing"],
        "placing says at least 10 reads, but reaches 9.",
    ),
    # summary
    (
        "parallel",
        all_of(says("passes", to=[]), says("allocation", "rule", to="serial")),
        ["summary", "turns"],
        'summary.rule is "parallel", but "serial" is what follows.',
    ),
    ("parallel", lacks("summary", "gap"), ["summary"], "summary has no gap."),
    (
        "parallel",
        says("summary", "levers", to=[{"change": "--digital b", "tiles": 4, "chips": 2}]),
        ["summary"],
        "summary.levers[0] says that it takes 4 tiles, which is not fewer than the 4 that are "
        "used.",
    ),
    # agreement
    (
        "parallel",
        move("placements", 1, row=1),
        ["agreement", "overlap", "co-location"],
        (
            "block 1 (rows 0 to 7, columns 8 to 11 of q.weight and 1 more) is allocated to row 0,"
            " column 8, but placed at row 1, column 8."
        ),
    ),
    (
        "parallel",
        move("allocations", 1, col=9),
        ["agreement"],
        (
            "block 1 (rows 0 to 7, columns 8 to 11 of q.weight and 1 more) is allocated to row 0,"
            " column 9, but placed at row 0, column 8."
        ),
    ),
    (
        "parallel",
        move("placements", 7, chip=1, tier=1),
        ["agreement"],
        (
            "blocks 6 and 7 share tile 2 of the allocation, but are placed on chip 1, tile 0, "
            "tier 0 and chip 1, tile 0, tier 1. blocks 7 and 8 are both placed on chip 1, tile 0,"
            " tier 1, but are on tiles 2 and 3 of the allocation."
        ),
    ),
    (
        "parallel",
        move("allocations", 7, tile=4),
        ["agreement"],
        (
            "blocks 6 and 7 are both placed on chip 1, tile 0, tier 0, but are on tiles 2 and 4 "
            "of the allocation."
        ),
    ),
    # bounds
    (
        "parallel",
        says("allocation", "tiles", to=5),
        ["bounds"],
        "allocation.tiles is 5, but the blocks are on 4 crossbars.",
    ),
    (
        "parallel",
        says("allocation", "lower_bound", to=2),
        ["bounds", "summary"],
        "allocation.lower_bound is 2, but the largest of its bounds is 3.",
    ),
    (
        "parallel",
        says("allocation", "status", to="OPTIMAL"),
        ["bounds", "summary"],
        "allocation.status is OPTIMAL, but 4 tiles are used and the lower bound is 3.",
    ),
    (
        "serial",
        says("allocation", "status", to="FEASIBLE"),
        ["bounds", "summary"],
        "allocation.status is FEASIBLE, but 3 tiles are used and the lower bound is 3.",
    ),
    (
        "parallel",
        says("allocation", "bounds", "area", to=4),
        ["bounds", "summary"],
        (
            "allocation.lower_bound is 3, but the largest of its bounds is 4. the bound 'area' "
            "says at least 4 tiles, but what follows from the blocks is 3."
        ),
    ),
    (
        "parallel",
        says("allocation", "bounds", "set cover", to=5),
        ["bounds", "summary"],
        (
            "allocation.lower_bound is 3, but the largest of its bounds is 5. the bound 'set "
            "cover' says at least 5 tiles, but the blocks are on 4."
        ),
    ),
    (
        "exclusive",
        says("allocation", "bounds", "blocks", to=10),
        ["bounds", "summary"],
        (
            "allocation.lower_bound is 9, but the largest of its bounds is 10. the bound 'blocks'"
            " says at least 10 tiles, but the blocks are on 9."
        ),
    ),
    (
        "parallel",
        says("allocation", "bounds", "rows and columns", to=9),
        ["bounds", "summary"],
        (
            "allocation.lower_bound is 3, but the largest of its bounds is 9. the bound 'rows and"
            " columns' says at least 9 tiles, but the blocks are on 4."
        ),
    ),
    (
        "parallel",
        says("allocation", "bounds", "nothing can share", to=1),
        ["bounds", "summary"],
        "the bound 'nothing can share' says at least 1 tile, but what follows from the blocks "
        "is 0.",
    ),
]


@pytest.mark.parametrize(("rule", "damage", "checks", "sentences"), MUTATIONS)
def test_one_thing_wrong(
    tmp_path: Path, rule: Rule, damage: Damage, checks: list[str], sentences: str
) -> None:
    """The first of the checks that fail has these sentences."""
    folder = write(tmp_path / "out", rule)
    damage(folder)
    report = verify(seal(folder))
    assert {check.name for check in report.failed} == set(checks)
    assert " ".join(report[checks[0]].problems) == sentences


SUMMARY: dict[str, tuple[Any, str]] = {
    "model": ("other", 'summary.model is "other", but "kept" is what follows.'),
    "model_sha256": (
        "1",
        (
            'summary.model_sha256 is "1", but '
            '"00000000000000000000000000000000000000000000000000000000... is what follows.'
        ),
    ),
    "target": (
        "hermes-64",
        'summary.target is "hermes-64", but "afm-512-projected" is what follows.',
    ),
    "target_overrides": (
        {},
        (
            'summary.target_overrides is {}, but {"crossbar.rows": 16, "crossbar.columns": 12, '
            '"tile.tiers... is what follows.'
        ),
    ),
    "matrices_analog": (3, "summary.matrices_analog is 3, but 4 is what follows."),
    "matrices_digital": (True, "summary.matrices_digital is true, but 1 is what follows."),
    "weights_analog": (359, "summary.weights_analog is 359, but 360 is what follows."),
    "weights_digital": (101, "summary.weights_digital is 101, but 98 is what follows."),
    "weights_on_both_sides": (0, "summary.weights_on_both_sides is 0, but 60 is what follows."),
    "weights_not_lowered": (4, "summary.weights_not_lowered is 4, but 3 is what follows."),
    "macs_per_token": (300.0, "summary.macs_per_token is 300.0, but 349.0 is what follows."),
    "macs_analog_fraction": (
        1.0,
        "summary.macs_analog_fraction is 1.0, but 0.9283667621776505 is what follows.",
    ),
    "blocks": (10, "summary.blocks is 10, but 9 is what follows."),
    "tiles_used": (3, "summary.tiles_used is 3, but 4 is what follows."),
    "tiles_lower_bound": (4, "summary.tiles_lower_bound is 4, but 3 is what follows."),
    "bounds": (
        {"area": 4},
        'summary.bounds is {"area": 4}, but {"area": 3, "set cover": 2} is what follows.',
    ),
    "gap": (0.0, "summary.gap is 0.0, but 0.25 is what follows."),
    "solver_status": (
        "OPTIMAL",
        'summary.solver_status is "OPTIMAL", but "FEASIBLE" is what follows.',
    ),
    "rule": ("serial", 'summary.rule is "serial", but "parallel" is what follows.'),
    "chips_used": (1, "summary.chips_used is 1, but 2 is what follows."),
    "utilization": (0.5, "summary.utilization is 0.5, but 0.515625 is what follows."),
}


@pytest.mark.parametrize("key", SUMMARY)
def test_a_wrong_figure_in_the_summary(tmp_path: Path, key: str) -> None:
    folder = write(tmp_path / "out")
    value, sentence = SUMMARY[key]
    edit(folder, "summary", key, to=value)
    assert verify(folder).problems == (sentence,)
