"""Maps of stuck cells from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from afmc.defects import ALL, load_defects
from afmc.errors import OptionError
from afmc.targets import load_target

TARGET = load_target("hermes-64", {"system.chips": 4, "tile.tiers": 2})


def test_a_map(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(
        "chip,tile,row,column,polarity,state\n0,3,17,4,+,off\n\n0,*,*,200,-,on\n", encoding="utf-8"
    )
    defects = load_defects(file, TARGET)
    assert defects.name == str(file)
    assert defects.table.tolist() == [
        (0, 3, ALL, 17, 4, 0, ALL, 0),
        (0, ALL, ALL, ALL, 200, 1, ALL, 1),
    ]


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
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items())
def test_wrong_maps_get_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        load_defects(file, TARGET)
    assert str(caught.value) == sentence.format(f=file)


def test_a_map_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot be read: No such file or directory\.$"):
        load_defects(tmp_path / "none.csv", TARGET)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match=r"is not a CSV file: "):
        load_defects(tmp_path / "binary.csv", TARGET)
