"""Every matrix in a row, and every kind of matrix: what it takes and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afmc.common.numbers import nanojoules, percent, short
from afmc.program.compiled import CompiledProgram
from afmc.program.layout import sorted_set
from afmc.program.model import Matrix
from afmc.program.program import Group
from afmc.report.names import Kinds

LISTED = 3_000
"""Matrices that the page lists one by one, at most."""


@dataclass(frozen=True)
class Figure:
    """What is known of matrices in one compile and not in another."""

    heading: str
    unit: Literal["nJ", "share"]
    of: Mapping[str, float]
    """By name of a matrix; of the others it is not known."""

    def of_kind(self, values: Sequence[float], members: int) -> float | None:
        """Energies add up, where all are known; of shares the largest counts."""
        if self.unit == "nJ":
            return sum(values) if len(values) == members else None
        return max(values, default=None)

    def text(self, value: float | None) -> str:
        return nanojoules(value) if self.unit == "nJ" else percent(value, 2)


@dataclass(frozen=True)
class Row:
    name: str
    """Name of a matrix, or with stars of a kind."""
    rows: int
    cols: int
    count: int
    """Matrices of the kind."""
    copies: int
    """Experts of a bank; of a kind, of all its matrices together."""
    blocks: int
    """That hold a part of it."""
    tiles: int
    """Crossbars with such a block; of a kind, those that several share count once."""
    use: float | None
    """Share of these crossbars' cells that its weights are on; None for a digital one."""
    range: str
    where: str
    reason: str
    figures: tuple[float | None, ...]
    """As many as there are figures; None where it is not known."""


@dataclass(frozen=True)
class _Held:
    """What an analog matrix takes."""

    blocks: int
    crossbars: NDArray[np.int64]
    weights: int
    """Weights of all copies and replicas."""
    merged: str


@dataclass(frozen=True)
class Listing:
    rows: list[Row]
    """One for each matrix, in dataflow order."""
    kinds: list[Row]
    """One for each kind: with the same name but for numbers, the same shape, place and reason."""
    kind_of_row: list[int]
    """Index in `kinds`."""


def list_matrices(
    compiled: CompiledProgram, kinds: Kinds, figures: Sequence[Figure] = ()
) -> Listing:
    program, target = compiled.program, compiled.target
    digital, held = program.digital or {}, _held(compiled)
    size = target.crossbar.rows * target.crossbar.columns
    rows, alike = [], dict[tuple[Any, ...], list[int]]()
    for index, matrix in enumerate(program.matrices):
        mine = held.get(matrix.name)
        where = "digital" if mine is None else "analog"
        why = digital.get(matrix.name, "")
        key = (kinds.of(matrix.name), matrix.rows, matrix.cols, where, why)
        alike.setdefault(key, []).append(index)
        rows.append(
            Row(
                name=matrix.name,
                rows=matrix.rows,
                cols=matrix.cols,
                count=1,
                copies=matrix.copies,
                blocks=0 if mine is None else mine.blocks,
                tiles=0 if mine is None else len(mine.crossbars),
                use=None if mine is None else mine.weights / (len(mine.crossbars) * size),
                range=_range([matrix]),
                where=where,
                reason=why if mine is None else mine.merged,
                figures=tuple(figure.of.get(matrix.name) for figure in figures),
            )
        )
    names = kinds.names()
    summed = []
    for (kind, height, width, where, why), indices in alike.items():
        members = [program.matrices[i] for i in indices]
        parts = [held[m.name] for m in members if m.name in held]
        tiles = len(sorted_set(np.concatenate([p.crossbars for p in parts]))) if parts else 0
        known = [
            [each for i in indices if (each := rows[i].figures[at]) is not None]
            for at in range(len(figures))
        ]
        summed.append(
            Row(
                name=names[kind],
                rows=height,
                cols=width,
                count=len(members),
                copies=sum(m.copies for m in members),
                blocks=sum(p.blocks for p in parts),
                tiles=tiles,
                use=sum(p.weights for p in parts) / (tiles * size) if parts else None,
                range=_range(members),
                where=where,
                reason=why,
                figures=tuple(
                    figure.of_kind(values, len(members))
                    for figure, values in zip(figures, known, strict=True)
                ),
            )
        )
    kind_of_row = [0] * len(rows)
    for number, indices in enumerate(alike.values()):
        for index in indices:
            kind_of_row[index] = number
    return Listing(rows, summed, kind_of_row)


def _held(compiled: CompiledProgram) -> dict[str, _Held]:
    """What each analog matrix takes, by name."""
    program, layout, found = compiled.program, compiled.layout, {}
    crossbars = layout.crossbar_of(layout.parts)
    for group in program.groups:
        for name in group.members:
            mine, matrix = layout.where(name), program.by_name[name]
            found[name] = _Held(
                blocks=mine.stop - mine.start,
                crossbars=sorted_set(crossbars[mine]),
                weights=matrix.rows * matrix.cols * (sum(group.replicas) or group.copies),
                merged=_merged(group, name),
            )
    return found


def _merged(group: Group, name: str) -> str:
    """``one with k_proj, v_proj``: what differs in the names of the others."""
    others = [each for each in group.members if each != name]
    if not others:
        return ""
    split = [each.split(".") for each in group.members]
    if len({len(parts) for parts in split}) == 1:
        columns = zip(*split, strict=True)
        differ = [index for index, parts in enumerate(columns) if len(set(parts)) > 1]
        others = [".".join(each.split(".")[index] for index in differ) for each in others]
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    return f"one with {', '.join(others[:4])}{more}"


def _range(matrices: Sequence[Matrix]) -> str:
    """Half widths of the input converters' ranges; empty where there is none."""
    each = (value for m in matrices for value in (m.input_range, *m.slice_ranges))
    known = [value for value in each if value is not None]
    if not known:
        return ""
    low, high = short(min(known)), short(max(known))
    return low if low == high else f"{low} to {high}"


def packed(listing: Listing, kinds: Kinds, figures: Sequence[Figure] = ()) -> dict[str, Any]:
    """The matrices for the page's script; of very many the first of each kind, as many as fit."""
    whole = len(listing.rows) <= LISTED
    share = max(1, LISTED // max(1, len(listing.kinds)))
    seen = [0] * len(listing.kinds)
    reasons: dict[str, int] = {}
    listed = []
    for row, kind in zip(listing.rows, listing.kind_of_row, strict=True):
        seen[kind] += 1
        if not whole and seen[kind] > share:
            continue
        listed.append(
            [
                kind,
                kinds.packed(row.name),
                row.rows,
                row.cols,
                row.copies,
                row.blocks,
                row.tiles,
                None if row.use is None else round(row.use, 4),
                row.range,
                row.where,
                reasons.setdefault(row.reason, len(reasons)),
                *(None if each is None else float(f"{each:.4g}") for each in row.figures),
            ]
        )
    units = [figure.unit for figure in figures]
    return {"rows": listed, "reasons": list(reasons), "units": units}
