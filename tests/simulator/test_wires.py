"""Nodal analysis against networks solved by hand, the closed form against nodal analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from torch import Tensor

from afmc.simulator import nodal
from afmc.simulator.ir_drop import behind_wires
from afmc.simulator.wire_loss import far_wires
from afmc.simulator.wires import Wires, effective, effective_pair, wire_ohm
from afmc.targets import load_target

Solver = Callable[[Tensor, Wires], Tensor]


def filled(g_uS: Tensor, row_ohm: float, column_ohm: float, both_ends: bool = False) -> Wires:
    """Wires of a crossbar that has just these cells."""
    columns, rows = g_uS.shape
    return Wires(rows, columns, row_ohm, column_ohm, both_ends)


def equal(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.full((columns, rows), 5.0, dtype=torch.float64)


def uniform(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    return 20 * torch.rand(columns, rows, generator=generator, dtype=torch.float64)


def sparse(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    g_uS = uniform(columns, rows, generator)
    return g_uS * (torch.rand(columns, rows, generator=generator) < 0.1)


def pair(
    weights: int, rows: int, generator: torch.Generator, g_min_uS: float, g_max_uS: float
) -> tuple[Tensor, Tensor]:
    """Normal weights, each column scaled to its largest one."""
    weight = torch.randn(weights, rows, generator=generator, dtype=torch.float64)
    weight *= (g_max_uS - g_min_uS) / weight.abs().amax(dim=1, keepdim=True)
    return weight.clamp(min=0) + g_min_uS, (-weight).clamp(min=0) + g_min_uS


def pcm(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.cat(pair(columns // 2, rows, generator, 0.0, 20.7))


def rram(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.cat(pair(columns // 2, rows, generator, 9.0, 88.0))


def error(got: Tensor, exact: Tensor, g_uS: Tensor) -> float:
    """Largest of a column with all rows on, relative to the largest current without wires."""
    return float((got - exact).sum(dim=1).abs().max() / g_uS.sum(dim=1).max())


# By hand.

BOTH_SOLVERS = pytest.mark.parametrize("solve", [nodal.effective, effective])


@BOTH_SOLVERS
@pytest.mark.parametrize("both_ends", [False, True])
def test_without_resistance_nothing_is_lost(
    solve: Solver, both_ends: bool, generator: torch.Generator
) -> None:
    g_uS = uniform(5, 7, generator)
    torch.testing.assert_close(solve(g_uS, filled(g_uS, 0, 0, both_ends)), g_uS)


@BOTH_SOLVERS
def test_one_cell_is_three_resistors_in_series(solve: Solver) -> None:
    """10 kohm of cell, 30 ohm of row, 20 ohm of column: half of that with two ways out."""
    g_uS = torch.tensor([[100.0]], dtype=torch.float64)
    assert solve(g_uS, filled(g_uS, 30, 20)).item() == pytest.approx(1e6 / 10050, rel=1e-7)
    assert solve(g_uS, filled(g_uS, 30, 20, True)).item() == pytest.approx(1e6 / 10040, rel=1e-7)


def test_nodal_analysis_of_a_column_of_two_cells() -> None:
    """Cells and their rows in series, then a ladder of two rungs."""
    row, column = 2e3, 1e3
    g_uS = torch.tensor([[100.0, 50.0]], dtype=torch.float64)
    near = 1 / (row + 2e4)
    far = 1 / (row + 1e4 + column)  # up to the node of the near cell
    at_end = 1 / (1 + column * (far + near))
    expected = torch.tensor([[far * at_end * 1e6, near * at_end * 1e6]], dtype=torch.float64)
    torch.testing.assert_close(nodal.effective(g_uS, filled(g_uS, row, column)), expected)


def test_nodal_analysis_of_a_column_of_two_cells_read_at_both_ends() -> None:
    """Equal cells: no current flows between them, each has its end."""
    g_uS = torch.tensor([[100.0, 100.0]], dtype=torch.float64)
    expected = torch.full((1, 2), 1e6 / (2e3 + 1e4 + 1e3), dtype=torch.float64)
    together = nodal.effective(g_uS, filled(g_uS, 2e3, 1e3, both_ends=True)).sum()
    torch.testing.assert_close(together, expected.sum())


def test_nodal_analysis_of_a_row_of_two_cells() -> None:
    row, column = 1e3, 2e3
    g_uS = torch.tensor([[100.0], [50.0]], dtype=torch.float64)
    near = 1 / (1e4 + column)
    far = 1 / (row + 2e4 + column)  # from the node of the near cell
    at_start = 1 / (1 + row * (far + near))
    expected = torch.tensor([[near * at_start * 1e6], [far * at_start * 1e6]], dtype=torch.float64)
    torch.testing.assert_close(nodal.effective(g_uS, filled(g_uS, row, column)), expected)


def test_current_takes_detours() -> None:
    """From row 1 by column 0 and row 0 to column 1, past a cell that does not conduct."""
    g_uS = torch.tensor([[100.0, 100.0], [100.0, 0.0]], dtype=torch.float64)
    exact = nodal.effective(g_uS, filled(g_uS, 100, 100))[1, 1]
    # Of 1 V on row 1, 10 mV are left at column 0 and, of those, 10 mV / V where row 0 begins.
    assert float(exact) == pytest.approx(100 * 0.01 * 0.01, rel=0.1)
    got = effective(g_uS, filled(g_uS, 100, 100))[1, 1]
    assert float(got) == pytest.approx(float(exact), rel=0.3)
    for wires in (filled(g_uS, 100, 0), filled(g_uS, 0, 100)):
        assert nodal.effective(g_uS, wires)[1, 1] == effective(g_uS, wires)[1, 1] == 0


@pytest.mark.parametrize(("rows", "per_cent"), [(256, 2.467), (512, 9.850)])
def test_first_order_of_a_uniform_column(rows: int, per_cent: float) -> None:
    """0.15 ohm x 5 uS x N (N + 1) / 2 at the farthest cell; a quarter of it in the middle of a
    column that is read at both ends. Seen at a thousandth of the resistance."""
    g_uS = torch.full((1, rows), 5.0, dtype=torch.float64)
    for both_ends, cell, share in ((False, 0, 1), (True, rows // 2, 1 / 4)):
        lost = 1 - effective(g_uS, filled(g_uS, 0, 0.15e-3, both_ends))[0, cell] / 5
        assert float(lost) * 1e5 == pytest.approx(per_cent * share, rel=5e-3)


@pytest.mark.parametrize("rows", [256, 512])
def test_a_long_uniform_column(rows: int) -> None:
    """What is left at distance n from the far end is cosh(n k) / cosh(N k) if pitches are small."""
    g_uS = torch.full((1, rows), 5.0, dtype=torch.float64)
    exact = nodal.effective(g_uS, filled(g_uS, 0, 0.15))
    k = (0.15 * 5e-6) ** 0.5
    from_far_end = torch.arange(rows) + 0.5
    expected = 5 * torch.cosh(from_far_end * k) / torch.cosh(torch.tensor((rows + 0.5) * k))
    torch.testing.assert_close(exact[0], expected.double(), rtol=2e-4, atol=0)
    got = effective(g_uS, filled(g_uS, 0, 0.15))
    torch.testing.assert_close(got, exact, rtol=3e-4, atol=0)


def test_copper() -> None:
    assert wire_ohm(0.35, 25.0) == 0.35
    assert wire_ohm(0.35, 85.0) == pytest.approx(0.35 * 1.234)


# The closed form against nodal analysis.


@pytest.mark.parametrize("both_ends", [False, True])
@pytest.mark.parametrize("cells", [equal, uniform, sparse, pcm, rram])
@pytest.mark.parametrize(("ohm", "bound"), [(0.15, 5e-6), (0.35, 3e-5), (4.0, 3e-3)])
def test_crossbars(
    cells: Callable[[int, int, torch.Generator], Tensor],
    ohm: float,
    bound: float,
    both_ends: bool,
    generator: torch.Generator,
) -> None:
    g_uS = cells(64, 64, generator)
    wires = filled(g_uS, ohm, ohm, both_ends)
    exact, got = nodal.effective(g_uS, wires), effective(g_uS, wires)
    assert error(got, exact, g_uS) < bound
    assert error(got, exact, g_uS) < error(g_uS, exact, g_uS) / 100


@pytest.mark.parametrize("both_ends", [False, True])
@pytest.mark.parametrize(("row_ohm", "column_ohm"), [(2.0, 0.0), (0.0, 2.0), (1.0, 3.0)])
@pytest.mark.parametrize(("columns", "rows"), [(96, 32), (32, 96)])
def test_oblong_crossbars(
    columns: int,
    rows: int,
    row_ohm: float,
    column_ohm: float,
    both_ends: bool,
    generator: torch.Generator,
) -> None:
    g_uS = uniform(columns, rows, generator)
    wires = filled(g_uS, row_ohm, column_ohm, both_ends)
    exact, got = nodal.effective(g_uS, wires), effective(g_uS, wires)
    assert error(got, exact, g_uS) < 4e-4


@pytest.mark.parametrize("both_ends", [False, True])
@pytest.mark.parametrize(("idle_uS", "selector"), [(0.0, False), (9.0, False), (9.0, True)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (32, 0), (0, 48), (15, 30), (32, 48)])
def test_a_block_among_idle_cells(
    row: int,
    column: int,
    idle_uS: float,
    selector: bool,
    both_ends: bool,
    generator: torch.Generator,
) -> None:
    g_uS = uniform(16, 32, generator)
    wires = Wires(64, 64, 2.0, 3.0, both_ends, idle_uS, selector)
    exact = nodal.effective(g_uS, wires, row=row, column=column)
    got = effective(g_uS, wires, row=row, column=column)
    assert error(got, exact, g_uS) < 2e-4


def test_nodal_analysis_of_a_block_is_that_of_its_crossbar(generator: torch.Generator) -> None:
    g_uS = uniform(6, 5, generator)
    crossbar = torch.full((12, 9), 3.0, dtype=torch.float64)
    crossbar[4:10, 2:7] = g_uS
    whole = nodal.effective(crossbar, filled(crossbar, 50, 70))
    block = nodal.effective(g_uS, Wires(9, 12, 50, 70, idle_uS=3.0), row=2, column=4)
    torch.testing.assert_close(block, whole[4:10, 2:7])


def test_nodal_analysis_with_selectors_leaves_out_the_other_rows(
    generator: torch.Generator,
) -> None:
    g_uS = uniform(6, 5, generator)
    crossbar = torch.zeros(12, 9, dtype=torch.float64)
    crossbar[:, 2:7] = 3.0  # beside the block
    crossbar[4:10, 2:7] = g_uS
    whole = nodal.effective(crossbar, filled(crossbar, 50, 70))
    wires = Wires(9, 12, 50, 70, idle_uS=3.0, selector=True)
    block = nodal.effective(g_uS, wires, row=2, column=4)
    torch.testing.assert_close(block, whole[4:10, 2:7])


@pytest.mark.parametrize("selector", ["transistor", "none"])
def test_with_selectors_each_group_of_rows_has_the_wires_to_itself(
    selector: str, generator: torch.Generator
) -> None:
    target = load_target(
        "hermes-64",
        {
            "crossbar.rows": 32,
            "crossbar.columns": 8,
            "crossbar.active_rows": 8,
            "crossbar.selector": selector,
            "crossbar.wire_row_ohm": 5.0,
            "crossbar.wire_column_ohm": 8.0,
            "tile.read_latency_ns": None,
        },
    )
    plus, minus = pair(8, 30, generator, 2.0, 88.0)
    got = behind_wires(plus, minus, target, row=1, column=0, temperature_C=25.0)
    cells = torch.stack((plus, minus), dim=1).reshape(16, 30)
    exact = torch.empty_like(cells)
    for first in range(0, 30, 8) if selector == "transistor" else (0,):
        rows = slice(first, first + 8 if selector == "transistor" else 30)
        wires = Wires(32, 16, 5.0, 8.0, selector=selector == "transistor")
        exact[:, rows] = nodal.effective(cells[:, rows], wires, row=1 + first)
    assert error(got[0], exact[0::2], plus) < 2e-3
    assert error(got[1], exact[1::2], minus) < 2e-3
    assert error(plus, exact[0::2], plus) > 0.01  # what the wires take


@pytest.mark.parametrize("solve", [nodal.effective, effective])
def test_a_block_must_fit(solve: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        solve(torch.ones(4, 4), Wires(8, 8, 1, 1), row=5)


def test_a_pair_lies_side_by_side(generator: torch.Generator) -> None:
    plus, minus = pair(8, 24, generator, 9.0, 88.0)
    wires = Wires(32, 16, 3.0, 2.0, idle_uS=9.0)
    cells = torch.stack((plus, minus), dim=1).reshape(16, 24)
    exact = nodal.effective(cells, replace(wires, columns=32), row=3, column=10)
    got = effective_pair(plus, minus, wires, row=3, column=5)
    assert error(got[0], exact[0::2], plus) < 2e-4
    assert error(got[1], exact[1::2], minus) < 2e-4


@pytest.mark.parametrize("both_ends", [False, True])
@pytest.mark.parametrize("cells", [equal, uniform, sparse, pcm, rram])
def test_half_the_resistance_has_a_quarter_of_the_error(
    cells: Callable[[int, int, torch.Generator], Tensor],
    both_ends: bool,
    generator: torch.Generator,
) -> None:
    """Exact to first order. Where the second is exact as well, less is left."""
    g_uS = cells(32, 32, generator)
    errors = []
    for ohm in (4.0, 2.0, 1.0):
        wires = filled(g_uS, ohm, ohm, both_ends)
        errors.append(float((nodal.effective(g_uS, wires) - effective(g_uS, wires)).abs().max()))
    assert errors[0] > 3.6 * errors[1] > 3.6**2 * errors[2]


# Any crossbar.


@st.composite
def crossbars(draw: st.DrawFn) -> tuple[Tensor, Wires]:
    """Up to 6 x 6 cells of up to 88 uS. To first order a cell loses up to 22.5 % on each wire."""
    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    g_uS = torch.tensor(
        draw(
            st.lists(
                st.lists(st.floats(0, 88), min_size=rows, max_size=rows),
                min_size=columns,
                max_size=columns,
            )
        ),
        dtype=torch.float64,
    )
    longest = max(columns, rows)
    most = 0.45e6 / (88 * longest * (longest + 1))
    ohm = st.just(0.0) | st.floats(most / 1000, most)
    return g_uS, filled(g_uS, draw(ohm), draw(ohm), draw(st.booleans()))


@settings(max_examples=examples(100))
@given(crossbars())
def test_the_error_is_of_second_order(case: tuple[Tensor, Wires]) -> None:
    g_uS, wires = case
    got, exact = effective(g_uS, wires), nodal.effective(g_uS, wires)
    length = max(wires.rows, wires.columns)
    drop = 88e-6 * length * (length + 1) / 2 * (wires.row_ohm + wires.column_ohm)
    assert float((got - exact).abs().max()) <= 0.5 * 88 * drop**2 + 1e-9


@settings(max_examples=examples(100))
@given(crossbars(), st.floats(1, 1.5), st.floats(1, 1.5))
def test_more_resistance_means_less_current(
    case: tuple[Tensor, Wires], row_times: float, column_times: float
) -> None:
    """Rayleigh's law, for the sum of all columns with all rows on. Current of one row can find its
    way to a column that it would not reach without resistance. Of a column on rows without
    resistance the law holds cell by cell."""
    g_uS, wires = case
    more = replace(
        wires, row_ohm=wires.row_ohm * row_times, column_ohm=wires.column_ohm * column_times
    )
    for solve in (effective, nodal.effective):
        assert solve(g_uS, more).sum() <= solve(g_uS, wires).sum() * (1 + 1e-9)
    before = effective(g_uS, replace(wires, row_ohm=0.0))
    assert (effective(g_uS, replace(more, row_ohm=0.0)) <= before * (1 + 1e-9)).all()


@settings(max_examples=examples(100))
@given(crossbars())
def test_what_is_left_is_neither_negative_nor_more(case: tuple[Tensor, Wires]) -> None:
    """At a thousand times the resistance too, far beyond where it is accurate."""
    g_uS, wires = case
    for times in (1, 1000):
        much = replace(wires, row_ohm=wires.row_ohm * times, column_ohm=wires.column_ohm * times)
        got = effective(g_uS, much)
        assert got.isfinite().all() and (got >= 0).all()
        assert (got <= g_uS.max()).all()


def test_noise_around_zero_does_no_harm(generator: torch.Generator) -> None:
    """Devices whose model has it have no conductance below 0."""
    for size in (1, 2, 64):
        g_uS = torch.randn(size, size, generator=generator)
        got = effective(g_uS, filled(g_uS, 0.35, 0.35))
        torch.testing.assert_close(got, g_uS, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("both_ends", [False, True])
def test_single_precision_is_enough(both_ends: bool, generator: torch.Generator) -> None:
    plus, minus = pair(256, 512, generator, 0.0, 20.7)
    wires = Wires(512, 256, 0.15, 0.15, both_ends)
    got = effective_pair(plus.float(), minus.float(), wires)
    assert got[0].dtype is torch.float32
    for single, double in zip(got, effective_pair(plus, minus, wires), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5)


def test_wires_far_outside_the_closed_form_are_said() -> None:
    assert far_wires(load_target("ideal-512")) == ()
    assert far_wires(load_target("hermes-64")) == ()
    bad = load_target("hermes-64", {"crossbar.wire_column_ohm": 50.0})
    (sentence,) = far_wires(bad)
    assert "the closed form of IR drop is meant for up to 35 %" in sentence
    assert "crossbar.wire_column_ohm" in sentence
