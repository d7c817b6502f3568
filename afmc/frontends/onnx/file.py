"""An ONNX file in memory, checked; weights beside it are read from its own folder alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx.checker
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from afmc.errors import ModelError

MOST_BYTES = 2**31 - 1
"""Most bytes of a model with all its weights that protobuf writes."""


def read(path: Path) -> tuple[ModelProto, str]:
    """The model with all weights in it, functions inlined, and a digest of its files.

    Raises ModelError, in one sentence, for what is damaged, too large or reaches out of the folder.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX file, or is damaged or cut short.") from error
    if not model.ir_version or not model.graph.node:
        raise ModelError(f"{path} is not an ONNX file, or its graph is empty.")
    held = len(content)
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            held += _read_beside(tensor, path, digest, MOST_BYTES - held)
    try:
        onnx.checker.check_model(model)
        return onnx.inliner.inline_local_functions(model), digest.hexdigest()
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        cause = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise ModelError(
            f"{path} is not a valid ONNX model: {cause.strip().rstrip('.')}."
        ) from error


def write(model: ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every constant, in branches and functions too."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: object) -> Iterator[TensorProto]:
    for node in nodes:  # type: ignore[attr-defined]
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        yield from _of_graph(graph)


def _read_beside(tensor: TensorProto, path: Path, digest: hashlib._Hash, most: int) -> int:
    """Puts the bytes that a tensor names into it; how many there are."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not location or folder not in file.parents:
        raise ModelError(
            f"{path} keeps {tensor.name} in {location!r}, which is not in its own folder: that is "
            f"not read."
        )
    try:
        offset = int(said.get("offset", 0))
        size = file.stat().st_size
        length = int(said.get("length", size - offset))
        if offset < 0 or length < 0 or offset + length > size:
            raise ValueError
        if length > most:
            raise ModelError(
                f"{path} has more than {MOST_BYTES:,} bytes with its weights, which is too much to "
                f"be read as ONNX."
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length)
    except ValueError as error:
        raise ModelError(
            f"{path} keeps {tensor.name} in {location}, which has no such bytes: the file is "
            f"damaged or cut short."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{path} keeps {tensor.name} in {location}, which cannot be read: {error.strerror}."
        ) from error
    digest.update(content)
    tensor.raw_data = content
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return length
