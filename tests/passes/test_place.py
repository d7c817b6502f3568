"""Where tiles go, and what is said about it, against every other way on small cases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from descriptions import MESH, target_of
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from programs import compiled, llama, program_of, smollm2

from afmc.compiler.pipeline import run_passes
from afmc.errors import OptionError
from afmc.passes import Pass
from afmc.passes.allocate import Allocate
from afmc.passes.merge import Merge
from afmc.passes.place import Place
from afmc.passes.placing.cut_into_chips import cut_chain
from afmc.passes.placing.experts import longest_wait, samples_of, swapped
from afmc.passes.placing.network import byte_hops, distances, gilmore_lawler, placed, snake
from afmc.passes.placing.tiers import deal, spread, waiting
from afmc.passes.replicate import Replicate
from afmc.passes.split import Split
from afmc.program.flow import bytes_across, flow_of
from afmc.program.model import Matrix
from afmc.program.observed import Routing
from afmc.program.program import Program
from afmc.program.rules import problems
from afmc.targets import Target, load_target
from afmc.targets.tables import Links


def mapped(start: Program, target: Target, place: Place, rule: str = "exclusive") -> Program:
    """Everything on tiles, banks of experts too."""
    allocate = Allocate(rule)  # type: ignore[arg-type]
    return run_passes(replace(start, digital={}), target, [Merge(), Split(), allocate, place])


def stack(tiles: int, tiers: int, size: int = 64) -> Target:
    return load_target(
        "ideal-512",
        {
            "crossbar.rows": size,
            "crossbar.columns": size,
            "chip.tiles": tiles,
            "tile.tiers": tiers,
        },
    )


# chips


@settings(max_examples=examples(200))
@given(st.data())
def test_cuts_are_the_cheapest_of_all(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 11))
    sizes = [data.draw(st.integers(1, 6))]
    while sum(sizes) < total:
        sizes.append(data.draw(st.integers(1, 6)))
    price = st.lists(st.integers(0, 5), min_size=total + 1, max_size=total + 1)
    cost = np.asarray(data.draw(price), np.float64)

    cuts, found = cut_chain(cost, np.asarray(sizes))

    assert (cuts[0], cuts[-1]) == (0, total)
    assert (np.diff(cuts) >= 0).all() and (np.diff(cuts) <= sizes).all()
    assert cost[cuts[1:-1]].sum() == found
    assert found == min(
        cost[list(inner)].sum()
        for inner in itertools.combinations_with_replacement(range(total + 1), len(sizes) - 1)
        if all(
            0 <= b - a <= size
            for a, b, size in zip((0, *inner), (*inner, total), sizes, strict=True)
        )
    )


def test_equally_cheap_cuts_share_evenly() -> None:
    cuts, _ = cut_chain(np.zeros(11), np.asarray([8, 8]))
    assert cuts.tolist() == [0, 5, 10]


def test_what_crosses_a_cut() -> None:
    """a feeds b (8 values) and d (4 values, a sum of a and c); c reads b."""
    program = program_of(
        [
            Matrix("a", 4, 8, "in"),
            Matrix("b", 8, 6, "a", sources=("a",)),
            Matrix("c", 6, 4, "b", sources=("b",)),
            Matrix("d", 4, 4, "a+c", sources=("a", "c")),
        ]
    )
    flow = flow_of(run_passes(replace(program, digital={}), stack(9, 1), [Merge()]))
    assert flow.stage.tolist() == [0, 1, 2, 3]
    each = np.arange(4)
    # before b: b's 8 values, of which those for d are a part; before c: c's 6 and a's part of the
    # sum; before d: the sum
    assert bytes_across(flow, each, each, 4).tolist() == [0, 8, 10, 4, 0]


def test_readers_of_one_input_get_it_once() -> None:
    program = program_of(
        [
            Matrix("a", 4, 8, "in"),
            Matrix("b", 8, 6, "a", sources=("a",)),
            Matrix("c", 8, 6, "a", sources=("a",), input_range=2.0),  # so b and c stay apart
        ]
    )
    flow = flow_of(run_passes(replace(program, digital={}), stack(9, 1), [Merge()]))
    assert flow.stage.tolist() == [0, 1, 1]
    each = np.arange(3)
    assert bytes_across(flow, each, each, 3).tolist() == [0, 8, 8, 0]


def test_no_more_chips_and_no_more_traffic_than_in_order() -> None:
    bytes_of: dict[str, tuple[float, float]] = {}
    for name in ("afm-512-projected", "hermes-64", "pcm-34"):
        best = compiled(smollm2(), name).placing
        plain = compiled(smollm2(), name, {"place.strategy": "in_order"}).placing
        assert best is not None and plain is not None
        assert best.chips == plain.chips
        bytes_of[name] = (best.border_bytes, plain.border_bytes)
    assert bytes_of == {
        "afm-512-projected": (12480, 21504),
        "hermes-64": (58752, 68928),
        "pcm-34": (34368, 38208),
    }


# tiers


def test_a_stage_is_spread_first_and_the_load_evened_out() -> None:
    """Two tiles, four matrices in a chain, of 2, 1, 2 and 1 crossbars."""
    stage = np.asarray([0, 1, 2, 3])
    cost = waiting(stage, np.ones((4, 4)))
    bad = np.asarray([[2, 0], [1, 0], [0, 2], [0, 1]])
    good = spread(cost, bad, np.asarray([0, 0]), 10**6)
    assert good[0].tolist() == good[2].tolist() == [1, 1]
    assert good.sum(axis=0).tolist() == [3, 3] and good.sum(axis=1).tolist() == [2, 1, 2, 1]


def test_moves_to_free_tiers() -> None:
    cost = waiting(np.asarray([0]), np.ones((1, 1)))
    assert spread(cost, np.asarray([[4, 0, 0]]), np.asarray([0, 1, 9]), 10**6).tolist() == [
        [2, 1, 1]
    ]


def test_no_effort_changes_nothing() -> None:
    cost = waiting(np.asarray([0]), np.ones((1, 1)))
    assert spread(cost, np.asarray([[4, 0]]), np.asarray([9, 9]), 0).tolist() == [[4, 0]]


def test_dealing_goes_round() -> None:
    tile = deal(np.asarray([0, 0, 0, 0, 0]), np.asarray([[2, 2, 1]]), np.asarray([1, 0, 0, 0, 0]))
    assert tile.tolist() == [1, 2, 0, 1, 0]


def test_reads_of_a_token_reach_the_bound() -> None:
    program = compiled(smollm2(), load_target("ideal-512", {"chip.tiles": 10, "tile.tiers": 100}))
    placing = program.placing
    assert placing is not None
    # 4 + 4 + 12 + 6 blocks a layer on 10 tiles: 1 + 1 + 2 + 1 reads; 192 of lm_head: 20
    assert placing.reads == placing.reads_bound == 30 * 5 + 20
    assert (placing.load, placing.load_bound) == (98, 98)  # 972 on 10


def test_chips_that_hold_the_same_are_alike() -> None:
    """36 blocks in each of 8 layers, 2 layers a chip."""
    start = llama(layers=8, hidden=128, kv=64, wide=256, vocabulary=64)
    program = compiled(start, stack(6, 12), {"partition.digital": ("lm_head",)})
    placed_on = [
        program.placements[program.placements["chip"] == chip][["tile", "tier"]]
        for chip in range(4)
    ]
    assert program.placing is not None and program.placing.chips == 4
    assert all(np.array_equal(each, placed_on[0]) for each in placed_on[1:])


@settings(max_examples=examples(40))
@given(
    tiles=st.integers(1, 6),
    tiers=st.integers(1, 5),
    rule=st.sampled_from(["exclusive", "parallel"]),
    effort=st.integers(0, 1),
    layers=st.integers(1, 3),
)
def test_any_stack_keeps_the_rules(
    tiles: int, tiers: int, rule: str, effort: int, layers: int
) -> None:
    program = _moe(layers, experts=3, chosen=2)
    result = mapped(program, stack(tiles, tiers, 16), Place(effort=effort, tokens=16), rule)
    placing = result.placing
    assert placing is not None
    assert list(problems(result, stack(tiles, tiers, 16))) == []
    assert placing.reads >= placing.reads_bound - 1e-9
    again = mapped(program, stack(tiles, tiers, 16), Place(effort=effort, tokens=16), rule)
    assert again.placements.tobytes() == result.placements.tobytes()
    assert again.placing == placing


# experts


def _moe(layers: int, experts: int, chosen: int, wide: int = 32) -> Program:
    matrices: list[Matrix] = []
    last: tuple[str, ...] = ()
    for number in range(layers):
        at = f"layers.{number}"
        matrices += [
            Matrix(f"{at}.o", 32, 32, f"{at}.in", sources=last),
            Matrix(
                f"{at}.up",
                32,
                wide,
                f"{at}.up",
                copies=experts,
                per_token=chosen,
                module=f"{at}.experts",
                sources=(f"{at}.o",),
            ),
            Matrix(
                f"{at}.down",
                wide,
                32,
                f"{at}.down",
                copies=experts,
                per_token=chosen,
                module=f"{at}.experts",
                sources=(f"{at}.up",),
            ),
        ]
        last = (f"{at}.down",)
    return program_of(matrices)


def _pairs(tokens: int) -> Program:
    """Eight experts on four tiles; a token takes 0 and 4, or 1 and 5, and so on, which the order
    of experts puts on the same tiles."""
    first = np.random.default_rng(0).integers(4, size=tokens)
    experts = np.stack([first, first + 4], axis=1).astype(np.int32)
    routing = Routing("pairs", {"layers.0.experts": experts})
    return replace(_moe(1, experts=8, chosen=2, wide=16), routing=routing)


def test_experts_that_a_token_takes_together_are_kept_apart() -> None:
    result = mapped(_pairs(64), stack(4, 20, 16), Place())
    plain = mapped(_pairs(64), stack(4, 20, 16), Place(strategy="in_order"))
    assert result.placing is not None and plain.placing is not None
    found, before = result.placing.experts, plain.placing.experts
    assert found is not None and before is not None
    # up and down: 2 blocks of each of 2 experts on 4 tiles, each a read of its own
    assert (found.reads, found.bound, found.in_order) == (2, 2, 4)
    assert (before.reads, before.source, before.tokens) == (4, "pairs", 32)


def test_without_a_routing_it_says_what_it_assumes() -> None:
    placing = mapped(_moe(2, 4, 2), stack(3, 60, 16), Place(tokens=100, seed=3)).placing
    assert placing is not None and placing.experts is not None
    assert placing.experts.source == "assumed uniform, 100 tokens from seed 3"
    assert placing.experts.tokens == 50
    assert placing.experts.bound <= placing.experts.reads <= placing.experts.at_random


def test_swaps_keep_what_is_where_and_shorten_the_wait() -> None:
    samples, _ = samples_of(
        run_passes(replace(_pairs(64), digital={}), stack(4, 20, 16), [Merge()]), 2, 0
    )
    reads = np.repeat(np.eye(4, dtype=np.int64)[[0, 1, 2, 3, 0, 1, 2, 3]], 1, axis=0)
    better = swapped(samples[1], reads, np.zeros(4), 500, 0)
    assert longest_wait(samples[1].searched, reads, np.zeros(4)) == 2
    assert longest_wait(samples[1].searched, better, np.zeros(4)) == 1
    assert (better.sum(axis=0) == reads.sum(axis=0)).all()
    assert (better.sum(axis=1) == reads.sum(axis=1)).all()


# network

_mesh = Links(topology="mesh", columns=3, source="x", basis="assumed")
_bus = Links(topology="bus", source="x", basis="assumed")


def test_links_between_positions() -> None:
    assert distances(_mesh, 5).tolist()[0] == [0, 1, 2, 1, 2]
    assert distances(_bus, 3).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert snake(_mesh, 8).tolist() == [0, 1, 2, 5, 4, 3, 6, 7]


@settings(max_examples=examples(30))
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_positions_against_every_permutation(tiles: int, seed: int) -> None:
    between = np.random.default_rng(seed).integers(0, 9, (tiles, tiles)).astype(np.float64)
    between = np.triu(between, 1) + np.triu(between, 1).T
    apart = distances(_mesh, tiles)
    found = placed(between, apart, np.arange(tiles), 300)
    everything = itertools.permutations(range(tiles))
    best = min(byte_hops(between, apart, np.asarray(each)) for each in everything)
    assert sorted(found.tolist()) == list(range(tiles))
    assert byte_hops(between, apart, found) <= 1.1 * best
    assert gilmore_lawler(between, apart) <= best


def test_a_chain_of_tiles_follows_the_snake() -> None:
    """Six matrices of one block each, in a chain, on a grid of 3 x 2: five links are enough."""
    chain = program_of(
        [Matrix(str(i), 32, 32, f"in{i}", sources=(str(i - 1),) if i else ()) for i in range(6)]
    )
    target = target_of(
        MESH, ("tiles = 4\n", "tiles = 6\n"), ("columns = 2\n", "columns = 3\n")
    ).model_copy(update={"device": load_target("ideal-512").device})
    placing = mapped(chain, target, Place()).placing
    in_order = mapped(chain, target, Place(strategy="in_order")).placing
    assert placing is not None and in_order is not None
    assert placing.byte_hops == placing.byte_hops_bound == 5 * 32
    assert in_order.byte_hops == (2 + 3 + 2) * 32  # from the end of a row to the next one's begin


def test_a_mesh_is_used_better_than_in_order() -> None:
    best = compiled(smollm2(), "pcm-34").placing
    plain = compiled(smollm2(), "pcm-34", {"place.strategy": "in_order"}).placing
    assert best is not None and best.byte_hops is not None and best.byte_hops_bound is not None
    assert plain is not None and plain.byte_hops is not None
    assert best.byte_hops_bound < best.byte_hops < 0.75 * plain.byte_hops


@pytest.mark.parametrize("option", ["effort", "seed", "tokens"])
def test_bad_options(option: str) -> None:
    with pytest.raises(OptionError) as caught:
        compiled(smollm2(), "hermes-64", {f"place.{option}": -1})
    assert str(caught.value) == (
        "place.effort and place.seed must not be negative, and place.tokens be at least 2."
    )


def test_what_is_said_of_a_placement_is_checked() -> None:
    target = load_target("pcm-34")
    program = compiled(smollm2(), target)
    assert program.placing is not None
    wrong = replace(program.placing, chips=28, load=2.0, reads_bound=122.0, byte_hops=1.0)
    assert list(problems(replace(program, placing=wrong), target)) == [
        "the placement says 28 chips, but its table uses 29.",
        "the placement says 2.0 reads of the busiest tile, but it does 1.",
        "the bound of 122 reads is above the 121 of the placement.",
        f"the bound of {program.placing.byte_hops_bound:g} byte-hops is above the 1 of the "
        f"placement.",
    ]


def test_replicas_share_the_reads() -> None:
    """One block twice, on two tiers of one tile: a token reads one of them."""
    program = program_of([Matrix("a", 16, 16, "in"), Matrix("b", 16, 16, "a", sources=("a",))])
    passes: list[Pass] = [Merge(), Split(), Replicate(tiles=4, tokens=2), Allocate(), Place()]
    result = run_passes(replace(program, digital={}), stack(1, 4, 16), passes)
    assert len(result.blocks) == 4 and result.placing is not None
    assert (result.placing.load, result.placing.reads) == (2, 2)
