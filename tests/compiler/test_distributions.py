"""How weights and inputs make use of full scale, and how wrong products are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer
from torch import Tensor

import afmc
from afmc import CompiledModel, load_target
from afmc.compiler.activations import sizes
from afmc.compiler.full_scale import input_ranges
from afmc.data.text import Text
from afmc.program.model import names_in_tiles
from afmc.program.observed import OCTAVES
from afmc.simulator.product_errors import watched

SMALL = {"crossbar.rows": 20, "crossbar.columns": 32}
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)


@cache
def compiled(architecture: str = "llama", target: str = "afm-512-projected") -> CompiledModel:
    return afmc.compile(
        tiny_model(architecture),
        load_target(target, SMALL),
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        calibration="std:2",
        level=0,
    )


def test_sizes_are_counted_by_octaves() -> None:
    values = torch.tensor([[4.1, -4.0, 2.0, -2.1, 1.0, 4 / 256, 4 / 256 + 1e-4, 0.0]])
    counts = sizes(values, torch.tensor(4.0))
    #                          > 4  > 2  > 1                  > 1/64
    assert counts.tolist() == [[1, 2, 1, 1, 0, 0, 0, 0, 1, 2]]
    assert counts.shape == (1, OCTAVES + 2)


def test_each_row_has_a_full_scale_of_its_own() -> None:
    values = torch.tensor([[1.0, 0.4], [1.0, 0.4]])
    counts = sizes(values, torch.tensor([[1.0], [2.0]]))
    assert counts[0, 1:4].tolist() == [1, 1, 0] and counts[1, 1:4].tolist() == [0, 1, 1]


def by_the_book(model: CompiledModel, name: str) -> list[float]:
    """Shares of weights against the largest of their column within a block, one by one."""
    program, matrix = model.program, model.program.matrix(name)
    [layer] = (model.tiles[each] for each in names_in_tiles(matrix))
    number, group = next(
        (i, group) for i, group in enumerate(program.groups) if name in group.members
    )
    first = sum(program.matrix(n).cols for n in group.members[: group.members.index(name)])
    weight = layer.ideal.numpy()
    counts = [0] * (OCTAVES + 2)
    for block in program.blocks[program.blocks["group"] == number]:
        for col in range(block["col"], block["col"] + block["cols"]):
            if not first <= col < first + matrix.cols:
                continue
            column = np.abs(weight[col - first, block["row"] : block["row"] + block["rows"]])
            for ratio in column / column.max():
                octave = next((k for k in range(OCTAVES + 1) if ratio > 2.0**-k), OCTAVES + 1)
                counts[octave] += 1
    return [each / weight.size for each in counts]


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.k_proj.weight", "lm_head.weight"])
def test_weights_are_against_the_largest_of_their_column(name: str) -> None:
    model = compiled()
    assert model.program.distributions is not None
    found = model.program.distributions.matrices[name].weights
    assert found == pytest.approx(by_the_book(model, name), abs=2e-5)
    assert found[0] == 0 and found[1] > 0.05


def test_inputs_are_against_the_range() -> None:
    model = compiled()
    known = model.program.distributions
    assert known is not None and known.tokens == 1024 and known.text == "letters"
    matrix = next(m for m in model.program.analog if m.name.endswith("down_proj.weight"))
    seen: list[Tensor] = []
    layer = model.digital.get_submodule(matrix.module)
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    ids = torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:1024]).view(-1, 64)
    with torch.inference_mode():
        for window in ids:
            model.digital(input_ids=window[None])
    handle.remove()
    assert matrix.input_range is not None
    ratios = torch.cat([x.abs().flatten() for x in seen]) / matrix.input_range
    found = known.matrices[matrix.name]
    assert found.clipped == pytest.approx(float((ratios > 1).double().mean()), abs=2e-5)
    assert found.clipped is not None and 0.01 < found.clipped < 0.2  # of two deviations
    assert found.inputs[-1] == pytest.approx(float((ratios <= 2**-8).double().mean()), abs=1e-3)
    assert sum(found.inputs) == pytest.approx(1, abs=1e-4)


def test_banks_and_merged_matrices_are_counted_whole() -> None:
    model = compiled("mixtral", "hermes-64")
    known = model.program.distributions
    assert known is not None
    assert list(known.matrices) == [m.name for m in model.program.analog]
    assert all(sum(d.weights) == pytest.approx(1, abs=1e-4) for d in known.matrices.values())


def test_without_ranges_inputs_are_not_seen() -> None:
    known = compiled("llama", "ideal-512").program.distributions
    assert known is not None and (known.text, known.tokens) == ("", 0)
    assert all(each.clipped is None for each in known.matrices.values())
    shapes = afmc.compile(tiny_model("llama"), "ideal-512", shapes_only=True, level=0)
    assert shapes.program.distributions is None


def test_row_slices_have_ranges_of_their_own() -> None:
    """Each row against the largest range of the pieces that its block has rows of."""
    model = compiled()
    program = model.program
    one = next(m for m in program.analog if m.name.endswith("down_proj.weight"))
    other = replace(one, input_range=4.0, slice_ranges=(1.0, 2.0, 4.0))
    assert one.rows == 48 and model.target.crossbar.rows == 20
    sliced = replace(program, matrices=tuple(other if m is one else m for m in program.matrices))
    ranges = input_ranges(sliced, model.target)
    # Pieces end at rows 16 and 32, blocks at 20 and 40.
    assert ranges[other.drive].tolist() == [2.0] * 20 + [4.0] * 28
    assert ranges[program.analog[0].drive].shape == ()


def test_it_is_kept(tmp_path: Any) -> None:
    model = compiled()
    again = afmc.load(model.save(tmp_path / "out"))
    assert again.program.distributions == model.program.distributions


def test_the_error_of_a_product_is_against_its_own_inputs() -> None:
    model = compiled()
    model.write(seed=3)
    window = torch.arange(20)[None]
    with watched(model.tiles) as squares, torch.inference_mode():
        before = model.analog(input_ids=window).logits
    with torch.inference_mode():
        assert torch.equal(model.analog(input_ids=window).logits, before)
        layer = model.tiles["lm_head.weight"]
        seen: list[Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        model.analog(input_ids=window)
        handle.remove()
        expected = seen[0] @ layer.ideal.T
        error = layer.multiply(seen[0]) - expected
    found = squares["lm_head.weight"]
    assert found.error == pytest.approx(float(error.square().sum()), rel=1e-4)
    assert found.digital == pytest.approx(float(expected.square().sum()), rel=1e-4)
    assert all("multiply" not in layer.__dict__ for layer in model.tiles.values())


@pytest.mark.parametrize("architecture", ["llama", "mixtral"])
def test_errors_by_matrix_leave_the_scores_alone(architecture: str) -> None:
    model = compiled(architecture, "hermes-64")
    options: dict[str, Any] = {"tokens": 64, "window": 32, "instances": 2}
    plain = model.validate(TEXT, **options)
    found = model.validate(TEXT, by_matrix=True, **options)
    assert found.outcomes == plain.outcomes and plain.matrices == ()
    assert [each.name for each in found.matrices] == [m.name for m in model.program.analog]
    errors = [each.relative_error for each in found.matrices]
    assert all(0.01 < each.mean < 1 and each.std for each in errors)
    model.write(instance=0)
    first = torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:32])[None]
    with watched(model.tiles) as squares, torch.inference_mode():
        model.analog(input_ids=first, use_cache=False)
    head = squares["lm_head.weight"]
    root = (head.error / head.digital) ** 0.5
    assert found.matrices[-1].name == "lm_head.weight"
    assert errors[-1].values[0] == pytest.approx(root, rel=1e-6)
    noiseless = model.without_noise().validate(TEXT, by_matrix=True, **options)
    assert all(
        mine.relative_error.mean < noisy.relative_error.mean
        for mine, noisy in zip(noiseless.matrices, found.matrices, strict=True)
    )


def test_perfect_tiles_have_no_error() -> None:
    found = compiled("llama", "ideal-512").validate(
        TEXT, tokens=32, window=32, instances=1, by_matrix=True
    )
    assert all(each.relative_error.mean < 1e-6 for each in found.matrices)
