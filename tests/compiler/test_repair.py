"""Stuck cells, permuted and made up for: what the compiler says is what the tiles then hold."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer
from torch import nn

import afmc
from afmc import CompiledModel, load_target
from afmc.compiler.activations import mean_squares
from afmc.compiler.options import parse_repair
from afmc.compiler.repair import _Faulty, _Weights, repair
from afmc.data.text import Text
from afmc.data.tokens import tokenise, windows_of
from afmc.errors import OptionError
from afmc.frontends.in_memory import from_module
from afmc.hardware.defect_map import WORKS, DefectMap
from afmc.hardware.defects import ALL, DEAD, DEFECT, ON, Defects
from afmc.program.rules import problems
from afmc.simulator.replicas import replicas_of
from afmc.simulator.row_slice import RowSlice

SMALL = {"crossbar.rows": 20, "crossbar.columns": 24}
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)
STUCK = "cells_off=0.03,cells_on=0.03,seed=3"


class Pair(nn.Module):
    """Two layers that read the same, so that they are merged, and one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(30, 9, bias=False), nn.Linear(30, 26, bias=False)
        self.last = nn.Linear(26, 7, bias=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = nn.functional.one_hot(input_ids, 30).float()
        return self.last(self.two(x)) * self.one(x).sum()


def module() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Pair().eval()


@cache
def as_it_is(defects: str, **figures: Any) -> CompiledModel:
    """Without any repair."""
    overrides = {key.replace("__", "."): value for key, value in figures.items()}
    target = load_target("ideal-512", {**SMALL, **overrides})
    return afmc.compile(module(), target, defects=defects or None, repair="none", level=0)


def compiled(defects: str = STUCK, methods: str = "permute,pair", **figures: Any) -> CompiledModel:
    return repaired(as_it_is(defects, **figures), methods)


def repaired(model: CompiledModel, methods: str, defects: Defects | None = None) -> CompiledModel:
    """This mapping, for another map where one is given."""
    program = replace(model.program, defects=defects or model.program.defects)
    weights = {name: layer.ideal for name, layer in model.tiles.items()}
    program = repair(program, model.target, weights, parse_repair(methods))
    return CompiledModel(program, model.target, from_module(model.digital, model.tokenizer))


@cache
def llama(methods: str = "permute,pair") -> CompiledModel:
    return afmc.compile(
        tiny_model("llama"),
        load_target("ideal-512", SMALL),
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        defects="cells_off=0.1,cells_on=0.1,seed=2",
        repair=methods,
        level=0,
    )


def measured(model: CompiledModel, squares: dict[str, torch.Tensor] | None = None) -> float:
    """Mean over the matrices of the squared error of what they give, as a share of its square,
    for inputs of these mean squares."""
    model.write()
    shares = []
    for matrix in model.program.analog:
        [tile] = replicas_of(model.tiles[matrix.name])
        rows = [part for part in tile.slices if isinstance(part, RowSlice)]
        held = torch.cat([part.get_buffer("cells0") for part in rows], dim=1)
        size = torch.ones(matrix.rows) if squares is None else squares[matrix.input]
        error = ((held - tile.ideal).double().square() * size).sum()
        shares.append(float(error / (tile.ideal.double().square() * size).sum()))
    return sum(shares) / len(shares)


HARDWARE: list[dict[str, Any]] = [
    {},
    {"device__devices_per_polarity": 2},
    {"device__devices_per_polarity": 3, "device__significance": 3.0, "device__g_min_uS": 0.05},
    {"device__encoding": "offset", "device__devices_per_polarity": 2},
    {"device__scale": "tile", "tile__co_location": "parallel"},
]


@pytest.mark.parametrize("figures", HARDWARE, ids=str)
@pytest.mark.parametrize("methods", ["none", "permute", "pair", "permute,pair"])
def test_the_error_that_is_said_is_the_error_that_is(methods: str, figures: dict[str, Any]) -> None:
    defects = STUCK + ("" if "tile__co_location" in figures else ",rows=0.01,columns=0.01")
    model = compiled(defects, methods, **figures)
    found = model.program.repair
    assert found is not None and found.devices > 30 and found.inputs == ""
    assert found.error == pytest.approx(measured(model), rel=1e-4, abs=1e-9)
    assert found.error_without == pytest.approx(measured(as_it_is(defects, **figures)), rel=1e-4)
    if methods == "none":
        assert found.error == found.error_without and not len(model.program.orders)
    elif "permute" in methods or figures.get("device__encoding") != "offset":
        assert found.error < (0.5 if "permute" in methods else 0.9) * found.error_without
    assert list(problems(model.program, model.target)) == []


def test_more_repair_leaves_less() -> None:
    error = {m: measured(compiled(methods=m)) for m in ("none", "permute", "pair", "permute,pair")}
    assert error["permute"] < error["none"] and error["pair"] < error["none"]
    assert error["permute,pair"] < 0.1 * min(error["permute"], error["pair"])


def test_one_stuck_cell_goes_where_its_state_is_wanted() -> None:
    """Only the largest weight of a column can be on a cell that stays at the largest state."""
    target = load_target("ideal-512", {"crossbar.rows": 2, "crossbar.columns": 2})
    wanted = target.device.state_max * np.array([[0.2, -1.0], [1.0, 0.4]], np.float32)
    states = np.full((2, 2, 2), WORKS, np.int8)
    states[0, 0, 0] = ON
    live = (np.arange(2, dtype=np.int32), np.arange(2, dtype=np.int32))
    solved = _Faulty(live, ["+0", "-0"], states, target).solve(
        _Weights(wanted, np.ones_like(wanted)), ("permute",)
    )
    assert solved.devices == 1 and solved.without > 1 and solved.error == 0
    assert solved.order is not None and solved.order[0].tolist() == [1, 0]

    model = as_it_is("")
    place = model.program.placements[0]
    where = (place["chip"], place["tile"], place["tier"], 2, 3, 0, ALL, ON)
    stuck = Defects(np.array([where], DEFECT))
    without, permuted = (repaired(model, methods, stuck) for methods in ("none", "permute"))
    assert measured(permuted) < 0.01 * measured(without)
    assert len(permuted.program.orders) == 1


def test_no_order_of_rows_is_better(generator: torch.Generator) -> None:
    """Against every order of the rows of a block of 5 x 4 on 6 x 4."""
    target = load_target("ideal-512", {"crossbar.rows": 6, "crossbar.columns": 4})
    high = target.device.state_max
    for _ in range(5):
        wanted = (high * (2 * torch.rand(5, 4, generator=generator) - 1)).numpy()
        factor = torch.rand(5, 4, generator=generator).numpy()
        lot = torch.rand(2, 6, 4, generator=generator).numpy()
        states = np.where(lot < 0.15, 0, np.where(lot > 0.85, 1, -1)).astype(np.int8)
        live = (np.arange(6, dtype=np.int32), np.arange(4, dtype=np.int32))
        faulty = _Faulty(live, ["+0", "-0"], states, target)
        weights = _Weights(wanted, factor)
        for methods in (("permute",), ("permute", "pair")):
            found = faulty.solve(weights, methods)
            best = min(
                faulty.with_order(weights, methods, (np.asarray(rows, np.int32), live[1])).error
                for rows in permutations(range(6), 5)
            )
            assert found.error <= best * (1 + 1e-5) + 1e-9
            assert found.order is not None and len(set(found.order[0].tolist())) == 5


def test_errors_count_by_the_size_of_their_input() -> None:
    """With text, rows whose inputs are large get the better lines."""
    model = llama()
    alike = repaired(model, "permute,pair")
    said = [each.program.repair for each in (model, alike)]
    assert [each.inputs for each in said if each is not None] == ["letters", ""]
    readers = {matrix.input: matrix.module for matrix in model.program.analog}
    windows = list(windows_of(tokenise(model.tokenizer, TEXT.content, 1024), 64))
    squares = mean_squares(model.digital, readers, windows)
    by_input = [measured(each, squares) for each in (model, alike)]
    assert said[0] is not None and by_input[0] == pytest.approx(said[0].error, rel=1e-4)
    assert by_input[0] < by_input[1]
    assert measured(model) > measured(alike)


def test_orders_are_the_same_every_time() -> None:
    one, two = compiled().program, compiled().program
    assert one is not two and len(one.orders) > 3
    assert one.orders.tobytes() == two.orders.tobytes()
    assert one.lines.tobytes() == two.lines.tobytes()


def test_dead_lines_are_in_no_order() -> None:
    model = compiled(STUCK + ",rows=0.05,columns=0.05")
    assert model.program.defects is not None
    broken = DefectMap(model.program.defects, model.target)
    assert len(model.program.orders) > 3
    for crossbar, order in model.program.order_of.items():
        for lines, alive in zip(order, broken.live_lines(crossbar), strict=True):
            assert set(lines.tolist()) <= set(alive.tolist())


def test_without_stuck_cells_there_is_nothing_to_repair() -> None:
    for defects in ("", "tiles=0.2,rows=0.02,seed=1"):
        program = compiled(defects).program
        assert program.repair is None and not len(program.orders) and not len(program.lines)


def test_validate_and_run_use_the_map() -> None:
    broken, better = llama("none"), llama()
    assert broken.program.placements.tobytes() == better.program.placements.tobytes()
    options: dict[str, Any] = {"tokens": 64, "window": 32, "instances": 1}
    plain, mended = (model.validate(TEXT, **options) for model in (broken, better))
    assert mended.kl_divergence.mean < 0.05 * plain.kl_divergence.mean
    assert plain.defects == "cells_off=0.1,cells_on=0.1,seed=2"
    # Faults that come up later come besides, and are not made up for.
    more = better.validate(TEXT, defects="cells_on=0.05,seed=9", **options)
    assert more.kl_divergence.mean > 10 * mended.kl_divergence.mean
    assert more.defects == "cells_off=0.1,cells_on=0.1,seed=2 + cells_on=0.05,seed=9"
    assert "cells stick besides by the random map cells_on=0.05,seed=9" in more.notes
    quiet = broken.without_noise().validate(TEXT, **options)
    assert quiet.kl_divergence.mean == plain.kl_divergence.mean  # the map is no noise
    assert broken.run("the", max_tokens=2) is not None


def test_a_map_that_does_not_go_with_the_mapping() -> None:
    model = llama("none")
    place = model.program.placements[5]
    where = (place["chip"], place["tile"], ALL, 0, ALL, ALL, ALL, DEAD)
    gone = Defects(np.array([where], DEFECT), name="map.csv")
    with pytest.raises(OptionError) as caught:
        model.validate(TEXT, defects=gone, tokens=64, window=32)
    assert str(caught.value) == (
        f"by map.csv a block is on something dead (on tier 0 of tile {place['tile']} of chip "
        f"{place['chip']}): compile again with this map and --keep."
    )
    nowhere = Defects(np.array([(900, 0, 0, 0, 0, 0, 0, ON)], DEFECT), name="map.csv")
    with pytest.raises(OptionError) as caught:
        model.validate(TEXT, defects=nowhere, tokens=64, window=32)
    assert str(caught.value) == (
        "none of the 1 lines of map.csv is about a cell that holds a weight of this mapping."
    )


def test_methods() -> None:
    assert parse_repair("pair,permute") == ("permute", "pair") == parse_repair(["pair", "permute"])
    assert parse_repair("none") == () == parse_repair(())
    for given, sentence in {
        "permut": "--repair permut: 'permut' is not one of permute, pair, and 'none' stands alone. "
        "Did you mean 'permute'?",
        "none,pair": "--repair none,pair: 'none' is not one of permute, pair, and 'none' stands "
        "alone.",
    }.items():
        with pytest.raises(OptionError) as caught:
            parse_repair(given)
        assert str(caught.value) == sentence
