"""Low-precision digital models: weights rounded to the nearest, as a folder and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from in_process import run as command
from models import tiny_model, tiny_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import afmc
from afmc.compiled_model import CompiledModel
from afmc.errors import OptionError
from afmc.quantize.precision import Precision
from afmc.quantize.round_to_nearest import round_to_nearest
from afmc.quantize.twin import rounded_twin


@given(
    st.integers(2, 8),
    st.integers(1, 9),
    st.integers(1, 40),
    st.one_of(st.none(), st.integers(1, 48)),
    st.integers(0, 9),
)
def test_every_weight_is_at_the_nearest_level(
    bits: int, outputs: int, inputs: int, group: int | None, seed: int
) -> None:
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))
    weight[0] = 0
    precision = Precision(bits, group)
    found = round_to_nearest(weight, precision)
    size = min(group or inputs, inputs)
    assert found.scales.shape == (outputs, -(-inputs // size))
    assert int(found.codes.abs().max()) <= precision.largest == 2 ** (bits - 1) - 1
    for first in range(0, inputs, size):
        part, made = weight[:, first : first + size], found.weight[:, first : first + size]
        step = part.abs().amax(dim=1, keepdim=True) / precision.largest
        assert ((part - made).abs() <= step / 2 * 1.0001).all()
        largest = part.abs().argmax(dim=1, keepdim=True)
        torch.testing.assert_close(made.gather(1, largest), part.gather(1, largest))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_the_twin_changes_what_is_on_tiles_alone(family: str) -> None:
    module = tiny_model(family)
    model = afmc.compile(module, "ideal-512", tokenizer=tiny_tokenizer(), level=0)
    twin = rounded_twin(model.digital, model.program, Precision(4, 8))
    before, after = dict(model.digital.named_parameters()), dict(twin.named_parameters())
    banks = {matrix.name for matrix in model.program.analog if matrix.copies > 1}
    analog = banks | {f"{matrix.module}.weight" for matrix in model.program.analog}
    for name, weight in before.items():
        same = torch.equal(weight, after[name])
        assert same == (name not in analog), name
        if not same:
            assert 0 < float((weight - after[name]).norm() / weight.norm()) < 0.15
    ids = torch.arange(8)[None]
    with torch.inference_mode():
        exact = rounded_twin(model.digital, model.program, Precision(8, 4))(ids).logits
        torch.testing.assert_close(exact, model.digital(ids).logits, rtol=0.1, atol=0.05)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    return afmc.compile("demo-teacher", "ideal-512")


@pytest.fixture(scope="module")
def folder(model: CompiledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("rounded") / "compiled")


def test_the_folder_is_what_is_measured(model: CompiledModel, folder: Path, tmp_path: Path) -> None:
    """An embedding that is tied to the head keeps its own weights."""
    ran = command(tmp_path, "export", folder, "--as", "rtn", "--group", "32", "-o", "out")
    assert (
        ran.returncode == 0 and "29 matrices, 4 bits, scales of groups of 32 inputs" in ran.stdout
    )
    there = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    twin = rounded_twin(model.digital, model.program, Precision(4, 32))
    ids = torch.arange(60)[None]
    with torch.inference_mode():
        torch.testing.assert_close(there(ids).logits, twin(ids).logits, rtol=0, atol=0)
    beside = model.validate(tokens=512, instances=1, rounded="4:32").rounded
    assert beside is not None and beside.name == "4 bits, groups of 32"
    again = afmc.compile(str(tmp_path / "out"), "ideal-512")
    assert again.validate(
        afmc.data.text.read_text(None, "validation", "demo-teacher"), tokens=512, instances=1
    ).digital_perplexity == pytest.approx(beside.perplexity, rel=1e-6)


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_are_the_levels(
    model: CompiledModel, folder: Path, tmp_path: Path, bits: int
) -> None:
    """Unpacked as compressed-tensors describes it: from the lowest bits upwards, offset to 0."""
    packed = ("--as", "rtn", "--bits", str(bits), "--group", "64", "--set", "form=packed")
    assert command(tmp_path, "export", folder, *packed, "-o", "out").returncode == 0
    held = load_file(tmp_path / "out" / "model.safetensors")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    scheme = config["config_groups"]["group_0"]["weights"]
    assert (scheme["num_bits"], scheme["group_size"], scheme["symmetric"]) == (bits, 64, True)
    twin = rounded_twin(model.digital, model.program, Precision(bits, 64))
    for matrix in model.program.analog:
        words, scale, shape = (
            held[f"{matrix.module}.weight_{part}"] for part in ("packed", "scale", "shape")
        )
        assert words.dtype == torch.int32 and shape.tolist() == [matrix.cols, matrix.rows]
        codes = [(words >> bits * place) & (2**bits - 1) for place in range(32 // bits)]
        levels = torch.stack(codes, dim=2).reshape(matrix.cols, -1)[:, : matrix.rows]
        weight = (levels - 2 ** (bits - 1)) * scale.repeat_interleave(64, dim=1)[:, : matrix.rows]
        wanted = twin.get_parameter(f"{matrix.module}.weight").detach()
        torch.testing.assert_close(weight, wanted)
        assert f"{matrix.module}.weight" not in held


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--set", "form=int"), "--set form=int: a rounded model is float or packed."),
        (("--bits", "3", "--set", "form=packed"), "holds weights of 4 or 8 bits, not 3"),
        (("--group", "50", "--set", "form=packed"), "needs whole groups, but "),
        (("--set", "bits=four"), "four: give a number of bits"),
        (("--set", "bits=9"), "weights are rounded to 2 to 8 bits, not 9."),
    ],
)
def test_what_cannot_be(
    folder: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    ran = command(tmp_path, "export", folder, "--as", "rtn", *options, "-o", "out")
    assert ran.returncode == 2 and sentence in ran.stderr
    assert not (tmp_path / "out").exists()


def test_other_layers_are_not_packed(tmp_path: Path) -> None:
    model = afmc.compile(tiny_model("gpt2"), "ideal-512", tokenizer=tiny_tokenizer(), level=0)
    model.save(tmp_path / "compiled")
    packed = ("--as", "rtn", "--set", "form=packed", "-o", "out")
    ran = command(tmp_path, "export", "compiled", *packed)
    assert ran.returncode == 2 and "holds linear layers, but " in ran.stderr


def test_bits_are_a_number_and_a_group() -> None:
    assert Precision.parse("4") == Precision(4) and Precision.parse("4:32") == Precision(4, 32)
    for wrong in ("", "x", "4:", "4:x", "-4", "4.5"):
        with pytest.raises(OptionError, match="give a number of bits"):
            Precision.parse(wrong)
    with pytest.raises(OptionError, match="at least one input"):
        Precision.parse("4:0")
