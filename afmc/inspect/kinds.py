"""Matrices and operations by kind: equal layers of a model are one line."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np

from afmc.program.compiled import CompiledProgram
from afmc.program.model import Remainder
from afmc.program.program import Program, Table


def kind_of(name: str) -> str:
    """``model.layers.3.mlp.up_proj.weight`` is one of ``model.layers.*.mlp.up_proj.weight``."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def kinds(compiled: CompiledProgram) -> list[tuple[str, ...]]:
    """A row for each kind of analog matrices: shape, cuts, copies, blocks, crossbars, cells."""
    program, target = compiled.program, compiled.target
    members: dict[tuple[str, int, int], list[int]] = {}
    for index, group in enumerate(program.groups):
        members.setdefault((kind_of(group.name), group.rows, group.cols), []).append(index)
    number_of = np.zeros(len(program.groups), np.int16)
    for number, indices in enumerate(members.values()):
        number_of[indices] = number
    each = number_of[program.blocks["group"][program.placements["block"]]]
    by_kind = np.argsort(each, kind="stable")
    ends = np.cumsum(np.bincount(each, minlength=len(members)))
    of_kind = np.split(compiled.layout.crossbars[by_kind], ends[:-1])
    rows: list[tuple[str, ...]] = []
    for ((kind, height, width), indices), mine in zip(members.items(), of_kind, strict=True):
        used = int(np.count_nonzero(np.bincount(mine)))
        groups = [program.groups[i] for i in indices]
        copies = sum(group.copies for group in groups)
        held = height * width * sum(sum(group.replicas) or group.copies for group in groups)
        share = held / (used * target.crossbar.rows * target.crossbar.columns)
        rows.append(
            (
                kind,
                f"{height} x {width}",
                cuts(program, indices[0]),
                f"{copies:,}",
                f"{len(mine):,}",
                f"{used:,}",
                f"{100 * share:.0f} %",
            )
        )
    return rows


def cuts(program: Program, group: int) -> str:
    """How the matrix of a group is cut, as `pieces_of` has it."""
    blocks = program.blocks[program.blocks["group"] == group]
    return pieces_of(blocks[(blocks["copy"] == 0) & (blocks["replica"] == 0)])


def pieces_of(blocks: Table) -> str:
    """``512+64 x 3*512``: the pieces of a matrix's rows, and of its columns."""

    def pieces(start: str, size: str) -> str:
        _, which = np.unique(blocks[start], return_index=True)
        runs = [(length, len(list(run))) for length, run in groupby(blocks[size][which].tolist())]
        return "+".join(f"{count}*{length}" if count > 1 else f"{length}" for length, count in runs)

    return f"{pieces('row', 'rows')} x {pieces('col', 'cols')}"


def not_analog(program: Program) -> list[tuple[str, ...]]:
    assert program.digital is not None
    by_name = program.by_name
    matrices: Counter[tuple[str, str]] = Counter()
    weights: Counter[tuple[str, str]] = Counter()
    for name, reason in program.digital.items():
        key = (kind_of(name), reason)
        matrices[key] += 1
        weights[key] += by_name[name].weights
    rows: list[tuple[str, ...]] = [
        (f"{kind}: {why}", f"{n:,}", f"{weights[kind, why]:,}")
        for (kind, why), n in matrices.items()
    ]
    biases = [m for m in program.matrices if m.bias]
    if biases:
        total = sum(m.cols * m.copies for m in biases)
        rows.append(("biases: added after the converters", f"{len(biases):,}", f"{total:,}"))
    return rows + [
        (f"{reason}: {operators}", f"{count:,}", f"{held:,}" if held else "")
        for reason, operators, count, held in _by_reason(program)
    ]


def _by_reason(program: Program) -> list[tuple[str, str, int, int]]:
    """The remainder: reason, its operators, how many operations, how many weights."""
    reasons: dict[str, list[Remainder]] = {}
    for rest in program.remainder:
        reasons.setdefault(rest.reason, []).append(rest)
    rows = []
    for reason, rests in reasons.items():
        names = sorted({rest.operation.split(".")[1] for rest in rests if "." in rest.operation})
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        counts, weights = sum(r.count for r in rests), sum(r.weights for r in rests)
        rows.append((reason, shown, counts, weights))
    return sorted(rows, key=lambda row: (-row[3], row[0]))
