"""The text: read by other builds of MLIR, and in agreement with the program."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import digits, graph, images, node, weights, write
from lowered import compiled, lowered
from safetensors import safe_open

import afmc
from afmc import CompiledModel
from afmc.common.install import install
from afmc.errors import ArtifactError, ModelError, OptionError
from afmc.mlir import export_mlir, lower
from afmc.program.model import Matrix, largest_over

ARCHITECTURES = ["llama", "gpt2", "mixtral"]
UPSTREAM = {"affine", "arith", "cf", "func", "linalg", "math", "tensor"}


def parsed(text: str) -> Any:
    from torch_mlir.dialects.torch import register_dialect
    from torch_mlir.ir import Context, Module

    context = Context()
    register_dialect(context)
    module = Module.parse(text, context)
    assert module.operation.verify()
    return module


def operations(text: str) -> Counter[str]:
    """Operations of ``forward``, by name."""
    module = parsed(text)  # which holds all that is read of it
    body = module.body.operations[len(module.body.operations) - 1].regions[0].blocks[0]
    found: Counter[str] = Counter()
    for operation in body.operations:
        name = operation.operation.name
        found[f"call {operation.attributes['callee'].value}" if name == "func.call" else name] += 1
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_analog_matrix_is_called_as_often_as_it_is_used(architecture: str) -> None:
    model, text = compiled(architecture), lowered(architecture)
    uses = Counter(
        str(n.args[-2]) for n in model.digital_graph().graph.nodes if "mvm" in str(n.target)
    )
    assert set(uses) == {matrix.name for matrix in model.program.analog}
    found = operations(text)
    assert {n: c for n, c in found.items() if n.startswith("call ")} == {
        f"call afmc.{name}": count for name, count in uses.items()
    }
    assert {name.split(".")[0] for name in found if " " not in name} <= UPSTREAM
    assert not set(re.findall(r"\b(?:torch|tm_tensor|ml_program)\.[a-z]\w*", text)) - {
        "torch.float32",  # in the names of constants
        "torch.assume_strict_symbolic_shapes",
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attributes_agree_with_the_program(architecture: str) -> None:
    model = compiled(architecture)
    module = parsed(lowered(architecture))
    assert module.operation.attributes["afmc.target"].value == model.target.name
    *declared, forward = (each.operation for each in module.body.operations)
    assert forward.attributes["sym_name"].value == "forward"
    assert str(forward.attributes["function_type"]).startswith("(tensor<?x?xi64>, ")
    for each in declared:
        facts = {
            name.removeprefix("afmc."): each.attributes[name]
            for name in each.attributes
            if name.startswith("afmc.")
        }
        matrix = model.program.matrix(facts["matrix"].value)
        assert each.attributes["sym_name"].value == f"afmc.{matrix.name}"
        ends = ", tensor<4xi32>" if matrix.copies > 1 else ""
        assert str(each.attributes["function_type"].value) == (
            f"(tensor<?x{matrix.rows}xf32>{ends}) -> tensor<?x{matrix.cols}xf32>"
        )
        assert facts["rows"].value == matrix.rows and facts["cols"].value == matrix.cols
        assert ("experts" in facts) == (matrix.copies > 1)
        assert facts["input_bits"].value == 8 == facts["output_bits"].value
        slices = list(facts["row_slices"])
        assert sum(slices) == matrix.rows and max(slices) <= 20
        assert [each.value for each in facts["input_ranges"]] == ranges(matrix, slices)
        assert (facts["blocks"].value, facts["crossbars"].value) == in_a_loop(model, matrix)
        group = next(g for g in model.program.groups if matrix.name in g.members)
        assert facts["group"].value == group.name


def ranges(matrix: Matrix, slices: list[int]) -> list[float]:
    assert matrix.input_range is not None
    each = matrix.slice_ranges or (matrix.input_range,)
    ends = np.cumsum(slices).tolist()
    return [
        largest_over(each, matrix.rows, end - size, end)
        for end, size in zip(ends, slices, strict=True)
    ]


def in_a_loop(model: CompiledModel, matrix: Matrix) -> tuple[int, int]:
    """Blocks with a column of the matrix, and the crossbars that they are on."""
    program = model.program
    blocks, crossbars = set(), set()
    for place in program.placements:
        block = program.blocks[place["block"]]
        first = 0
        for member in program.groups[block["group"]].members:
            last = first + program.matrix(member).cols
            overlap = block["col"] < last and first < block["col"] + block["cols"]
            if member == matrix.name and overlap:
                blocks.add(int(place["block"]))
                crossbars.add((int(place["chip"]), int(place["tile"]), int(place["tier"])))
            first = last
    return len(blocks), len(crossbars)


@pytest.mark.parametrize(
    ("architecture", "digital", "products"),
    [("llama", (), 0), ("llama", ("o_proj", "lm_head"), 3), ("mixtral", (), 2)],
)
def test_matrices_that_stay_digital_are_products_in_the_text(
    architecture: str, digital: tuple[str, ...], products: int
) -> None:
    model = compiled(architecture, *digital)
    assert model.program.digital is not None
    assert len(model.program.digital) == products
    found = operations(lower(model, "torch"))
    of_matrices = found["torch.aten.mm"] + found["torch.aten.matmul"] + found["torch.aten.linear"]
    assert of_matrices == products
    assert found["torch.aten.bmm"] == 2 * 2  # attention in two layers
    assert sum(count for name, count in found.items() if name.startswith("call ")) == len(
        model.program.analog
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_arguments_are_named_as_in_the_saved_model(architecture: str, tmp_path: Path) -> None:
    folder = compiled(architecture).save(tmp_path / "out")
    [file] = (folder / "model").glob("*.safetensors")
    text = lowered(architecture)
    arguments = re.findall(r"%arg\d+: tensor<([\dx]+)xf32> \{afmc\.tensor = \"(.+?)\"\}", text)
    assert len(arguments) == text.count("afmc.tensor") > 0
    with safe_open(file, "pt") as kept:
        for sizes, name in arguments:
            assert kept.get_slice(name).get_shape() == [int(size) for size in sizes.split("x")]


def test_twice_the_same_text_in_a_file(tmp_path: Path) -> None:
    folder = compiled("llama").save(tmp_path / "out")
    made = export_mlir(folder, tmp_path / "a.mlir")
    text = (tmp_path / "a.mlir").read_text()
    own = re.compile(r"afmc.model = \".*?\"")  # a folder is known by its name
    assert own.sub("", text) == own.sub("", lowered("llama"))
    assert made.counts == {"functions": 15, "calls": 15, "tensors": 6}
    assert made.bytes == (tmp_path / "a.mlir").stat().st_size < 100_000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.mlir", "out"]


def test_what_is_no_language_model_has_its_constants_in_the_text(tmp_path: Path) -> None:
    model = afmc.compile(digits(), "ideal-512", example_inputs=images(4), level=0)
    text = lower(model)
    assert 'tensor<?x1x8x8xf32> {afmc.input = "x"}) -> tensor<?x5xf32>' in text
    assert "afmc.tensor" not in text
    found = operations(text)
    assert {name for name in found if name.startswith("call ")} == {
        "call afmc.first.weight",
        "call afmc.second.weight",
        "call afmc.head.weight",
    }


def test_an_onnx_graph_is_refused(tmp_path: Path) -> None:
    made = graph([node("MatMul", "x w", "y")], {"w": weights(4, 6)}, ["batch", 4])
    model = afmc.compile(write(made, tmp_path), "ideal-512", level=0)
    with pytest.raises(ModelError, match=r"is an ONNX graph, whose digital part onnx runs: to"):
        lower(model)


def test_what_only_torch_mlir_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_mlir.extras.fx_decomp_util import get_decomposition_table

    from afmc.mlir import decompositions, lowering

    def theirs() -> dict[Any, Any]:
        own = {torch.ops.afmc.mvm.default: decompositions._mvm}
        return {**get_decomposition_table(), **own}

    monkeypatch.setattr(lowering, "table", theirs)
    sentence = (
        r"LlamaForCausalLM cannot be lowered to the dialects of MLIR itself: it has "
        r"tm_tensor\.scan, of which only torch-mlir knows; --dialect torch goes as far as that\."
    )
    with pytest.raises(ModelError, match=sentence):
        lower(compiled("llama"))


def test_an_operator_that_torch_mlir_does_not_know() -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(self.layer(x))

    sentence = (
        r"^Odd cannot be lowered to MLIR: torch-mlir has no lowering of "
        r"torch\.aten\.special_bessel_j0\.$"
    )
    model = afmc.compile(Odd().eval(), "ideal-512", example_inputs=torch.randn(4, 4), level=0)
    with pytest.raises(ModelError, match=sentence):
        lower(model)


def test_a_dialect_that_there_is_not() -> None:
    with pytest.raises(OptionError, match=r"--dialect linlg: there is no such dialect, only lina"):
        lower(compiled("llama"), "linlg")  # type: ignore[arg-type]


def test_without_torch_mlir_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_mlir", None)
    sentence = f'^--as mlir needs the package torch-mlir: run "{re.escape(install("mlir"))}"[.]$'
    with pytest.raises(OptionError, match=sentence):
        export_mlir(tmp_path, tmp_path / "a.mlir")
    assert not list(tmp_path.iterdir())


def test_shapes_alone_are_refused(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "examples" / "configs" / "llama-3.2-1b.json"
    folder = afmc.compile(source, "ideal-512", shapes_only=True, level=0).save(tmp_path / "out")
    with pytest.raises(ArtifactError, match=r"was compiled from its shapes only, and MLIR needs"):
        export_mlir(folder, tmp_path / "a.mlir")
