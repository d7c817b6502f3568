"""The time of a token, against the longest way through small graphs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from programs import compiled, program_of

from afmc.costs.schedule import LINKS, Duration, Durations, Resource, Schedule, schedule
from afmc.program.model import Matrix, Work
from afmc.program.program import Program
from afmc.targets import load_target

READ = 10.0


def chain(*sources: tuple[int, ...], size: int = 8) -> Program:
    """A matrix for each entry, with the numbers of the matrices that feed it."""
    return program_of(
        [
            Matrix(
                f"m{i}", size, size, f"x{i}", module=f"m{i}", sources=tuple(f"m{j}" for j in feeds)
            )
            for i, feeds in enumerate(sources)
        ]
    )


def placed(
    program: Program,
    tiers: int = 1,
    tiles: int = 64,
    settings: dict[str, object] | None = None,
) -> Program:
    figures = {"crossbar.rows": 8, "crossbar.columns": 8, "tile.tiers": tiers, "chip.tiles": tiles}
    return compiled(
        program, load_target("ideal-512", figures), {"merge.enabled": False, **(settings or {})}
    )


def timed(program: Program, ns: float = 1.0, **more: object) -> Schedule:
    """Every piece of work takes `ns`."""
    durations = Durations(
        read_ns=READ,
        after_read_ns=[0.0] * len(program.groups),
        between_chips_ns=[0.0] * len(program.groups),
        link_ns=[0.0] * len(program.groups),
        share=[1.0] * len(program.groups),
        work=[(Duration(f"{w.kind} after {w.after}", "digital", ns),) for w in program.work],
        waits={},
        digital={name: Duration(name, "digital", 100.0) for name in program.digital or {}},
        resources={},
    )
    return schedule(program, replace(durations, **more))  # type: ignore[arg-type]


def test_one_after_the_other() -> None:
    found = timed(placed(chain((), (0,), (1,))))
    assert (found.latency_ns, found.interval_ns, found.bottleneck) == (30.0, 10.0, "tiles")
    assert [step.name for step in found.critical_path] == ["m0", "m1", "m2"]


def test_work_between_matrices() -> None:
    program = replace(
        placed(chain((), (0,))),
        work=(Work("", "norm"), Work("m0", "activation"), Work("m0", "norm"), Work("m1", "norm")),
    )
    found = timed(program)
    assert found.latency_ns == 1 + 10 + 1 + 1 + 10 + 1
    assert [step.kind for step in found.critical_path] == [
        "digital", "tile", "digital", "digital", "tile", "digital"
    ]  # fmt: skip


def test_the_way_to_another_chip_is_a_step() -> None:
    program = replace(placed(chain((), (0,))), work=(Work("m0", "norm"),))
    found = timed(program, between_chips_ns=[7.0, 0.0])
    assert found.latency_ns == 10 + 7 + 1 + 10
    assert [step.name for step in found.critical_path] == [
        "m0", "links after m0", "norm after m0", "m1"
    ]  # fmt: skip


def test_work_on_several_results_waits_for_all() -> None:
    """Attention follows v in the order of execution, and needs q as well, which takes longer."""
    program = replace(
        placed(chain((), (), (0, 1))),
        work=(Work("m0", "norm"), Work("m0", "norm"), Work("m1", "attention")),
    )
    found = timed(program)
    assert found.latency_ns == 10 + 2 + 1 + 10
    assert [step.name for step in found.critical_path] == [
        "m0", "norm after m0", "norm after m0", "attention after m1", "m2"
    ]  # fmt: skip


def test_tiers_of_one_tile_are_read_one_after_the_other() -> None:
    side_by_side = chain((), (), (0, 1))
    program = placed(side_by_side, tiers=3, tiles=1)
    assert timed(program).latency_ns == 30.0
    assert timed(program).interval_ns == 30.0
    assert timed(placed(side_by_side)).latency_ns == 20.0
    path = timed(program).critical_path
    assert [step.name for step in path] == ["m0", "m1", "m2"]
    assert path[1].start_ns == path[0].end_ns


def test_blocks_of_one_matrix_on_one_tile_take_turns() -> None:
    one = chain((), size=16)  # four blocks
    assert timed(placed(one, tiers=4, tiles=1)).latency_ns == 40.0
    assert timed(placed(one, tiers=2, tiles=2)).latency_ns == 20.0
    assert timed(placed(one)).latency_ns == 10.0


def test_blocks_that_share_a_crossbar_take_turns_under_serial() -> None:
    program = chain((), (), (0, 1), size=4)
    rules: dict[str, object] = {"allocate.rule": "serial"}
    assert timed(placed(program, settings=rules)).latency_ns == 30.0
    assert timed(placed(program)).latency_ns == 20.0


def test_a_matrix_that_stays_digital_takes_its_own_time() -> None:
    program = placed(chain((), (0,)), settings={"partition.digital": ("m1",)})
    found = timed(program)
    assert found.latency_ns == 110.0
    assert [step.kind for step in found.critical_path] == ["tile", "digital"]


def test_experts_wait_as_long_as_is_known() -> None:
    bank = Matrix("e", 8, 8, "x", copies=4, per_token=2.0, module="experts")
    program = placed(program_of([bank]), tiers=4, tiles=1)
    assert timed(program).latency_ns == timed(program).interval_ns == 20.0  # two, on the one tile
    assert timed(program, waits={"experts": 2.5}).latency_ns == 25.0
    apart = placed(program_of([bank]), tiers=1, tiles=4)
    assert timed(apart).latency_ns == 10.0
    assert timed(apart, waits={"experts": 1.5}).latency_ns == 15.0
    assert timed(apart).interval_ns == 5.0


def test_what_few_tokens_read_is_busy_for_few() -> None:
    program = placed(chain((), (0,)), tiers=2, tiles=1)
    found = timed(program, share=[1.0, 0.25])
    assert (found.latency_ns, found.interval_ns) == (20.0, 12.5)


def test_the_busiest_resource_makes_the_interval() -> None:
    program = replace(placed(chain(())), work=(Work("m0", "norm"), Work("m0", "attention")))
    work = [
        (Duration("a norm", "digital", 12.0, "norm", (("units", 12.0),)),),
        (Duration("attention", "memory", 8.0, "attention", (("units", 3.0), ("memory", 8.0))),),
    ]
    shared = {"units": Resource("digital"), "memory": Resource("memory")}
    found = timed(program, work=work, resources=shared)
    assert (found.interval_ns, found.bottleneck) == (15.0, "units")
    assert [(each.name, each.ns) for each in found.busy] == [
        ("units", 15.0), ("tiles", 10.0), ("memory", 8.0)
    ]  # fmt: skip
    two = timed(program, work=work, resources={**shared, "units": Resource("digital", 2)})
    assert (two.interval_ns, two.bottleneck) == (10.0, "tiles")


def test_matrices_that_read_the_same_memory_share_it() -> None:
    """q, k and v stay digital: each reads its weights after those of the one before."""
    program = placed(
        chain((), (), (), (0, 1, 2)), settings={"partition.digital": ("m0", "m1", "m2")}
    )
    digital = {
        name: Duration(name, "memory", 100.0, holds=(("units", 30.0), ("memory", 100.0)))
        for name in ("m0", "m1", "m2")
    }
    shared = {"units": Resource("digital", 2), "memory": Resource("memory")}
    found = timed(program, digital=digital, resources=shared)
    assert (found.latency_ns, found.interval_ns, found.bottleneck) == (310.0, 300.0, "memory")
    assert found.busy[0].matrices_ns == 300.0
    assert [step.name for step in found.critical_path] == ["m0", "m1", "m2", "m3"]
    computing = {
        name: replace(each, ns=100.0, kind="digital", holds=(("units", 100.0), ("memory", 30.0)))
        for name, each in digital.items()
    }
    found = timed(program, digital=computing, resources=shared)
    assert (found.latency_ns, found.bottleneck) == (210.0, "units")  # two units for the three


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Program, list[float]]:
    """Any dataflow of up to eight matrices, with work after some, and that work's time."""
    count = draw(st.integers(1, 8))
    sources = [
        tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else ()
        for i in range(count)
    ]
    program = chain(*sources)
    after = draw(st.lists(st.integers(0, count - 1), max_size=6))
    work = tuple(Work(f"m{i}", "norm") for i in sorted(after))
    return replace(program, work=work), draw(
        st.lists(st.floats(0, 20), min_size=len(work), max_size=len(work))
    )


@settings(max_examples=examples(60))
@given(graphs(), st.integers(1, 4), st.integers(1, 3))
def test_steps_keep_to_dataflow_and_tiles(
    case: tuple[Program, list[float]], tiers: int, tiles: int
) -> None:
    start, times = case
    program = placed(start, tiers=tiers, tiles=tiles)
    work = [(Duration(f"work {i}", "digital", ns),) for i, ns in enumerate(times)]
    found = timed(program, work=work)
    steps = {step.name: step for step in found.steps}
    for matrix in program.matrices:
        for source in matrix.sources:
            done = [steps[source].end_ns] + [
                steps[f"work {i}"].end_ns
                for i, each in enumerate(program.work)
                if each.after == source
            ]
            assert max(done) <= steps[matrix.name].start_ns
    # Reads of one tile do not overlap.
    where = {
        program.groups[int(program.blocks[p["block"]]["group"])].name: (
            int(p["chip"]),
            int(p["tile"]),
        )
        for p in program.placements
    }
    by_tile: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for name, tile in where.items():
        by_tile.setdefault(tile, []).append((steps[name].start_ns, steps[name].end_ns))
    for spans in by_tile.values():
        ordered = sorted(spans)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))
    assert found.interval_ns == READ * max(map(len, by_tile.values()))
    # The critical path is without gaps, from the beginning to the end.
    path = found.critical_path
    assert path[0].start_ns == 0 and path[-1].end_ns == found.latency_ns
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(path))
    assert np.isclose(sum(step.ns for step in path), found.latency_ns)


@settings(max_examples=examples(60))
@given(graphs(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 7))
def test_the_critical_path_is_the_time_of_a_token(
    case: tuple[Program, list[float]], tiers: int, tiles: int, after: int
) -> None:
    """With several blocks a matrix and a way from the tiles, during which these are free again."""
    start, times = case
    wide = [replace(m, rows=16, cols=20) for m in start.matrices]
    start = replace(program_of(wide), work=start.work)
    program = placed(start, tiers=tiers, tiles=tiles)
    work = [(Duration(f"work {i}", "digital", ns),) for i, ns in enumerate(times)]
    found = timed(program, work=work, after_read_ns=[float(after)] * len(program.groups))
    path = found.critical_path
    assert path[0].start_ns == 0 and path[-1].end_ns == found.latency_ns
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(path))
    assert all(step.ns >= 0 for step in path)


def test_a_matrix_that_is_used_again_is_no_circle() -> None:
    first = Matrix("m0", 8, 8, "x,y", module="m0", sources=("m0", "m1"), per_token=2.0)
    second = Matrix("m1", 8, 8, "z", module="m1", sources=("m0",))
    found = timed(placed(program_of([first, second])))
    assert found.latency_ns == pytest.approx(30.0)  # its two uses, and the other's one


def windows(uses: float) -> Program:
    """A convolution with so many windows, and a matrix after it."""
    first = Matrix("m0", 8, 8, "x", module="m0", per_token=uses)
    second = Matrix("m1", 8, 8, "y", module="m1", sources=("m0",))
    return program_of([first, second])


@pytest.mark.parametrize(
    ("uses", "tiles", "turns"), [(100, None, 100), (100, 5, 25), (100, 4, 34), (3, 5, 1), (7, 5, 2)]
)
def test_windows_are_read_one_after_the_other_or_by_replicas(
    uses: float, tiles: int | None, turns: int
) -> None:
    program = placed(windows(uses), settings={"replicate.tiles": tiles} if tiles else {})
    replicas = max(program.groups[0].replicas, default=1)
    found = timed(program)
    assert found.latency_ns == pytest.approx((turns + 1) * READ)
    assert found.interval_ns == pytest.approx(max(1, uses / replicas) * READ)
    assert program.replication is None or program.replication.turns == turns


def test_replicas_on_tiers_of_one_tile_take_turns() -> None:
    program = placed(windows(8), tiers=4, tiles=1, settings={"replicate.tiles": 3})
    found = timed(program)
    assert program.groups[0].replicas == (2,)
    assert found.interval_ns == pytest.approx(9 * READ)
    assert found.latency_ns == pytest.approx(9 * READ)


KINDS = st.sampled_from(["units", "memory", "links"])


@settings(max_examples=examples(100))
@given(st.data(), graphs(), st.integers(1, 3), st.integers(1, 3))
def test_a_token_never_takes_less_than_the_busiest_resource_needs(
    data: st.DataObject, case: tuple[Program, list[float]], tiers: int, tiles: int
) -> None:
    """Whatever is on tiles, stays digital, is a bank of experts or held several times."""
    start, times = case
    matrices = [
        replace(each, copies=copies, per_token=min(float(copies), 2.0)) if copies > 1 else each
        for each in start.matrices
        for copies in [data.draw(st.sampled_from([1, 1, 1, 4]))]
    ]
    names = data.draw(st.sets(st.sampled_from(["none", *(m.name for m in matrices[1:])])))
    program = placed(
        replace(program_of(matrices), work=start.work),
        tiers=tiers,
        tiles=tiles,
        settings={
            "partition.digital": tuple(names - {"none"}),
            "replicate.tiles": data.draw(st.sampled_from([None, 20])),
        },
    )
    counts = st.integers(1, 3)
    shared = {name: Resource("digital", data.draw(counts)) for name in ("units", "memory", "links")}

    def held(name: str, ns: float) -> Duration:
        holds = {kind: data.draw(st.floats(0, ns)) for kind in data.draw(st.sets(KINDS))}
        return Duration(name, "digital", ns, holds=tuple(holds.items()))

    count = len(program.groups)
    found = timed(
        program,
        work=[(held(f"work {i}", ns),) for i, ns in enumerate(times)],
        digital={name: held(name, data.draw(st.floats(0, 50))) for name in program.digital or {}},
        between_chips_ns=[9.0] * count,
        link_ns=[data.draw(st.floats(0, 9))] * count,
        resources={**shared, LINKS: Resource("link", data.draw(counts))},
    )
    assert found.latency_ns >= found.interval_ns * (1 - 1e-12)
    assert found.interval_ns == found.busy[0].ns == max(each.ns for each in found.busy)
    path = found.critical_path
    assert path[0].start_ns == 0 and path[-1].end_ns == found.latency_ns
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(path))
