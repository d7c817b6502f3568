"""Rows of matrices and of kinds."""

from __future__ import annotations

import pytest
from pages import name_of

from afmc.program.compiled import CompiledProgram
from afmc.report import matrices
from afmc.report.matrices import Figure, list_matrices, packed
from afmc.report.names import Kinds


def test_what_each_matrix_takes(by_hand: CompiledProgram) -> None:
    listing = list_matrices(by_hand, Kinds())
    rows = {row.name: row for row in listing.rows}
    assert list(rows) == [m.name for m in by_hand.program.matrices]
    q, k, bank, d = (rows[name] for name in ("q.weight", "k.weight", "experts", "d.weight"))
    # The group's columns are cut at 8, between q and k.
    assert (q.blocks, q.tiles, q.use, q.range) == (2, 1, 16 * 8 / (16 * 12), "2")
    assert (k.blocks, k.tiles, k.use) == (2, 1, 16 * 4 / (16 * 12))
    assert (q.reason, k.reason) == ("one with k", "one with q")
    assert (bank.copies, bank.blocks, bank.tiles) == (3, 4, 2)
    assert bank.use == 4 * 36 / (2 * 16 * 12)  # the first expert is there twice
    assert (d.where, d.reason, d.blocks, d.use, d.range) == ("digital", "kept digital", 0, None, "")
    assert all(row.figures == () for row in rows.values())


def test_what_is_not_known_is_not_0(by_hand: CompiledProgram) -> None:
    energy = Figure("energy", "nJ", {"q.weight": 3.0})
    clipped = Figure("inputs clipped", "share", {"d.weight": 0.5})
    listing = list_matrices(by_hand, Kinds(), [energy, clipped])
    for rows in (listing.rows, listing.kinds):
        assert [row.figures[0] for row in rows] == [3.0, None, None, None, None]
        assert [row.figures[1] for row in rows] == [None, None, None, None, 0.5]
    assert energy.text(None) == clipped.text(None) == "not known"
    assert (energy.text(3.0), clipped.text(0.5)) == ("3 nJ", "50.00 %")


def test_of_a_kind_energy_is_the_sum_and_a_share_the_largest(
    smollm2_shapes: CompiledProgram,
) -> None:
    names = [m.name for m in smollm2_shapes.program.matrices]
    values = {name: float(index) for index, name in enumerate(names)}
    figures = [Figure("energy", "nJ", values), Figure("inputs clipped", "share", values)]
    listing = list_matrices(smollm2_shapes, Kinds(), figures)
    mine = [values[name] for name in names if name.endswith("down_proj.weight")]
    [down] = [kind for kind in listing.kinds if kind.name.endswith("down_proj.weight")]
    assert down.figures == (sum(mine), max(mine))


def test_kinds_count_every_matrix_once(smollm2_shapes: CompiledProgram) -> None:
    listing = list_matrices(smollm2_shapes, Kinds())
    assert sum(kind.count for kind in listing.kinds) == len(listing.rows) == 211
    for index, kind in enumerate(listing.kinds):
        mine = [r for r, k in zip(listing.rows, listing.kind_of_row, strict=True) if k == index]
        assert kind.count == len(mine) and kind.blocks == sum(row.blocks for row in mine)
        assert kind.tiles <= sum(row.tiles for row in mine)
        assert kind.use is None or 0 < kind.use <= 1


def test_names_come_back_and_of_very_many_the_first(
    smollm2_shapes: CompiledProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = Kinds()
    listing = list_matrices(smollm2_shapes, kinds)
    listed = packed(listing, kinds)["rows"]
    assert [name_of(row[1], kinds.names()) for row in listed] == [row.name for row in listing.rows]
    monkeypatch.setattr(matrices, "LISTED", 16)
    fewer = packed(listing, kinds)["rows"]
    assert len(fewer) == 7 * 2 + 1
