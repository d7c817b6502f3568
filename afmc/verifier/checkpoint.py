"""Whether the weights beside the program have the shapes of its matrices.

The headers of safetensors files are read by hand: 8 bytes with their length, then JSON
(https://huggingface.co/docs/safetensors, "Format"). No weight is read.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afmc.verifier.disk import Damaged, Matrix
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted, more
from afmc.verifier.strict import parse_json

MODEL = "model"
_LONGEST = 100_000_000
"""Bytes of a header; the format's own limit."""
OTHER_FORMATS = ("model.onnx", "model.pt2")
"""Files that hold the whole of a model that is no language model."""
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}

Shape = tuple[int, ...]


def weights_on_disk(mapped: Mapped) -> Finding:
    """The model folder has a tensor of the right shape for every matrix."""
    folder = mapped.directory / MODEL
    if not folder.is_dir() and not mapped.program.shapes_only:
        problem = f"there is no folder {MODEL}, but the program was made from a model with weights."
        return Finding({}, (problem,))
    if not folder.is_dir():
        note = f"there is no folder {MODEL}: no weights to compare the matrices with"
        return Finding({}, notes=(note,), skipped=True)
    other = next((name for name in OTHER_FORMATS if (folder / name).is_file()), None)
    if other is not None:
        note = f"{MODEL}/{other} is not read: its weights are not compared with the matrices"
        return Finding({}, notes=(note,), skipped=True)
    try:
        tensors = _read(folder)
    except Damaged as error:
        return Finding({}, (str(error),))
    found = _Comparison.of(mapped.program.matrices, tensors)
    problems, notes = [], []
    if found.other_shape:
        one = found.other_shape[0]
        problems.append(
            f"{one.name} is {_spell(tensors[_name(one, tensors) or ''])} in the model folder, but "
            f"{_spell(_shape(one))} in the mapping{more(len(found.other_shape))}"
        )
    if found.missing:
        one = found.missing[0]
        problems.append(
            f"the model folder has no tensor {one.name}, and no other of {_spell(_shape(one))} "
            f"in its place{more(len(found.missing))}"
        )
    held = sum(math.prod(shape) for shape in tensors.values())
    if held < mapped.program.parameters:
        problems.append(
            f"the model folder holds {counted(held, 'weight')}, but the model has "
            f"{mapped.program.parameters:,}."
        )
    if found.renamed:
        notes.append(
            f"under other names in the model folder, so that only their shapes are held against "
            f"it: {counted(len(found.renamed), 'matrix', 'matrices')}, the first "
            f"{found.renamed[0].name}"
        )
    if found.banks:
        notes.append(
            f"stored in pieces in the model folder, so that their shapes are not verified: "
            f"{counted(len(found.banks), 'bank')} of experts, the first {found.banks[0].name}"
        )
    counts = {"tensors": len(tensors), "weights": held}
    return Finding(counts, tuple(problems), tuple(notes))


@dataclass(frozen=True)
class _Comparison:
    """Matrices that are not in the folder under their name and in their shape."""

    other_shape: list[Matrix]
    missing: list[Matrix]
    renamed: list[Matrix]
    """transformers may rename parameters when it saves; another tensor has their shape."""
    banks: list[Matrix]

    @classmethod
    def of(cls, matrices: tuple[Matrix, ...], tensors: dict[str, Shape]) -> _Comparison:
        named = {m.name: name for m in matrices if (name := _name(m, tensors)) is not None}
        left = Counter(shape for name, shape in tensors.items() if name not in named.values())
        found = cls([], [], [], [])
        for matrix in matrices:
            shape = _shape(matrix)
            if matrix.name in named:
                if tensors[named[matrix.name]] != shape:
                    found.other_shape.append(matrix)
            elif left[shape]:
                left[shape] -= 1
                found.renamed.append(matrix)
            elif matrix.copies > 1:
                found.banks.append(matrix)
            else:
                found.missing.append(matrix)
        return found


def _name(matrix: Matrix, tensors: dict[str, Shape]) -> str | None:
    """Under which it is stored: of parameters that share memory one is."""
    return next((n for n in (matrix.name, matrix.tied_to) if n in tensors), None)


def _shape(matrix: Matrix) -> Shape:
    shape = (matrix.cols, matrix.rows)
    if matrix.stored == "rows_cols":
        shape = (matrix.rows, matrix.cols)
    return shape if matrix.copies == 1 else (matrix.copies, *shape)


def _spell(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _read(folder: Path) -> dict[str, Shape]:
    """The shape of every tensor in the folder's files. Raises Damaged."""
    whole = folder.resolve()
    for file in sorted(folder.iterdir()):
        if file.is_symlink() and not file.resolve().is_relative_to(whole):
            raise Damaged(f"{MODEL}/{file.name} is a link that leaves the folder.")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Damaged(f"{MODEL} has no .safetensors file.")
    tensors: dict[str, Shape] = {}
    for file in files:
        for name, shape in read_header(file, f"{MODEL}/{file.name}").items():
            if name in tensors:
                raise Damaged(f"{MODEL}/{file.name} holds {name}, which another file holds too.")
            tensors[name] = shape
    return tensors


def read_header(file: Path, where: str) -> dict[str, Shape]:
    """The shape of every tensor of a safetensors file. Raises Damaged."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(_LONGEST, size - 8):
                raise Damaged(f"{where} has no whole header: it is cut short or something else.")
            header = parse_json(stream.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{where} cannot be read: {error}.") from error
    if not isinstance(header, dict):
        raise Damaged(f"{where} has a header that lists no tensors.")
    header.pop("__metadata__", None)
    data = size - 8 - length
    shapes, held, places = {}, 0, []
    for name, entry in header.items():
        shapes[name], begin, end = _tensor(entry, f"{where}: {name}", data)
        held += end - begin
        places.append((begin, end, name))
    if held != data:
        raise Damaged(f"{where} holds {data:,} bytes of weights, but its tensors take {held:,}.")
    filled = 0
    for begin, end, name in sorted(places):
        if begin != filled:
            raise Damaged(f"{where}: {name} begins at byte {begin:,}, but {filled:,} is next.")
        filled = end
    return shapes


def _tensor(entry: Any, where: str, data: int) -> tuple[Shape, int, int]:
    """Shape, first byte and end of a tensor that its entry describes rightly."""
    try:
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        size = math.prod(shape) * _BYTES.get(entry["dtype"], 0)
    except (KeyError, TypeError, ValueError):
        whole = False
    if whole and end > data:
        raise Damaged(f"{where} reaches over the end of the file: it is cut short.")
    if not whole or begin > end:
        raise Damaged(f"{where} is not described as the format demands.")
    if entry["dtype"] in _BYTES and size != end - begin:
        raise Damaged(
            f"{where} is {_spell(shape)} {entry['dtype']}, but has {end - begin:,} bytes."
        )
    return shape, begin, end
