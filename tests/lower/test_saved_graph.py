"""The graph on disk: it loads wherever afmc is imported, and says nothing of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compiled_once import Shared
from models import tiny_model

import afmc
from afmc.common.imported import import_after
from afmc.mlir.torch_graph import export_graph

LOAD = """
import sys
graph = torch.export.load(sys.argv[1])
assert "afmc.simulator" not in sys.modules
targets = {str(node.target) for node in graph.graph.nodes}
assert "afmc.mvm.default" in targets, targets
try:
    graph.module()(torch.zeros(1, 8, dtype=torch.long))
except RuntimeError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def compiled(shared: Shared) -> Path:
    def make(folder: Path) -> None:
        afmc.compile(tiny_model("llama"), "ideal-512", level=0).save(folder / "llama")
        export_graph(folder / "llama", folder / "llama" / "graph.pt2")
        network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
        inputs = torch.rand(4, 8)
        afmc.compile(network, "ideal-512", example_inputs=inputs, level=0).save(folder / "network")

    return shared("saved graphs", make=make)


@pytest.mark.parametrize("order", ["import afmc, torch", "import torch, afmc"])
def test_it_loads_where_afmc_is_imported(compiled: Path, order: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", order + LOAD, compiled / "llama" / "graph.pt2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "afmc::mvm has no tiles: run the graph with afmc.load(DIR).graph()" in ran.stdout


def texts(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in (each for each in folder.rglob("*") if each.is_file()):
        yield str(file), file.read_bytes()
        if file.suffix == ".pt2":
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    yield f"{file}/{name}", archive.read(name)


@pytest.mark.parametrize("name", ["llama", "network"])
def test_nothing_of_a_compile_holds_a_path_of_this_machine(compiled: Path, name: str) -> None:
    places = {str(Path(module.__file__ or "").parents[1]) for module in (afmc, torch)}
    for file, content in texts(compiled / name):
        for place in {*places, str(Path.home()), str(compiled)}:
            assert place.encode() not in content, file
        assert not re.search(rb"\.py\\?\", line", content), file


def test_what_is_imported_after_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "afmc_first.py").write_text("print('first')")
    (tmp_path / "afmc_then.py").write_text("print('then')")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    import_after("afmc_first", "afmc_then")
    assert capsys.readouterr().out == ""
    __import__("afmc_first")
    assert capsys.readouterr().out == "first\nthen\n" and sys.meta_path == before
    del sys.modules["afmc_then"]
    import_after("afmc_first", "afmc_then")
    assert capsys.readouterr().out == "then\n" and sys.meta_path == before
    for name in ("afmc_first", "afmc_then"):
        del sys.modules[name]


def test_a_module_that_is_not_there() -> None:
    before = list(sys.meta_path)
    import_after("afmc_nowhere", "afmc")
    with pytest.raises(ModuleNotFoundError):
        __import__("afmc_nowhere")
    assert sys.meta_path == before
