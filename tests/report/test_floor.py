"""The floor plan against the placements that it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from pages import blocks_of, name_of, unrun, unstep

from afmc.program.compiled import CompiledProgram
from afmc.report import floor
from afmc.report.floor import floor_plan
from afmc.report.names import Kinds, layer_of, numbers_of
from afmc.report.pack import runs, steps


def test_runs_and_steps_come_back() -> None:
    values = np.array([7, 7, 7, 0, 0, -3, 10**9])
    assert runs(values) == [7, 3, 0, 2, -3, 1, 10**9, 1]
    assert unrun(runs(values)) == unstep(steps(values)) == values.tolist()
    assert runs(np.array([], np.int32)) == steps(np.array([], np.int32)) == []


@pytest.mark.parametrize(
    "name", ["a.3.b.12.c", "lm_head.weight", "h.007.q", "h.².q", "a.*.b.3", "q", ""]
)
def test_names_come_back(name: str) -> None:
    kinds = Kinds()
    packed = kinds.packed(name)
    assert name_of(packed, kinds.names()) == name
    assert packed[1:] == numbers_of(name)


def test_a_layer_is_named_up_to_its_number() -> None:
    assert layer_of("model.layers.3.mlp.up_proj.weight") == "model.layers.3"
    assert layer_of("lm_head.weight") == "lm_head"


def test_every_block_is_where_it_was_placed(by_hand: CompiledProgram) -> None:
    program, kinds = by_hand.program, Kinds()
    found = floor_plan(by_hand, kinds)
    assert found.note == "" and found.data["whole"]
    groups = [name_of(packed, kinds.names()) for _, *packed in found.data["groups"]]
    assert groups == [group.name for group in program.groups]
    expected = [
        {
            **{key: int(place[key]) for key in ("chip", "tile", "tier", "row", "col")},
            **{key: int(block[key]) for key in ("group", "copy", "replica", "rows", "cols")},
            "from": int(block["row"]),
            "at": int(block["col"]),
        }
        for place in program.placements
        for block in [program.blocks[place["block"]]]
    ]
    keys = ("chip", "tile", "tier", "row", "col")
    expected.sort(key=lambda block: [block[key] for key in keys])
    assert blocks_of(found.data["detail"]) == expected
    used = [1000 * (16 * 12 + 10 * 6 + 3 * 36) / (2 * 16 * 12), 1000 * 36 / (2 * 16 * 12)]
    assert unrun(found.data["cells"]["use"]) == [round(each) for each in used]


def test_energy_is_spread_over_the_cells(by_hand: CompiledProgram) -> None:
    energy = {"q.weight": 2.0, "k.weight": 1.0, "experts": 8.0}
    found = floor_plan(by_hand, Kinds(), energy)
    assert unrun(found.data["detail"]["energy"]) == [9_000_000, 2_000_000]
    assert unrun(found.data["cells"]["energy"]) == [9_000_000, 2_000_000]


def test_an_error_is_that_of_the_weights_of_a_tile(by_hand: CompiledProgram) -> None:
    error = {"q.weight": 0.4, "k.weight": 0.1, "experts": 0.2}
    found = floor_plan(by_hand, Kinds(), error=error)
    merged = (8 * 0.4**2 + 4 * 0.1**2) / 12  # q and k are one group, of 8 and 4 columns
    weights = {"group": 16 * 12, "router": 10 * 6, "experts": 3 * 36}
    squares = weights["group"] * merged + weights["experts"] * 0.2**2
    first = round(1e4 * (squares / sum(weights.values())) ** 0.5)
    assert unrun(found.data["detail"]["error"]) == [first, 2000]
    assert unrun(found.data["cells"]["error"]) == [first, 2000]
    assert found.data["error"] and not found.data["energy"]


def test_of_many_blocks_the_first_of_each_tile(
    by_hand: CompiledProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "BLOCKS", 4)
    found = floor_plan(by_hand, Kinds())
    assert found.data["whole"] and "of its blocks the first 2 are described" in found.note
    assert [block["tile"] for block in blocks_of(found.data["detail"])] == [0, 0, 0]
    assert unrun(found.data["detail"]["blocks"]) == [8, 1]


def test_a_large_system_is_aggregated(large: CompiledProgram) -> None:
    program, target = large.program, large.target
    found = floor_plan(large, Kinds())
    chips = int(program.placements["chip"].max()) + 1
    data = found.data
    assert not data["whole"] and data["span"] == 1
    assert f"this system has {chips:,} chips and {len(program.blocks):,} blocks" in found.note
    layer, same = unrun(data["cells"]["layer"]), unrun(data["cells"]["same"])
    assert len(layer) == len(same) == chips

    # The layer of each chip holds most of its weights.
    placed, held = program.placements, program.blocks[program.placements["block"]]
    layers = np.array([data["layers"].index(layer_of(g.name)) for g in program.groups])
    weights = np.zeros((chips, len(data["layers"])), np.int64)
    cells = held["rows"].astype(np.int64) * held["cols"]
    np.add.at(weights, (placed["chip"], layers[held["group"]]), cells)
    assert (weights[np.arange(chips), layer] == weights.max(axis=1)).all()
    size = target.crossbar.rows * target.crossbar.columns * target.chip.tiles
    assert unrun(data["cells"]["use"]) == np.rint(1000 * weights.sum(axis=1) / size).tolist()

    # Chips of the same layout hold the same, but for the layer and the part of a matrix.
    def content(chip: int) -> list[tuple[int, ...]]:
        mine = placed["chip"] == chip
        kinds = np.array([packed[0] for _, *packed in data["groups"]])
        columns = [placed[key][mine] for key in ("tile", "tier", "row", "col")]
        columns += [kinds[held["group"][mine]], held["rows"][mine], held["cols"][mine]]
        return sorted(zip(*(column.tolist() for column in columns), strict=True))

    often = max(set(same), key=same.count)
    alike = [chip for chip in range(chips) if same[chip] == often]
    assert len(alike) > 10
    assert content(alike[0]) == content(alike[len(alike) // 2]) == content(alike[-1])
    assert alike[0] in unstep(data["detail"]["chips"])

    # Each matrix is on the chips that are said.
    for group, said in enumerate(data["on"]):
        real = set(placed["chip"][held["group"] == group].tolist())
        pairs = zip(said[::2], said[1::2], strict=True)
        chips_said = {chip for first, n in pairs for chip in range(first, first + n)}
        assert real <= chips_said and (real == chips_said or len(said) == 2)


def test_many_chips_become_one_cell(
    large: CompiledProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "FRAMES", 100)
    found = floor_plan(large, Kinds())
    chips, span = found.data["chips"], found.data["span"]
    assert span == -(-chips // 100) > 1
    assert len(unrun(found.data["cells"]["use"])) == -(-chips // span)
    assert f"A cell is {span} chips" in found.note


def test_of_a_chip_with_too_many_tiles_the_first(
    smollm2_shapes: CompiledProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "TILES", 10)
    found = floor_plan(smollm2_shapes, Kinds())
    assert not found.data["whole"] and "1 chip is here tile by tile" in found.note
    assert sorted({block["tile"] for block in blocks_of(found.data["detail"])}) == list(range(10))
