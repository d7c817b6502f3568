"""A program as graphs and node data for Model Explorer, in its JSON, without a line of its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afmc.common.files import Kind, begins, check_file, written
from afmc.errors import OptionError
from afmc.evaluation.results import check, read_validation
from afmc.export.exported import Exported
from afmc.export.model_explorer.graphs import graphs_of
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import read_program

GRAPHS = Kind("a file of graphs that afmc wrote", begins(b'{"label":', has=b'"graphs":[{'))
OVERLAY = Kind("a file of node data that afmc wrote", begins(b'{"', has=b'":{"name":"'))

# Light to dark, so that they are told apart without colour too.
_SHADES = (
    ("#f1f5fb", "#202124"), ("#c6dbef", "#202124"), ("#8fbfe0", "#202124"), ("#4a90c4", "#ffffff"),
    ("#15548f", "#ffffff"),
)  # fmt: skip


def export_model_explorer(
    directory: Path | str, file: Path | str, *, validation: Path | str | None = None
) -> Exported:
    """Writes the graphs of a compiled model, dataflow and tiles, and beside them node data to
    colour them by: ``FILE.utilisation.json``, and with a validation that was made with
    ``by_matrix`` ``FILE.error.json``.

    Raises OptionError for a validation of something else, or where nothing can be written.
    """
    directory, file = Path(directory), Path(file)
    if not file.is_dir() and file.suffix != ".json":
        raise OptionError(f"-o {file}: name a file that ends in .json, as Model Explorer reads it.")
    check_file(file, GRAPHS)
    kept = read_program(directory)
    errors = {} if validation is None else _errors(kept, Path(validation))
    dataflow, tiles, drawn = graphs_of(kept, errors)
    graphs = (dataflow, tiles)
    overlays = {"utilisation": _node_data("cells with weights", {g.id: g.use for g in graphs})}
    if errors:
        of_node = {g.id: {n: errors[m] for n, m in g.matrix_of.items()} for g in graphs}
        overlays["error"] = _node_data("relative error of products", of_node)
    collection = {"label": kept.program.model.name, "graphs": [each.to_json() for each in graphs]}
    more = tuple(file.with_suffix(f".{name}.json") for name in overlays)
    for place in more:
        check_file(place, OVERLAY)
    for place, overlay in zip(more, overlays.values(), strict=True):
        _write(place, OVERLAY, overlay)
    _write(file, GRAPHS, collection)
    nodes = len(tiles.nodes) + len(dataflow.nodes)
    return Exported(
        file,
        f"{nodes:,} nodes in two graphs",
        file.stat().st_size,
        {"nodes": nodes},
        (f"in the graph of tiles {drawn.rule}",),
        more,
    )


def _errors(kept: CompiledProgram, file: Path) -> Mapping[str, float]:
    """By matrix, as the mean over instances. Raises OptionError."""
    found = check(kept, read_validation(file, kept), f"the validation {file}")
    errors = {each.name: each.relative_error.mean for each in found.matrices}
    missing = [matrix.name for matrix in kept.program.analog if matrix.name not in errors]
    if missing:
        raise OptionError(
            f"the validation {file} has no error of {missing[0]}: make it with 'afmc validate DIR "
            f"--by-matrix --json'."
        )
    return errors


def _node_data(name: str, values: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Values by graph and node, in equal steps from the smallest to the largest."""
    every = [value for of_graph in values.values() for value in of_graph.values()]
    low, high = min(every), max(every)
    steps = [low + (high - low) * (at + 1) / len(_SHADES) for at in range(len(_SHADES))]
    thresholds = [
        {"value": value, "bgColor": background, "textColor": text}
        for value, (background, text) in zip([*steps[:-1], high], _SHADES, strict=True)
    ]
    return {
        graph: {
            "name": name,
            "results": {node: {"value": value} for node, value in of_graph.items()},
            "thresholds": thresholds,
        }
        for graph, of_graph in values.items()
    }


def _write(file: Path, kind: Kind, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    with written(file, kind) as unfinished:
        unfinished.write_text(f"{text}\n", encoding="utf-8")
