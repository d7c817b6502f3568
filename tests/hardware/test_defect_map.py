"""What a map says of each crossbar of a target."""

from __future__ import annotations

import numpy as np
import pytest

from afmc.hardware.defect_map import WORKS, DefectMap
from afmc.hardware.defects import ALL, DEAD, DEFECT, OFF, ON, Defects, parse_rates
from afmc.targets import load_target

TARGET = load_target(
    "hermes-64",
    {"crossbar.rows": 40, "crossbar.columns": 50, "chip.tiles": 30, "tile.tiers": 3},
)


def of_file(*entries: tuple[int, ...]) -> DefectMap:
    return DefectMap(Defects(np.array(list(entries), DEFECT)), TARGET)


def of_rates(text: str) -> DefectMap:
    return DefectMap(parse_rates(text), TARGET)


def test_dead_regions() -> None:
    broken = of_file(
        (1, ALL, ALL, ALL, ALL, ALL, ALL, DEAD),  # a chip
        (0, 4, ALL, ALL, ALL, ALL, ALL, DEAD),  # a tile
        (2, 5, 1, ALL, ALL, ALL, ALL, DEAD),  # a tier
        (ALL, 6, 2, ALL, ALL, ALL, ALL, DEAD),  # a tier of every chip
    )
    dead = broken.crossbars(np.array([0, 1, 2]))["dead"]
    expected = np.zeros((3, 30, 3), np.bool_)
    expected[1], expected[0, 4], expected[2, 5, 1], expected[:, 6, 2] = True, True, True, True
    assert np.array_equal(dead, expected)
    assert np.array_equal(broken.crossbars(np.array([2, 0]))["dead"], expected[[2, 0]])


def test_dead_lines_are_counted_once() -> None:
    broken = of_file(
        (0, 4, 1, 7, ALL, ALL, ALL, DEAD),
        (0, 4, 1, 7, ALL, ALL, ALL, DEAD),
        (0, 4, ALL, 9, ALL, ALL, ALL, DEAD),
        (ALL, ALL, ALL, ALL, 3, ALL, ALL, DEAD),
    )
    table = broken.crossbars(np.array([0, 5]))
    assert table["rows"][0, 4].tolist() == [39, 38, 39] and table["rows"][1].min() == 40
    assert (table["cols"] == 49).all()
    rows, cols = broken.live_lines((0, 4, 1))
    assert rows.tolist() == [r for r in range(40) if r not in (7, 9)]
    assert cols.tolist() == [c for c in range(50) if c != 3]


def test_what_is_said_of_a_cell_holds_and_else_the_last() -> None:
    broken = of_file(
        (0, 0, 0, 2, 3, 0, 0, ON),
        (0, 0, 0, 2, ALL, ALL, ALL, OFF),  # the row of that cell
        (0, 0, ALL, ALL, 5, 0, ALL, OFF),
        (ALL, 0, 0, ALL, 5, 0, ALL, ON),  # later
        (0, 0, 0, 8, 8, 1, 1, ON),
    )
    plus, other = broken.stuck((0, 0, 0), 0, 0), broken.stuck((0, 0, 0), 0, 1)
    assert plus[3, 2] == ON and other[3, 2] == OFF and plus[4, 2] == OFF
    assert (plus[5] == ON).all()
    assert broken.stuck((0, 0, 1), 0, 0)[5, 0] == OFF
    minus = broken.stuck((0, 0, 0), 1, 1)
    assert minus[8, 8] == ON and plus[8, 8] == WORKS
    assert (minus != WORKS).sum() == 50 + 1


def test_a_random_map_is_a_function_of_seed_and_address() -> None:
    text = "chips=0.2,tiles=0.1,tiers=0.1,rows=0.05,columns=0.02,cells_off=0.1,cells_on=0.05,seed=3"
    one, two = of_rates(text), of_rates(text)
    all_chips = one.crossbars(np.arange(40))
    assert np.array_equal(two.crossbars(np.array([39, 7])), all_chips[[39, 7]])
    assert np.array_equal(one.stuck((7, 2, 1), 1, 0), two.stuck((7, 2, 1), 1, 0))
    # Another rate, another kind: what is said of the rest stays.
    only_tiles = of_rates("tiles=0.1,seed=3").crossbars(np.arange(40))["dead"]
    assert not (only_tiles & ~all_chips["dead"]).any() and only_tiles.any()
    other_seed = of_rates("tiles=0.1,seed=4").crossbars(np.arange(40))["dead"]
    assert not np.array_equal(other_seed, only_tiles)
    different = [
        (7, 2, 1, 0, 0),
        (7, 2, 1, 0, 1),
        (7, 2, 0, 1, 0),
        (7, 3, 1, 1, 0),
        (8, 2, 1, 1, 0),
    ]
    here = one.stuck((7, 2, 1), 1, 0)
    for chip, tile, tier, polarity, device in different:
        assert not np.array_equal(one.stuck((chip, tile, tier), polarity, device), here)


def test_lines_that_are_counted_are_lines_that_are_dead() -> None:
    broken = of_rates("rows=0.05,columns=0.02,seed=1")
    table = broken.crossbars(np.arange(3))
    for chip, tile, tier in np.ndindex(*table.shape):
        rows, cols = broken.live_lines((chip, tile, tier))
        counted = table[chip, tile, tier]
        assert len(rows) == counted["rows"] and len(cols) == counted["cols"]
    assert len(np.unique(table["rows"])) > 3


@pytest.mark.parametrize(("key", "rate"), [("chips", 0.1), ("tiles", 0.2), ("tiers", 0.3)])
def test_rates_of_crossbars(key: str, rate: float) -> None:
    dead = of_rates(f"{key}={rate},seed=5").crossbars(np.arange(2000))["dead"]
    independent = {"chips": 2000, "tiles": 2000 * 30, "tiers": 2000 * 90}[key]
    assert dead.mean() == pytest.approx(rate, abs=4 * (rate / independent) ** 0.5)
    if key == "chips":
        assert (dead.all(axis=(1, 2)) == dead.any(axis=(1, 2))).all()
    if key == "tiles":
        assert (dead.all(axis=2) == dead.any(axis=2)).all()


def test_rates_of_lines_and_cells() -> None:
    table = of_rates("rows=0.05,columns=0.1,seed=5").crossbars(np.arange(100))
    n = 100 * 90
    assert 1 - table["rows"].mean() / 40 == pytest.approx(0.05, abs=4 * (0.05 / (40 * n)) ** 0.5)
    assert 1 - table["cols"].mean() / 50 == pytest.approx(0.1, abs=4 * (0.1 / (50 * n)) ** 0.5)
    broken = of_rates("cells_off=0.1,cells_on=0.05,seed=5")
    cells = np.stack([broken.stuck((0, tile, 0), 0, 0) for tile in range(30)])
    sigma = (0.1 / cells.size) ** 0.5
    assert (cells == OFF).mean() == pytest.approx(0.1, abs=4 * sigma)
    assert (cells == ON).mean() == pytest.approx(0.05, abs=4 * sigma)
    # No row of cells and no column of them is special.
    assert (cells != WORKS).mean(axis=(0, 1)).std() < 1.5 * (0.15 / (30 * 50)) ** 0.5
