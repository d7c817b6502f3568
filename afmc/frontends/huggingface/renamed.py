"""Where transformers puts the parameters that it renames or takes to pieces when it saves.

Its conversion is run on tensors that hold their own indices instead of weights, along one axis at a
time and only two wide along the other, so that the size of a model does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import check_config
from afmc.frontends.door import HUGGINGFACE, Source
from afmc.frontends.huggingface.pieces import StoredPiece
from afmc.frontends.huggingface.shapes import load_shapes
from afmc.frontends.loaded import cause_of
from afmc.frontends.quiet import quiet
from afmc.program.model import Matrix

_WIDTH = 2


def renamed_pieces(folder: Path, matrices: Sequence[Matrix]) -> dict[str, tuple[StoredPiece, ...]]:
    """Stored pieces of these matrices; a part whose indices do not follow one another is left out.

    Raises ModelError.
    """
    module = load_shapes(Source(folder.name, HUGGINGFACE, check_config(folder))).module
    shapes = {name: each.shape for name, each in module.named_parameters(remove_duplicate=False)}
    found = {}
    for matrix in matrices:
        if matrix.name not in shapes:
            raise ModelError(
                f"{folder} has the configuration of a model without {matrix.name}: compile the "
                f"model again."
            )
        first, last = (_saved(module, matrix.name, shapes[matrix.name], axis) for axis in (0, 1))
        pieces = [_piece(tensor, matrix, first[tensor], last[tensor]) for tensor in first]
        found[matrix.name] = tuple(piece for piece in pieces if piece is not None)
    return found


def _saved(module: nn.Module, name: str, shape: Sequence[int], axis: int) -> dict[str, Tensor]:
    """What a parameter is saved as, with the indices along an axis of a copy for values, counted
    on from copy to copy."""
    copies, sizes = shape[0] if len(shape) == 3 else 1, [min(_WIDTH, size) for size in shape[-2:]]
    sizes[axis] = shape[-2:][axis]
    along = torch.arange(copies * sizes[axis]).view(copies, sizes[axis]).unsqueeze(2 - axis)
    probe = along.expand(copies, *sizes).view(*shape[:-2], *sizes)
    try:
        with quiet(), torch.no_grad():
            saved: dict[str, Tensor] = revert_weight_conversion(module, {name: probe})
    except Exception as error:  # transformers raises nearly every type
        raise ModelError(
            f"transformers does not say how it stores {name} ({cause_of(error)})."
        ) from (error)
    return saved


def _piece(tensor: str, matrix: Matrix, first: Tensor, last: Tensor) -> StoredPiece | None:
    """The rectangle of a matrix of which a tensor has these indices along the two axes."""
    if first.dim() not in (2, 3):
        return None
    upright = matrix.stored == "cols_rows"
    sizes = (matrix.cols, matrix.rows) if upright else (matrix.rows, matrix.cols)
    planes = [each.reshape(-1, *each.shape[-2:]) for each in (first, last)]
    copies = planes[0][:, 0, 0] // sizes[0]
    for turned in (False, True):
        lines = [planes[0][0, :, 0], planes[1][0, 0]]
        if turned:
            lines = [planes[0][0, 0], planes[1][0, :, 0]]
        if all(map(_follow, (copies, *lines))):
            along = [
                (int(line[0]) % size, len(line)) for line, size in zip(lines, sizes, strict=True)
            ]
            (row, rows), (col, cols) = reversed(along) if upright else along
            held = range(int(copies[0]), int(copies[-1]) + 1)
            return StoredPiece(
                tensor, held, first.dim() == 3, row, col, rows, cols, upright != turned
            )
    return None


def _follow(indices: Tensor) -> bool:
    return bool((indices.diff() == 1).all())
