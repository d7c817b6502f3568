"""A compiled language model as a Hugging Face folder, with its mapping beside the weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from afmc.common.files import check_folder, written_folder
from afmc.common.json_schema import (
    DIALECT,
    Field,
    by_name,
    choice,
    of,
    record,
    several,
    text,
    truth,
    version,
    whole,
)
from afmc.common.version import VERSION
from afmc.errors import OptionError
from afmc.export.exported import Exported
from afmc.export.huggingface.tensors import COLUMNS, tensor_table
from afmc.export.recovered import notes_on_recovery
from afmc.export.tables.lines import json_array
from afmc.frontends.checkpoint.folder import MAPPING, headers, sha256_of_files, weight_files
from afmc.frontends.huggingface.pieces import Pieces
from afmc.frontends.huggingface.stored import stored_pieces
from afmc.hardware.defect_map import DefectMap
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import PROGRAM, check_model, made_of, read_program, require_weights
from afmc.program.model import Matrix
from afmc.program.program import Program

SCHEMA_VERSION = 1
_CONFIG = "config.json"


def export_huggingface(
    directory: Path | str, folder: Path | str, *, force: bool = False
) -> Exported:
    """Writes configuration, safetensors and tokenizer of a compiled model, as ``from_pretrained``
    of transformers reads them, and ``afmc_mapping.json``: which part of which tensor is where.

    A folder that this wrote before of the same model for the same target is replaced, with `force`
    any other one, too; files that afmc did not write stay. Raises ArtifactError for a compile
    without weights, ModelError where they are not those of the mapping, OptionError for what is no
    language model, or where the folder cannot be written.
    """
    directory, folder = Path(directory), Path(folder)
    kept, model = saved_model(directory)
    made = made_of("Hugging Face folder", kept.program.model.name, kept.target)
    check_folder(folder, made, (MAPPING, _CONFIG), force=force)
    pieces = stored_pieces(model, kept.program.analog)
    table = tensor_table(kept.layout, pieces)
    with written_folder(folder, made, VERSION, force=force) as unfinished:
        for file in sorted(model.iterdir()):
            if file.is_file():
                shutil.copyfile(file, unfinished / file.name)
        head = _head(kept, pieces, directory, unfinished)
        opened = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        with (unfinished / MAPPING).open("wb") as out:
            out.write(f'{opened},\n "placements": '.encode())
            out.writelines(json_array(table))
            out.write(b"}\n")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    what = f"model and mapping, {table.rows:,} parts of tensors on crossbars,"
    notes = notes_on_recovery(kept.program, "a model of transformers")
    return Exported(folder, what, size, {"placements": table.rows}, notes)


def saved_model(directory: Path) -> tuple[CompiledProgram, Path]:
    """A compile and its folder of transformers. Raises ArtifactError for a compile without weights,
    OptionError for what is no model of transformers."""
    kept = read_program(directory)
    require_weights(kept.program, "a Hugging Face folder")
    model = check_model(directory)
    if not (model / _CONFIG).is_file():
        raise OptionError(
            f"{kept.program.model.name} is no model of transformers, so there is no Hugging Face "
            f"folder of it: leave --as out for the mapping as a table."
        )
    return kept, model


def _head(kept: CompiledProgram, pieces: Pieces, directory: Path, folder: Path) -> dict[str, Any]:
    """All of the mapping but the placements."""
    program, target = kept.program, kept.target
    held = headers(folder)
    transposed = {each.tensor: each.transposed for name in pieces for each in pieces[name]}
    return {
        "schema_version": SCHEMA_VERSION,
        "afmc_version": VERSION,
        "model": asdict(program.model),
        "files": {each.name: sha256_of_files([each], names=False) for each in weight_files(folder)},
        "program_json_sha256": sha256_of_files([directory / PROGRAM], names=False),
        "target": {
            "name": target.name,
            "description": target.model_dump(mode="json", exclude_unset=True),
        },
        "calibration": program.calibration and asdict(program.calibration),
        "training": program.training and asdict(program.training),
        "recovery": program.recovery and asdict(program.recovery),
        "tensors": [
            {
                "name": name,
                "file": held[name].file.name,
                "shape": list(held[name].shape),
                "transposed": transposed[name],
            }
            for name in transposed
        ],
        "matrices": [_matrix(matrix, program) for matrix in program.matrices],
        "groups": [
            {
                "name": group.name,
                "members": list(group.members),
                "rows": group.rows,
                "cols": group.cols,
                "replicas": list(group.replicas or (1,) * group.copies),
            }
            for group in program.groups
        ],
        "lines": list(_lines(kept)),
    }


def _matrix(matrix: Matrix, program: Program) -> dict[str, Any]:
    ranges = matrix.slice_ranges or (matrix.input_range,)
    return {
        "name": matrix.name,
        "rows": matrix.rows,
        "cols": matrix.cols,
        "copies": matrix.copies,
        "module": matrix.module,
        "bias": matrix.bias,
        "tied_to": matrix.tied_to,
        "input": matrix.input,
        "input_ranges": [each for each in ranges if each is not None],
        "digital": (program.digital or {}).get(matrix.name),
    }


def _lines(kept: CompiledProgram) -> Iterator[dict[str, Any]]:
    """Lines of crossbars that are not filled from line 0 on, in order."""
    program = kept.program
    if program.defects is None:
        return
    known = DefectMap(program.defects, kept.target)
    for place in np.unique(program.placements[["chip", "tile", "tier"]]).tolist():
        lines = program.order_of.get(place) or known.live_lines(place)
        if any(not np.array_equal(each, np.arange(len(each))) for each in lines):
            rows, cols = (each.tolist() for each in lines)
            chip, tile, tier = place
            yield {"chip": chip, "tile": tile, "tier": tier, "rows": rows, "cols": cols}


def huggingface_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc_mapping.json``."""
    return {
        "$schema": DIALECT,
        "title": "afmc mapping of a Hugging Face folder",
        **record(
            FIELDS,
            "Which weights of a model are where on analog tiles. Rows of matrices are inputs and "
            "columns outputs; everything counts from 0.",
        ),
    }


_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_OBJECT = {"type": "object"}
_WHOLE = {"type": "integer", "minimum": 0}
_ABOVE_ZERO = {"type": "number", "exclusiveMinimum": 0}
FIELDS = (
    version(SCHEMA_VERSION),
    text("afmc_version", "That wrote this."),
    of(
        "model",
        "What was compiled.",
        (
            text("name", "As the user wrote it."),
            text("architecture", "Class in transformers."),
            Field("sha256", "Of the weight files that were compiled.", _HASH),
            whole("parameters", "Stored weights, tied ones counted once.", "weights"),
            truth("shapes_only", "False: there are weights."),
            choice("unit", "What counts are for.", ("token", "inference")),
            whole(
                "positions",
                "Tokens that one attends to at most; null where nothing limits them.",
                unknown=True,
            ),
        ),
    ),
    by_name("files", "SHA-256 of each file of weights beside this one, by its name.", _HASH),
    Field("program_json_sha256", "Of program.json of the compile that this was made from.", _HASH),
    of(
        "target",
        "The hardware.",
        (
            text("name", "As in 'afmc targets list'."),
            Field(
                "description",
                "All its figures, as in its file; 'afmc targets schema' describes them.",
                _OBJECT,
            ),
        ),
    ),
    Field(
        "calibration",
        "How the input ranges were found that the model did not bring along: method, text, "
        "text_sha256, tokens; null where it brought all of them along, or has none.",
        _OBJECT,
        unknown=True,
    ),
    Field(
        "training",
        "The hardware that the model was trained for, as its checkpoint said; null if it did not.",
        _OBJECT,
        unknown=True,
    ),
    Field(
        "recovery",
        "What the compile did so that the model works on the target, as in its program.json, which "
        "tensors and crossbars alone do not show: tokens of a prefix, `rotated` inputs, limits of "
        "weights, corrections; null where nothing was done. Crossbars hold the rotated weights.",
        _OBJECT,
        unknown=True,
    ),
    several(
        "tensors",
        "Of the safetensors, those that hold weights that are on tiles.",
        (
            text("name", "In the file."),
            text("file", "Beside this one."),
            several("shape", "Of the tensor.", _WHOLE),
            truth(
                "transposed",
                "Whether it is [columns, rows], as those of torch.nn.Linear: then the transpose of "
                "a part of it is what a crossbar holds.",
            ),
        ),
    ),
    several(
        "matrices",
        "All matrices, in dataflow order, also those that stay digital.",
        (
            text("name", "Of the parameter in the module, which transformers may store in pieces."),
            whole("rows", "Inputs."),
            whole("cols", "Outputs."),
            whole("copies", "Experts, of a bank; else 1."),
            text("module", "Path of the module that multiplies by it."),
            text("bias", "Parameter that is added digitally.", unknown=True),
            text("tied_to", "Parameter that shares its storage.", unknown=True),
            text("input", "The activation that it reads; those with the same one can be merged."),
            several(
                "input_ranges",
                "Half widths of the input converters' ranges, in units of the activation, rotated "
                "where `recovery` says so: one, or one for each of as many nearly equal pieces of "
                "the rows; empty for none.",
                _ABOVE_ZERO,
            ),
            text("digital", "Why it stays digital; null where it is on tiles.", unknown=True),
        ),
    ),
    several(
        "groups",
        "Matrices that lie side by side, as one, because they read the same input; blocks are cut "
        "from these.",
        (
            text("name", "Of the parameter, or of all of them."),
            several("members", "Names of matrices.", {"type": "string"}),
            whole("rows", "Inputs."),
            whole("cols", "Outputs, of all members side by side."),
            several("replicas", "How many times each copy is placed.", _WHOLE),
        ),
    ),
    several(
        "lines",
        "Crossbars that are not filled from their first row and column on, in order, because of "
        "defects.",
        (
            whole("chip", "As in placements."),
            whole("tile", "As in placements."),
            whole("tier", "As in placements."),
            several("rows", "Physical rows: where `row` of a placement counts 0, 1, ...", _WHOLE),
            several("cols", "Physical columns, likewise.", _WHOLE),
        ),
    ),
    several("placements", "Each a part of a tensor on one crossbar.", COLUMNS),
)
