"""Under which names, and in which pieces, a Hugging Face folder holds the matrices of a program.

transformers renames some parameters when it saves, and takes banks of experts to pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import Header, headers
from afmc.frontends.huggingface.pieces import Pieces, StoredPiece
from afmc.program.model import Matrix


def stored_pieces(folder: Path, matrices: Sequence[Matrix]) -> Pieces:
    """Where every matrix is in the folder's safetensors, by its name in the program.

    Raises ModelError, in one sentence, for a matrix that is not found there as a whole.
    """
    held = headers(folder)
    found = {matrix.name: _under_its_name(matrix, held) for matrix in matrices}
    elsewhere = [matrix for matrix in matrices if not found[matrix.name]]
    if elsewhere:
        from afmc.frontends.huggingface.renamed import renamed_pieces

        found |= renamed_pieces(folder, elsewhere)
    for matrix in matrices:
        _check_whole(matrix, found[matrix.name], held, folder)
    return found


def _under_its_name(matrix: Matrix, held: Mapping[str, Header]) -> tuple[StoredPiece, ...]:
    """Empty where it is not there; of parameters that share memory one is stored."""
    transposed = matrix.stored == "cols_rows"
    for name in (matrix.name, matrix.tied_to):
        if name is not None and name in held:
            stacked, copies = len(held[name].shape) == 3, range(matrix.copies)
            whole = (0, 0, matrix.rows, matrix.cols)
            return (StoredPiece(name, copies, stacked, *whole, transposed),)
    return ()


def _check_whole(
    matrix: Matrix, pieces: Sequence[StoredPiece], held: Mapping[str, Header], folder: Path
) -> None:
    for piece in pieces:
        shape = (len(piece.copies), *piece.shape) if piece.stacked else piece.shape
        if piece.tensor not in held or held[piece.tensor].shape != shape:
            wanted = " x ".join(map(str, shape))
            raise ModelError(
                f"{folder} has no tensor {piece.tensor} of {wanted}, in which {matrix.name} would "
                f"be: compile the model again."
            )
    weights = sum(len(each.copies) * each.rows * each.cols for each in pieces)
    if weights != matrix.weights:
        raise ModelError(
            f"{folder} has {weights:,} of the {matrix.weights:,} weights of {matrix.name} under "
            f"names that are known: compile the model again."
        )
