"""Maps of what is broken, from files and from rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from afmc.errors import OptionError
from afmc.hardware.defects import (
    ALL,
    DEFECT,
    Defects,
    Rates,
    gather_defects,
    load_defects,
    parse_rates,
    what_is_left,
)
from afmc.targets import load_target

TARGET = load_target("hermes-64", {"system.chips": 4, "tile.tiers": 2})
OFFSET = load_target("ideal-512", {"device.encoding": "offset"})


def test_a_map(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(
        "chip,tile,row,column,polarity,state\n0,3,17,4,+,off\n\n0,*,*,200,-,on\n1,2,*,*,*,dead\n",
        encoding="utf-8",
    )
    defects = load_defects(file, TARGET)
    assert defects.name == str(file)
    assert defects.table.tolist() == [
        (0, 3, ALL, 17, 4, 0, ALL, 0),
        (0, ALL, ALL, ALL, 200, 1, ALL, 1),
        (1, 2, ALL, ALL, ALL, ALL, ALL, 2),
    ]
    assert len(defects.stuck) == 2 and len(defects.dead) == 1 and defects.has_stuck_cells


BAD = {
    "": "{f}:1 must name the columns, for instance "
    "chip,tile,tier,row,column,polarity,device,state.",
    "chip,tyle,state\n": "{f}:1 has an unknown column 'tyle'. Did you mean 'tile'?",
    "chip,tile\n0,1\n": "{f}:1 must name the columns, for instance "
    "chip,tile,tier,row,column,polarity,device,state.",
    "row,row,state\n1,2,on\n": "{f}:1 has the column 'row' twice.",
    "chip,state\n0\n": "{f}:2 has 1 cells, but the header has 2.",
    "chip,state\n-1,off\n": "{f}:2: chip must be a whole number or *, but is '-1'.",
    "chip,state\n0,off\n0,of\n": "{f}:3: state must be one of off, on, dead, but is 'of'.",
    "polarity,state\nx,on\n": "{f}:2: polarity must be one of +, -, *, but is 'x'.",
    "row,state\n1.5,on\n": "{f}:2: row must be a whole number or *, but is '1.5'.",
    "row,state\n99999999999999999999,on\n": "{f}:2: row must be a whole number or *, but is "
    "'99999999999999999999'.",
    "tile,polarity,state\n1,+,off\n\n1,+,dead\n": "{f}:4: what is dead has no polarity and no "
    "device; leave them out, or write *.",
    "tile,device,state\n1,0,dead\n": "{f}:2: what is dead has no polarity and no device; leave "
    "them out, or write *.",
    "row,column,state\n1,2,dead\n": "{f}:2: a row and a column together are one cell, which can "
    "be off or on but not dead.",
    "chip,state\n4,dead\n": "{f}:2: chip is 4, but the system has chips 0 to 3.",
    "tile,state\n63,dead\n64,dead\n": "{f}:3: tile is 64, but a chip of hermes-64 has tiles 0 to "
    "63.",
    "tier,state\n2,dead\n": "{f}:2: tier is 2, but a tile of hermes-64 has tiers 0 to 1.",
    "row,state\n256,on\n": "{f}:2: row is 256, but a crossbar of hermes-64 has rows 0 to 255.",
    "column,state\n999,on\n": "{f}:2: column is 999, but a crossbar of hermes-64 has columns 0 to "
    "255.",
    "device,state\n2,on\n": "{f}:2: device is 2, but a polarity of hermes-64 has devices 0 to 1.",
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items())
def test_wrong_maps_get_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        load_defects(file, TARGET)
    assert str(caught.value) == sentence.format(f=file)


def test_a_map_from_a_spreadsheet(tmp_path: Path) -> None:
    """With a byte-order mark and other ends of lines."""
    for name, encoding in (("plain.csv", "utf-8"), ("sheet.csv", "utf-8-sig")):
        (tmp_path / name).write_text("tile,state\r\n1,dead\r\n", encoding=encoding, newline="")
    plain, sheet = (load_defects(tmp_path / name, TARGET) for name in ("plain.csv", "sheet.csv"))
    assert plain.table.tobytes() == sheet.table.tobytes() and len(sheet.table) == 1


def test_a_reference_column_is_no_negative_device(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text("polarity,state\n-,on\n", encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        load_defects(file, OFFSET)
    assert str(caught.value) == (
        f"{file}:2: polarity is -, but a weight of ideal-512 has one polarity and a reference "
        f"column."
    )


def test_a_map_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot be read: No such file or directory\.$"):
        load_defects(tmp_path / "none.csv", TARGET)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match=r"is not a CSV file: "):
        load_defects(tmp_path / "binary.csv", TARGET)


def test_rates() -> None:
    defects = load_defects("tiles=0.01, cells_on=0.005,seed=7", TARGET)
    assert defects.rates == Rates(tiles=0.01, cells_on=0.005, seed=7)
    assert defects.name == "tiles=0.01,cells_on=0.005,seed=7"
    assert parse_rates(defects.name).rates == defects.rates
    assert defects.has_stuck_cells and not parse_rates("rows=0.5").has_stuck_cells


RATES = {
    "cells=0.1": "the random map 'cells=0.1' has no 'cells'; there are chips, tiles, tiers, rows, "
    "columns, cells_off, cells_on, seed. Did you mean 'cells_on'?",
    "rows=2": "the random map 'rows=2': rows must be between 0 and 1, but is '2'.",
    "rows=-0.1": "the random map 'rows=-0.1': rows must be between 0 and 1, but is '-0.1'.",
    "rows=nan": "the random map 'rows=nan': rows must be between 0 and 1, but is 'nan'.",
    "rows=few": "the random map 'rows=few': rows must be between 0 and 1, but is 'few'.",
    "rows=0.1,rows=0.2": "the random map 'rows=0.1,rows=0.2' has 'rows' twice.",
    "rows=0.1,7": "'rows=0.1,7' is neither a file nor rates: write KEY=RATE, ... , for instance "
    "cells_off=0.005,tiles=0.01,seed=7.",
    "rows=0.1,seed=x": "the random map 'rows=0.1,seed=x': seed must be a whole number, but is 'x'.",
    "seed=3": "the random map 'seed=3' breaks nothing: give it a rate above 0.",
    "cells_off=0.6,cells_on=0.5": "the random map 'cells_off=0.6,cells_on=0.5': cells_off and "
    "cells_on are shares of the same devices, but add up to 1.1.",
}


@pytest.mark.parametrize(("text", "sentence"), RATES.items())
def test_wrong_rates_get_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_defects(text, TARGET)
    assert str(caught.value) == sentence


def test_several_maps_are_one(tmp_path: Path) -> None:
    (tmp_path / "a=b.csv").write_text("tile,state\n1,dead\n", encoding="utf-8")
    own = Defects(np.array([(0, 0, 0, 1, 2, 0, 0, 1)], DEFECT), name="own")
    both = gather_defects([tmp_path / "a=b.csv", "tiles=0.5", own], TARGET)
    assert both is not None and both.rates == Rates(tiles=0.5)
    assert both.name == f"{tmp_path / 'a=b.csv'} + tiles=0.5,seed=0 + own"
    assert both.table["state"].tolist() == [2, 1]
    assert gather_defects(None, TARGET) is None and gather_defects([], TARGET) is None
    with pytest.raises(OptionError) as caught:
        gather_defects(["tiles=0.5", "rows=0.1,seed=2"], TARGET)
    assert str(caught.value) == (
        "tiles=0.5,seed=0 and rows=0.1,seed=2 are two random maps; put all rates into one."
    )


def test_a_map_in_memory_is_checked_too() -> None:
    own = Defects(np.array([(0, 0, 0, 1, 2, 0, 0, 1), (0, 77, 0, 1, 2, 0, 0, 1)], DEFECT), name="m")
    with pytest.raises(OptionError) as caught:
        gather_defects(own, TARGET)
    assert str(caught.value) == (
        "m, entry 1: tile is 77, but a chip of hermes-64 has tiles 0 to 63."
    )
    with pytest.raises(OptionError) as caught:
        gather_defects(Defects(np.zeros(2, "<i4"), name="m"), TARGET)
    assert str(caught.value) == "m: the table of a map has the dtype afmc.hardware.defects.DEFECT."


@pytest.mark.parametrize(
    ("figures", "source", "sentence"),
    [
        ({}, "cells_off=0.4", ""),
        ({}, "cells_off=1", "100 % of the devices are stuck: nothing of the weights is left"),
        ({}, "cells_off=0.6", "60 % of the devices are stuck: little of the weights is left"),
        (
            {"device.stuck_off_rate": 0.5, "device.stuck_on_rate": 0.3},
            "cells_on=0.5",
            "90 % of the devices are stuck: little of the weights is left",
        ),
    ],
)
def test_defects_that_leave_nothing_are_said(
    figures: dict[str, object], source: str, sentence: str
) -> None:
    target = load_target("ideal-512", figures)
    found = what_is_left(target, None, gather_defects(source, target))
    assert found == ((sentence,) if sentence else ())


def test_a_table_of_which_every_cell_is_off_leaves_nothing(tmp_path: Path) -> None:
    target = load_target("ideal-512")
    (tmp_path / "map.csv").write_text("state\noff\n")
    found = what_is_left(target, gather_defects(tmp_path / "map.csv", target))
    assert found == ("100 % of the devices are stuck: nothing of the weights is left",)
