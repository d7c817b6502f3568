"""Graphs for Model Explorer: what is in them, how few nodes, and that its own code takes them."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import pytest
import written

from afmc.errors import OptionError
from afmc.export import export_model_explorer
from afmc.export.model_explorer.graphs import DATAFLOW, TILES, graphs_of
from afmc.export.model_explorer.parts import parts_drawn
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import read_program

Nodes = dict[str, dict[str, Any]]


def graphs_in(file: Path) -> dict[str, Nodes]:
    """Nodes by name, after a look at the whole."""
    collection = json.loads(file.read_text())
    assert set(collection) == {"label", "graphs"}
    found = {}
    for graph in collection["graphs"]:
        nodes = {node["id"]: node for node in graph["nodes"]}
        assert len(nodes) == len(graph["nodes"])
        for node in graph["nodes"]:
            assert set(node) - {"style"} == {"id", "label", "namespace", "attrs", "incomingEdges"}
            assert all(edge["sourceNodeId"] in nodes for edge in node["incomingEdges"])
        found[graph["id"]] = nodes
    return found


def sources(node: dict[str, Any]) -> list[str]:
    return [edge["sourceNodeId"] for edge in node["incomingEdges"]]


def attributes(node: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in node["attrs"]}


def test_a_small_mapping(tmp_path: Path) -> None:
    made = export_model_explorer(kept.write(tmp_path / "out"), tmp_path / "a.json")
    graphs = graphs_in(tmp_path / "a.json")
    assert made.counts["nodes"] == sum(map(len, graphs.values()))
    flow, tiles = graphs[DATAFLOW], graphs[TILES]
    assert sources(flow["q.weight"]) == sources(flow["k.weight"]) == ["input x"]
    assert sources(flow["input z"]) == ["b.weight"] and sources(flow["input x"]) == ["start"]
    assert attributes(flow["d.weight"])["where"] == "digital: kept digital"
    assert attributes(flow["experts"])["experts"] == "3"
    assert attributes(flow["experts"])["crossbars"] == "3"

    # Two blocks of 16 x 8 that q and k share lie on four parts; three experts, one there twice.
    parts = {name: node for name, node in tiles.items() if "#" in name}
    of_matrix = Counter(name.rpartition("#")[0] for name in parts)
    assert of_matrix == {"q.weight": 2, "k.weight": 2, "b.weight": 1, "experts": 4}
    assert sources(tiles["q.weight"]) == [name for name in parts if name.startswith("q.weight#")]
    assert sources(tiles["experts#5"]) == ["input z"]
    assert tiles["experts#5"]["namespace"] == "chip 0/tile 0/tier 1"
    assert tiles["experts#5"]["label"] == "experts[0] 0:6 x 0:6"
    assert tiles["experts"]["label"] == "sum of experts"
    assert {node["namespace"].split("/")[0] for node in tiles.values()} == {
        "digital", "chip 0", "chip 1",
    }  # fmt: skip


def test_utilisation_is_of_the_whole_crossbar(tmp_path: Path) -> None:
    made = export_model_explorer(kept.write(tmp_path / "out"), tmp_path / "a.json")
    assert [each.name for each in made.more] == ["a.utilisation.json"]
    data = json.loads((tmp_path / "a.utilisation.json").read_text())
    assert set(data) == {DATAFLOW, TILES}
    tiles = {name: each["value"] for name, each in data[TILES]["results"].items()}
    cells = 16 * 12
    assert tiles["q.weight#0"] == tiles["k.weight#2"] == (16 * 12) / cells
    assert tiles["b.weight#4"] == tiles["experts#5"] == (10 * 6 + 6 * 6) / cells
    assert tiles["experts#8"] == pytest.approx(36 / cells)
    # The bank has one crossbar with b's block, one with two experts, one alone.
    [experts] = [data[DATAFLOW]["results"]["experts"]["value"]]
    assert experts == pytest.approx((96 + 72 + 36) / 3 / cells)
    values = [each["value"] for each in data[TILES]["thresholds"]]
    assert values == sorted(values) and values[-1] == max(tiles.values())


@pytest.mark.parametrize(
    ("most", "level", "nodes"),
    [(9, "every block is a node", 9), (8, "on one crossbar are a node", 6),
     (5, "on one chip are a node", 5), (4, "all blocks of a matrix are a node", 4),
     (1, "all blocks of a matrix are a node", 4)],
)  # fmt: skip
def test_no_more_nodes_than_can_be_looked_at(most: int, level: str, nodes: int) -> None:
    program, target = kept.program("parallel"), kept.target("parallel")
    compiled = CompiledProgram(program, target, (), {})
    drawn = parts_drawn(compiled, most)
    assert level in drawn.rule and len(drawn.parts) == nodes
    assert ("are more than" in drawn.rule) == (most < 9)
    weights = sum(int(part.attributes["weights on tiles"]) for part in drawn.parts)
    assert weights == int((program.blocks["rows"] * program.blocks["cols"]).sum())
    whole = parts_drawn(compiled)
    assert drawn.of_matrix == whole.of_matrix
    assert set(drawn.groups) <= set(whole.groups)


def validation(folder: Path) -> dict[str, Any]:
    made = read_program(folder)
    estimate = {"mean": 0.1, "std": None, "interval_95": None, "values": [0.1]}
    errors = {name: 0.02 * (at + 1) for at, name in enumerate(m.name for m in made.program.analog)}
    condition = {
        "at_s": 0.0, "temperature_C": 25.0, "compensation": "none", "kl_divergence": estimate,
        "analog": {"perplexity": estimate}, "top1_agreement": estimate,
    }  # fmt: skip
    return {
        "model": made.program.model.name,
        "model_sha256": made.program.model.sha256,
        "target": made.target.name,
        "digital": {"perplexity": 9.0},
        "conditions": [condition],
        "tokens": 64, "scored_tokens": 60, "window": 32, "instances": 1, "seed": 0, "text": "t",
        "simulation_tokens_per_s": {"digital": {"mean": 2.0}, "analog": {"mean": 1.0}},
        "programming_s": 0.1, "wall_s": 1.0,
        "matrices": [
            {"name": name, "relative_error": {**estimate, "mean": value}}
            for name, value in errors.items()
        ],
    }  # fmt: skip


def test_errors_by_matrix(tmp_path: Path) -> None:
    folder = kept.write(tmp_path / "out")
    (tmp_path / "v.json").write_text(json.dumps(validation(folder)))
    made = export_model_explorer(folder, tmp_path / "a.json", validation=tmp_path / "v.json")
    assert [each.name for each in made.more] == ["a.utilisation.json", "a.error.json"]
    data = json.loads((tmp_path / "a.error.json").read_text())
    flow, tiles = data[DATAFLOW]["results"], data[TILES]["results"]
    assert {name: each["value"] for name, each in flow.items()} == pytest.approx(
        {"q.weight": 0.02, "k.weight": 0.04, "b.weight": 0.06, "experts": 0.08}
    )
    assert tiles["experts#7"]["value"] == 0.08
    nodes = graphs_in(tmp_path / "a.json")[TILES]
    assert attributes(nodes["experts#7"])["relative error of products"] == "8.00 %"


def test_bad_input(tmp_path: Path) -> None:
    folder = kept.write(tmp_path / "out")
    good = validation(folder)
    (tmp_path / "none.json").write_text(json.dumps({**good, "matrices": []}))
    (tmp_path / "other.json").write_text(json.dumps({**good, "model": "another"}))
    for file, given, sentence in (
        ("a.txt", None, r"a\.txt: name a file that ends in \.json, as Model Explorer reads it\."),
        ("out", None, "is a folder; name a file in it"),
        ("b/a.json", None, "there is no folder"),
        (
            "a.json",
            "none.json",
            r"has no error of q\.weight: make it with 'afmc validate DIR --by-",
        ),
        ("a.json", "other.json", "is of another, not of kept as compiled here"),
        ("a.json", "gone.json", "cannot be read: No such file"),
    ):
        with pytest.raises(OptionError, match=sentence):
            chosen = None if given is None else tmp_path / given
            export_model_explorer(folder, tmp_path / file, validation=chosen)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.json", "other.json", "out"]


def test_the_same_text_each_time(tmp_path: Path) -> None:
    folder = written.write(tmp_path / "out")
    for name in ("a.json", "b.json"):
        export_model_explorer(folder, tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a.utilisation.json").read_bytes() == (
        tmp_path / "b.utilisation.json"
    ).read_bytes()


def test_a_matrix_whose_errors_are_not_known_has_none() -> None:
    made = CompiledProgram(replace(kept.program("serial")), kept.target("serial"), (), {})
    _, tiles, _ = graphs_of(made, {"q.weight": 0.5})
    shown = {node.id: node.attributes.get("relative error of products") for node in tiles.nodes}
    assert shown["q.weight#0"] == "50.00 %" and shown["experts#7"] is None


def test_model_explorers_own_classes_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its wheel alone, without what its server imports."""
    found = importlib.util.find_spec("model_explorer")
    if found is None or importlib.util.find_spec("dacite") is None:
        pytest.skip(
            "NOT HELD AGAINST MODEL EXPLORER: run 'pip install --no-deps "
            "ai-edge-model-explorer==0.1.34 dacite==1.9.2'"
        )
    package = types.ModuleType("model_explorer")
    package.__path__ = list(found.submodule_search_locations or ())
    monkeypatch.setitem(sys.modules, "model_explorer", package)
    import dacite
    from model_explorer.graph_builder import GraphCollection
    from model_explorer.node_data_builder import GraphNodeData

    export_model_explorer(kept.write(tmp_path / "out"), tmp_path / "a.json")
    strict = dacite.Config(strict=True)
    collection = json.loads((tmp_path / "a.json").read_text())
    read_back = dacite.from_dict(GraphCollection, collection, strict)
    assert [graph.id for graph in read_back.graphs] == [DATAFLOW, TILES]
    assert all(node.style.backgroundColor for graph in read_back.graphs for node in graph.nodes)
    for data in json.loads((tmp_path / "a.utilisation.json").read_text()).values():
        assert dacite.from_dict(GraphNodeData, data, strict).results
