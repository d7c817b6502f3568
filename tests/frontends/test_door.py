"""Frontends come in through one door, and those that are built in keep what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import run
from torch import nn

import afmc
from afmc.common import plug_ins
from afmc.demo import MODELS
from afmc.errors import AfmcError, ModelError, OptionError
from afmc.frontends import door
from afmc.frontends.find import read_now, resolve, saved_in
from afmc.testing import Finding, check_frontend

WORDS = '''
from pathlib import Path

from afmc.errors import ModelError


class Words:
    """Networks in which every weight is a line of text."""

    suffixes = (".words",)

    def find(self, path):
        if not path.is_file():
            return None
        if not path.read_bytes().startswith(b"words"):
            raise ModelError(f"{path} does not begin with 'words'.")
        return path

    def load(self, source, reading):
        import torch
        from afmc.frontends.programs.modules import from_example

        try:
            first, *rest, last = source.path.read_text().split()
            if last != "end":
                raise ModelError(f"{source.name} ends too early.")
            layer = torch.nn.Linear(8, len(rest) // 8, bias=False)
            layer.weight.data[:] = torch.tensor([float(each) for each in rest]).view(-1, 8)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{source.name} holds something else: {type(error).__name__}.")
        return from_example(torch.nn.Sequential(layer), [torch.zeros(2, 8)], source.name)


class Careless(Words):
    suffixes = (".careless",)

    def find(self, path):
        import torch
        return path

    def load(self, source, reading):
        source.path.read_text().index("end")
        loaded = super().load(source, reading)
        loaded.module.requires_grad_(True)
        return loaded
'''


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a kind that another package reads."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "acme_words.py").write_text(WORDS)
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(sys.modules, "acme_words", raising=False)
    plugged_in(
        monkeypatch,
        EntryPoint("words", "acme_words:Words", door.GROUP),
        EntryPoint("careless", "acme_words:Careless", door.GROUP),
    )
    numbers = " ".join(str(each / 64) for each in range(-32, 32))
    (tmp_path / "net.careless").write_text(f"words {numbers} end")
    file = tmp_path / "net.words"
    file.write_text(f"words {numbers} end")
    return file


def plugged_in(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    def both(**selected: Any) -> list[EntryPoint]:
        return [*entry_points(**selected), *entries]

    monkeypatch.setattr(plug_ins, "entry_points", both)


def wrong(found: list[Finding]) -> list[str]:
    return [each.text for each in found if each.kind != "passed"]


def a_network(folder: Path, suffix: str) -> Path:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).eval()
    example = (torch.randn(2, 6),)
    file = folder / f"net{suffix}"
    if suffix == ".pt2":
        sizes = ({0: torch.export.Dim("n")},)
        torch.export.save(torch.export.export(network, example, dynamic_shapes=sizes), file)
    else:
        pytest.importorskip("onnxscript", reason="NOT TESTED: onnxscript is not installed")
        program = torch.onnx.export(network, example, dynamo=True, verbose=False)
        assert program is not None
        program.save(str(file))
    return file


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.filterwarnings("ignore")
def test_built_in_frontends_of_files_keep_what_the_door_promises(
    suffix: str, tmp_path: Path
) -> None:
    found = check_frontend(suffix[1:], a_network(tmp_path, suffix))
    assert wrong(found) == [] and len(found) == 5


def test_the_frontend_of_folders_keeps_what_the_door_promises() -> None:
    found = check_frontend("huggingface", MODELS["demo"])
    assert wrong(found) == [] and len(found) == 4


def test_the_frontend_of_gguf_files_keeps_what_the_door_promises(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="NOT TESTED: gguf is not installed")
    from gguf_files import make, write

    found = check_frontend("gguf", write(make("Llama"), "Llama", tmp_path / "m.gguf"))
    assert wrong(found) == [] and len(found) == 5


def test_every_built_in_frontend_is_tried() -> None:
    texts = [file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    tried = {name for text in texts for name in re.findall(r'check_frontend\("([\w-]+)"', text)}
    assert set(door.list_frontends()) <= {*tried, "onnx", "pt2"}
    assert list(door.list_frontends())[-1] == door.HUGGINGFACE


def test_a_frontend_of_another_package(words: Path, tmp_path: Path) -> None:
    assert wrong(check_frontend("words", words)) == []
    assert " a .careless, .gguf, .onnx, .pt2 or .words file, " in read_now()
    made = run(tmp_path, "compile", "-O0", words.name, "--target", "ideal-512")
    assert made.returncode == 0, made.stderr
    kept = afmc.load(tmp_path / "net.ideal-512")
    assert [(each.rows, each.cols) for each in kept.program.matrices] == [(8, 8)]
    assert kept.program.model.name == "net.words"
    source = saved_in(tmp_path / "net.ideal-512/model")
    assert source is not None and source.frontend == "pt2"


def test_what_is_wrong_with_a_frontend_is_found(words: Path) -> None:
    assert wrong(check_frontend("careless", words.with_suffix(".careless"))) == [
        "it imports torch, or finds nothing, before anything is loaded",
        "it has parameters that take gradients",
        "a file that ends after 0 bytes fails: ValueError('substring not found')",
    ]
    assert wrong(check_frontend("words", words.with_suffix(".careless"))) == [
        f"{words.with_suffix('.careless')} is read by the frontend careless"
    ]
    assert wrong(check_frontend("none", words)) == ["there is no frontend 'none'"]


def test_sentences_of_a_frontend_are_those_of_the_command(words: Path, tmp_path: Path) -> None:
    (tmp_path / "other.words").write_text("hello")
    (tmp_path / "short.words").write_text("words 1 2")
    for arguments, sentence in (
        (["other.words"], "other.words does not begin with 'words'."),
        (["short.words"], "short.words ends too early."),
        (["gone.words"], "gone.words does not exist."),
        (["net.words", "--shapes-only"], "net.words is a .words file, whose shapes are not read"),
        (["net.words", "--revision", "1"], "--revision is for a model on the hub, but net.words"),
    ):
        refused = run(tmp_path, "compile", "-O0", *arguments, "--target", "ideal-512")
        assert refused.returncode == 2 and sentence in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("onnx", "Words", "two packages provide a frontend 'onnx': acme_words:Words of unknown and "
         "afmc.frontends.onnx.frontend:Onnx of afmc; uninstall one."),
        ("more", "Words", "two packages read .words files: acme_words:Words of unknown and"),
        ("none", "WORDS", "the frontend 'none' (acme_words:WORDS of unknown) failed: AttributeErr"),
        ("path", "Path", "the frontend 'path' (acme_words:Path of unknown) has no method 'find'."),
    ],
)  # fmt: skip
def test_frontends_that_are_refused(
    words: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    more = [EntryPoint("words", "acme_words:Words", door.GROUP)] if name == "more" else []
    plugged_in(monkeypatch, EntryPoint(name, f"acme_words:{value}", door.GROUP), *more)
    with pytest.raises(OptionError) as caught:
        resolve(str(words))
    assert str(caught.value).startswith(sentence)
    assert isinstance(caught.value, AfmcError) and not isinstance(caught.value, ModelError)


def test_no_frontend_imports_torch_to_find() -> None:
    code = (
        "import sys; from afmc.frontends.door import list_frontends; list_frontends();"
        " print({'torch', 'transformers', 'onnx', 'gguf'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
