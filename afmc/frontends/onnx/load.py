"""An ONNX file as a model that is ready to be compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, ValueInfoProto

from afmc.data.samples import Input, Samples, fitted
from afmc.errors import ModelError
from afmc.frontends.graph.matrices import Structure
from afmc.frontends.loaded import Loaded
from afmc.frontends.network import Graph, tensors_of
from afmc.frontends.onnx.file import read, write
from afmc.frontends.onnx.module import OnnxModule
from afmc.frontends.onnx.products import Constants, dtype_of, sizes_of
from afmc.frontends.onnx.structure import find_products, structure_of

FILE = "model.onnx"
"""Name of the file that is written."""


def load(path: Path, name: str) -> Loaded:
    """Raises ModelError, in one sentence, for a file that cannot be read or run."""
    model, sha256 = read(path)
    constants = Constants(model.graph)
    products, digital = find_products(model.graph, constants)
    inputs = _inputs(model, constants, name)
    module = OnnxModule(model, products, constants, name).eval()

    def structure(samples: Samples | None) -> Structure:
        example = _made_up(inputs, name) if samples is None else fitted(samples, inputs, name)
        example = example.first(inputs[0].sizes[0] or 1 if inputs[0].sizes else 1)
        values = module.values(*tensors_of(example))
        return structure_of(
            model.graph,
            constants,
            products,
            digital,
            {key: value.shape for key, value in values.items()},
            module.paths,
            len(example),
        )

    versions = {each.domain: each.version for each in model.opset_import}
    architecture = f"ONNX, opset {versions.get('', versions.get('ai.onnx', 'unknown'))}"
    graph = Graph(architecture, inputs, structure, lambda folder: _write(model, folder))
    return Loaded(module, None, None, name, sha256, path, graph=graph)


def _write(model: ModelProto, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write(model, folder / FILE)


def _inputs(model: ModelProto, constants: Constants, name: str) -> tuple[Input, ...]:
    fed = [each for each in model.graph.input if each.name in constants.fed]
    if not fed:
        raise ModelError(f"{name} has no input.")
    for each in fed:
        if not each.type.HasField("tensor_type") or sizes_of(each) == ():
            raise ModelError(
                f"the input {each.name!r} of {name} is no tensor whose first dimension counts "
                f"samples."
            )
    return tuple(map(_input, fed))


def _input(value: ValueInfoProto) -> Input:
    return Input(value.name, dtype_of(value), sizes_of(value))


def _made_up(inputs: tuple[Input, ...], name: str) -> Samples:
    """A sample of the declared sizes: what the graph computes on it does not matter."""
    generator = np.random.default_rng(0)
    arrays = {}
    for each in inputs:
        if each.sizes is None or None in each.sizes[1:]:
            raise ModelError(
                f"the sizes of the input {each.name!r} of {name} are not fixed: give samples of "
                f"the size that it is for (--data FILE.npz)."
            )
        sizes = (each.sizes[0] or 1, *(size or 1 for size in each.sizes[1:]))
        drawn = generator.standard_normal(sizes) if each.dtype.kind == "f" else np.zeros(sizes)
        arrays[each.name] = drawn.astype(each.dtype)
    return Samples(arrays, name="a sample that is made up")
