"""What is on tiles is told by what it is, and targets that share a model share nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer

import afmc
from afmc.data.text import Text
from afmc.hardware.defects import ALL, DEFECT, OFF, Defects
from afmc.targets import load_target

TARGET = load_target("ideal-512", {"crossbar.rows": 16, "crossbar.columns": 24})
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)
IDS = torch.arange(12).reshape(2, 6)


@pytest.fixture
def model() -> afmc.CompiledModel:
    return afmc.compile(tiny_model("llama"), TARGET, tokenizer=tiny_tokenizer(), text=TEXT, level=0)


def logits(model: afmc.CompiledModel, defects: Defects | None = None) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model.write(defects=defects)(input_ids=IDS).logits
    return out


def off(model: afmc.CompiledModel, block: int) -> Defects:
    """A map in which every cell of the crossbar of a block stays off."""
    place = model.program.placements[block]
    where = (place["chip"], place["tile"], place["tier"], ALL, ALL, ALL, ALL, OFF)
    return Defects(np.array([where], dtype=DEFECT), name=f"block {block}")


def test_what_is_written_holds_its_map_of_defects(model: afmc.CompiledModel) -> None:
    """As long as it is held no other map can get its place in memory, and with that its `id`."""
    first, second = off(model, 0), off(model, 1)
    with_first, with_second = logits(model, first), logits(model, second)
    assert not torch.equal(with_first, with_second)
    assert torch.equal(logits(model, first), with_first)
    assert not torch.equal(logits(model), with_first)
    written = model.on_tiles.write(defects=second)
    assert written.defects is second
    assert model.on_tiles.write(defects=off(model, 1)) is not written


def test_twins_have_the_graph_too(model: afmc.CompiledModel) -> None:
    """The exported graph is taken over when calls of tiles are put into it: once for all twins."""
    twin = model.without_noise()
    other = model.on({"device.noise": None})
    for each in (twin, model, other):
        expected = logits(each)
        torch.testing.assert_close(each.graph()(IDS), expected)


def test_what_is_written_is_written_once(model: afmc.CompiledModel) -> None:
    on_tiles = model.on_tiles
    first = on_tiles.write(seed=1)
    assert on_tiles.write(seed=1) is first and first.seconds > 0
    assert (first.seed, first.instance, first.defects) == (1, 0, None)
    assert on_tiles.write(seed=1, instance=1) is not first
    assert model.without_noise().tiles.keys() == model.tiles.keys()
    assert not set(map(id, model.without_noise().tiles.values())) & set(
        map(id, model.tiles.values())
    )
