"""Every rule fires on a program that breaks it, and on no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike
from programs import compiled, program_of

from afmc.compiler.pipeline import load_passes, run_passes
from afmc.errors import PassError
from afmc.hardware.defects import ALL, DEAD, DEFECT, Defects
from afmc.program.model import Matrix, Work
from afmc.program.observed import Routing
from afmc.program.program import LINE, ORDER, Program
from afmc.program.rules import problems
from afmc.targets import Target, load_target

TARGET = load_target("ideal-512", {"tile.co_location": "parallel", "chip.tiles": 4})


@pytest.fixture
def program() -> Program:
    """Eight tiles: a 600 x 600 matrix, and blocks that share a tile."""
    matrices = [
        Matrix("a", 600, 600, "x", module="a"),
        Matrix("b", 100, 100, "y", module="b"),
        Matrix("c", 100, 100, "z", module="c"),
    ]
    return compiled(program_of(matrices), TARGET)


def edit(table: str, index: int | slice, /, **values: int) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        changed = getattr(program, table).copy()
        for key, value in values.items():
            changed[key][index] = value
        return replace(program, **{table: changed})

    return change


def drop_block(program: Program) -> Program:
    return replace(program, blocks=program.blocks[:-1], placements=program.placements[:-1])


def claim(**values: object) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        assert program.allocation is not None
        return replace(program, allocation=replace(program.allocation, **values))  # type: ignore[arg-type]

    return change


def same_address(program: Program) -> Program:
    """The second of the co-located blocks on top of the first."""
    changed = program.placements.copy()
    shared = np.flatnonzero(changed["row"] > 0)
    changed["row"][shared] = changed["col"][shared] = 0
    return replace(program, placements=changed)


def same_rows(program: Program) -> Program:
    changed = program.placements.copy()
    changed["row"][:] = 0
    return replace(program, placements=changed)


def replicated(program: Program) -> Program:
    """These matrices, each there three times."""
    options = {"replicate.tiles": 30, "replicate.tokens": 3}
    return compiled(program_of(program.matrices), TARGET, options)


def once(change: Callable[[Program], Program]) -> Callable[[Program], Program]:
    return lambda program: change(replicated(program))


def promise(**values: object) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        assert program.replication is not None
        return replace(program, replication=replace(program.replication, **values))  # type: ignore[arg-type]

    return once(change)


def regroup(**values: object) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        first, *rest = program.groups
        return replace(program, groups=(replace(first, **values), *rest))  # type: ignore[arg-type]

    return once(change)


def ranges(*values: float) -> Callable[[Program], Program]:
    """Ranges of the first matrix and its row slices."""

    def change(program: Program) -> Program:
        first, *rest = program.matrices
        first = replace(first, input_range=values[0], slice_ranges=values[1:] and values)
        return replace(program, matrices=(first, *rest))

    return change


BROKEN: list[tuple[Callable[[Program], Program], str]] = [
    (lambda p: replace(p, matrices=(*p.matrices, p.matrices[0])), "1 matrices have a name that"),
    (ranges(-1.0), "a has the input range -1.0."),
    (ranges(1.0, 2.0, 3.0), "a has the input range 1.0, but that of a slice is 3.0."),
    (ranges(*[1.0] * 601), "a has 601 ranges for 600 rows."),
    (lambda p: replace(p, digital={"nobody": "?"}), "1 digital matrices do not exist, nobody"),
    (lambda p: replace(p, groups=p.groups[1:]), "the groups hold 2 matrices, but 3 are analog"),
    (
        lambda p: replace(p, groups=(replace(p.groups[0], cols=601), *p.groups[1:])),
        "the members of a do not add up to 601 columns",
    ),
    (drop_block, "the blocks belong to 2 matrices, but 3 are analog"),
    (edit("blocks", 1, cols=87), "blocks of a do not cover it exactly once"),
    (edit("blocks", 1, col=511, cols=89), "blocks of a do not cover it exactly once"),
    (edit("blocks", 0, rows=600), "1 blocks do not fit a crossbar of 512 x 512; the first is 600"),
    (claim(tiles=3), "the allocation says 3 tiles, but its table uses 4"),
    (claim(lower_bound=5), "the bound of 5 tiles is above the 4"),
    (claim(status="FEASIBLE"), "status FEASIBLE with 4 tiles and bound 4"),
    (edit("placements", 0, block=1), "5 of 6 blocks are placed, with 6 placements"),
    (edit("placements", -1, chip=1), "the blocks are on 5 crossbars, but 4 were allocated"),
    (edit("allocations", 0, block=1), "the allocation does not hold each of the 6 blocks once"),
    (edit("blocks", 0, group=99), "1 blocks belong to no group"),
    (edit("placements", 0, tile=4), "1 placements are on a tile outside 0 to 3"),
    (edit("placements", 0, tier=1), "1 placements are on a tier outside 0 to 0"),
    (edit("placements", 0, row=1), "1 blocks reach over the edge of their crossbar (rows)"),
    (same_address, "pairs of blocks overlap on a crossbar"),
    (same_rows, "share rows without sharing an input"),
    (claim(rule="exclusive"), "blocks share a crossbar, but the rule is exclusive"),
    (regroup(replicas=(2,)), "the replication says 1 turns, but its replicas need 2"),
    (regroup(replicas=(2,)), "the blocks belong to 9 matrices, but 8 are analog"),
    (regroup(replicas=(1, 1)), "a has 1 copies, but replicas (1, 1)"),
    (regroup(replicas=(0,)), "a has 1 copies, but replicas (0,)"),
    (once(edit("blocks", slice(4, 8), replica=5)), "replicas of a are not numbered from 0 on"),
    (once(edit("blocks", slice(4, 8), replica=0)), "belong to 8 matrices, but 9 are analog"),
    (promise(tokens=4), "the replication says 1 turns, but its replicas need 2"),
    (promise(objective="latency"), "the replication says 1 turns, but its replicas need 3"),
    (promise(crossbars=17), "the replication says 17 blocks, but there are 18"),
    (promise(budget=17), "the replication takes 18 crossbars of 17"),
    (promise(lower_bound=2), "the bound of 2 turns is above the 1"),
    (promise(status="FEASIBLE"), "status FEASIBLE with 1 turns and bound 1"),
    (once(lambda p: replace(p, replication=None)), "there are replicas, but no word of why"),
]


def test_a_legal_program_has_no_problems(program: Program) -> None:
    assert len(program.blocks) == 6
    assert program.allocation is not None and program.allocation.tiles == 4
    assert list(problems(program, TARGET)) == []
    assert len(replicated(program).blocks) == 18
    assert list(problems(replicated(program), TARGET)) == []


TURNS: list[tuple[Callable[[Program], Program], str]] = [
    (same_address, "pairs of blocks overlap on a crossbar"),
    (claim(turns=1), "the allocation says 1 turns, but 2 blocks share a line."),
    (claim(mean_turns=1.0), "1.000 turns on average, but they are at least 2.000 and at most 2."),
    (claim(mean_turns=2.5), "2.500 turns on average, but they are at least 2.000 and at most 2."),
    (claim(rule="parallel"), "the allocation says 2 turns, but under parallel none are taken."),
    (claim(rule="parallel", turns=1, mean_turns=1.0), "share rows without sharing an input"),
]


@pytest.fixture
def turning() -> Program:
    """Four blocks of different inputs in the corners of one tile."""
    matrices = [Matrix(f"m{i}", 256, 256, f"x{i}", module=f"m{i}") for i in range(4)]
    return compiled(program_of(matrices), TARGET, {"allocate.rule": "serial"})


def test_blocks_may_take_turns(turning: Program) -> None:
    assert turning.allocation is not None
    assert (turning.allocation.tiles, turning.allocation.turns) == (1, 2)
    assert list(problems(turning, TARGET)) == []


@pytest.mark.parametrize(("change", "sentence"), TURNS)
def test_each_rule_about_turns_fires(
    turning: Program, change: Callable[[Program], Program], sentence: str
) -> None:
    assert any(sentence in found for found in problems(change(turning), TARGET))


def test_work_is_after_a_matrix_and_countable(program: Program) -> None:
    name = program.matrices[0].name
    fine = replace(program, work=(Work("", "norm", 4.0), Work(name, "attention", 0.0, 8.0, 2.0)))
    assert list(problems(fine, TARGET)) == []
    lost = replace(program, work=(Work("m99", "norm", 4.0),))
    assert list(problems(lost, TARGET)) == ["norm comes after m99, which is no matrix."]
    narrow = replace(program, work=(Work(name, "attention", 0.0, 8.0, 2.0, 0),))
    assert list(problems(narrow, TARGET)) == [f"attention after {name} looks at 0 positions."]
    for amount in (-1.0, float("nan"), float("inf")):
        wrong = replace(program, work=(Work("", "norm", amount),))
        assert list(problems(wrong, TARGET)) == [f"norm after the input is {amount} values."]


def test_blocks_may_be_in_any_order(program: Program) -> None:
    last = len(program.blocks) - 1
    tables = {"blocks": program.blocks[::-1].copy()}
    for name in ("allocations", "placements"):
        tables[name] = getattr(program, name).copy()
        tables[name]["block"] = last - tables[name]["block"]
    assert list(problems(replace(program, **tables), TARGET)) == []  # type: ignore[arg-type]
    broken = edit("blocks", 1, rows=511)(replace(program, **tables))  # type: ignore[arg-type]
    assert any("do not cover it exactly once" in found for found in problems(broken, TARGET))


def test_crossbars_far_apart(program: Program) -> None:
    """More addresses than there is room to count them one by one."""
    large = load_target("ideal-512", {**TARGET.overrides, "chip.tiles": 2**31 - 1})
    changed = program.placements.copy()
    changed["tile"] = 2**31 - 2 - changed["tile"]
    changed["chip"] += changed["tile"].max() - changed["tile"]
    assert list(problems(replace(program, placements=changed, placing=None), large)) == []
    changed = changed.copy()
    changed["tile"], changed["chip"] = 2**31 - 2, 0
    found = list(problems(replace(program, placements=changed, placing=None), large))
    assert "the blocks are on 1 crossbars, but 4 were allocated." in found
    assert any("pairs of blocks overlap on a crossbar" in each for each in found)


def test_what_was_legal_is_not_looked_at_again(program: Program) -> None:
    broken = edit("blocks", 1, cols=87)(program)
    sentence = "the 4 blocks of a do not cover it exactly once."
    assert sentence in problems(broken, TARGET)
    assert sentence in problems(broken, TARGET, program)
    assert sentence not in problems(broken, TARGET, broken)
    copied = replace(broken, blocks=broken.blocks.copy())
    assert sentence in problems(copied, TARGET, broken)


def test_tables_cannot_be_written_to(program: Program) -> None:
    for name in ("blocks", "allocations", "placements"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(program, name)[0] = 0


@pytest.mark.parametrize(("change", "sentence"), BROKEN)
def test_each_rule_fires(
    program: Program, change: Callable[[Program], Program], sentence: str
) -> None:
    assert any(sentence in found for found in problems(change(program), TARGET))


def routing(
    module: str = "experts",
    table: ArrayLike = ((0, 3), (2, 1), (0, 2)),
    dtype: type = np.int32,
) -> Routing:
    """Routing of three tokens, two experts each of four."""
    return Routing("by hand", {module: np.asarray(table, dtype)})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (routing(), None),
        (routing("router"), "the routing has router, which is no bank of experts."),
        (routing(dtype=np.int64), "the routing of experts is 3 x 2 of int64, but should be 32-bit"),
        (routing(table=[[1], [2]]), "is 2 x 1 of int32, but should be 32-bit integers, 2 a token."),
        (routing(table=[0, 1]), "the routing of experts is 2 of int32, but should be"),
        (routing(table=np.zeros((0, 2))), "the routing of experts has no tokens."),
        (routing(table=[[0, 4], [-1, 4]]), "experts has 3 experts outside 0 to 3."),
        (routing(table=[[1, 1], [0, 1]]), "1 token goes to an expert of experts twice."),
    ],
)
def test_rules_of_routing(given: Routing, sentence: str | None) -> None:
    bank = Matrix("experts.up", 8, 8, "x", copies=4, per_token=2, module="experts")
    router = Matrix("router.weight", 8, 4, "y", module="router")
    found = list(problems(replace(program_of([router, bank]), routing=given), TARGET))
    assert len(found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


def test_popularity_follows_from_routing() -> None:
    bank = Matrix("experts.up", 8, 8, "x", copies=4, per_token=2, module="experts")
    assert routing().shares(bank).tolist() == [2 / 6, 1 / 6, 2 / 6, 1 / 6]


@pytest.fixture
def damaged() -> Program:
    """Like `program`, on a system with a dead tile, a dead row, and an order of one crossbar."""
    entries = [
        (0, 1, ALL, ALL, ALL, ALL, ALL, DEAD),
        (1, 0, ALL, 7, ALL, ALL, ALL, DEAD),
    ]
    matrices = [
        Matrix("a", 600, 600, "x", module="a"),
        Matrix("b", 100, 100, "y", module="b"),
        Matrix("c", 100, 100, "z", module="c"),
    ]
    start = replace(program_of(matrices), defects=Defects(np.array(entries, DEFECT)))
    mapped = compiled(start, TARGET)
    [last] = np.flatnonzero(mapped.placements["block"] == 3)
    place = mapped.placements[last]
    crossbar = (place["chip"], place["tile"], place["tier"])
    assert crossbar == (1, 0, 0)
    reach = 288  # of the 88 x 88 piece of a, and of b and c beside it
    order = np.array([(*crossbar, reach, reach)], ORDER)
    rows = np.delete(np.arange(512), 7)[:reach][::-1]
    lines = np.concatenate([rows, np.arange(reach) + 100]).astype(LINE)
    return replace(mapped, orders=order, lines=lines)


def set_line(index: int, value: int) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        lines = program.lines.copy()
        lines[index] = value
        return replace(program, lines=lines)

    return change


DAMAGED: list[tuple[Callable[[Program], Program], str]] = [
    (edit("placements", 0, tile=1), "1 blocks are on dead crossbars; the first is tier 0 of tile 1 "
     "of chip 0."),
    (edit("placements", 0, chip=1, tile=0), "1 blocks need more rows than their crossbar has left"),
    (lambda p: replace(p, lines=p.lines[:-1]), "the 1 orders do not add up to 575 lines"),
    (lambda p: replace(p, orders=np.repeat(p.orders, 2), lines=np.tile(p.lines, 2)),
     "a crossbar has two orders"),
    (edit("orders", 0, chip=0), "tier 0 of tile 0 of chip 0 has 288 rows, but its blocks 512"),
    (edit("orders", 0, chip=7), "tier 0 of tile 0 of chip 7 has an order, but no block"),
    (edit("orders", 0, rows=280, cols=296), "the order of tier 0 of tile 0 of chip 1 has 280 rows, "
     "but its blocks 288"),
    (set_line(0, 3), "the order of tier 0 of tile 0 of chip 1 has some of its rows twice"),
    (set_line(0, 7), "the order of tier 0 of tile 0 of chip 1 has rows that are dead or do not "
     "exist"),
    (set_line(-1, 512), "the order of tier 0 of tile 0 of chip 1 has cols that are dead or do not "
     "exist"),
    (lambda p: replace(p, defects=None), "1 crossbars have an order, but the program has no "
     "defects"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), DAMAGED)
def test_each_rule_about_defects_fires(
    damaged: Program, change: Callable[[Program], Program], sentence: str
) -> None:
    assert list(problems(damaged, TARGET)) == []
    assert any(sentence in found for found in problems(change(damaged), TARGET))


def test_more_chips_than_the_system_has(program: Program) -> None:
    small = load_target("ideal-512", {**TARGET.overrides, "chip.tiles": 2, "system.chips": 1})
    moved = edit("placements", 0, tile=0, chip=1)(program)
    assert any("on a chip outside 0 to 0" in found for found in problems(moved, small))


def test_the_pass_that_broke_a_rule_is_named(program: Program) -> None:
    def forgetful(before: Program, target: Target) -> Program:
        return replace(before, placements=before.placements[:-1])

    with pytest.raises(PassError, match="after the pass 'forgetful': 5 of 6 blocks are placed"):
        run_passes(program_of(program.matrices), TARGET, [*load_passes(), forgetful])
    with pytest.raises(PassError, match="the pass '<lambda>' returned str, not a Program"):
        run_passes(program, TARGET, [lambda p, t: "done"])  # type: ignore[list-item]
