"""``afmc export --as graph``: the digital part of a compiled folder as a graph of torch."""

from __future__ import annotations

from pathlib import Path

from afmc.common.files import Kind, begins, check_file, written
from afmc.compiled_model import load
from afmc.errors import OptionError
from afmc.export import Exported
from afmc.export.recovered import notes_on_recovery
from afmc.lower.graph import save_graph
from afmc.program.folder import read_program, require_weights

ENDING = ".pt2"
GRAPH = Kind("an exported program of torch", begins(b"PK\x03\x04"))


def export_graph(directory: Path | str, file: Path | str) -> Exported:
    """Writes the exported graph with ``afmc::mvm`` calls in the place of analog products, for other
    tools: ``import afmc``, then ``torch.export.load``, which must be trusted.

    Raises OptionError where the file cannot be written, ArtifactError for a compile without
    weights, ModelError for a graph that came from ONNX.
    """
    directory, file = Path(directory), Path(file)
    if not file.is_dir() and file.suffix != ENDING:
        raise OptionError(f"-o {file}: name a file that ends in {ENDING}.")
    check_file(file, GRAPH)
    kept = read_program(directory)
    require_weights(kept.program, "a graph")
    graph = load(directory, kept=kept).digital_graph()
    with written(file, GRAPH) as unfinished:
        save_graph(graph, unfinished)
    calls = sum(str(node.target).startswith("afmc.") for node in graph.graph.nodes)
    notes = notes_on_recovery(kept.program, "the graph outside of its calls of tiles")
    what = f"graph with {calls:,} calls of tiles"
    return Exported(file, what, file.stat().st_size, {"calls": calls}, notes)
