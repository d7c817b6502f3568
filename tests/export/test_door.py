"""Exporters come in through one door, and those that are built in keep what it promises."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import kept
import pytest
from in_process import run

import afmc
from afmc.common import plug_ins
from afmc.errors import OptionError
from afmc.export import Exported, door
from afmc.testing import check_exporter

ENDINGS = {"table": ".csv", "aihwkit": ".py", "model-explorer": ".json"}
NAMES = ("table", "huggingface", "aihwkit", "model-explorer", "graph", "mlir", "rtn")
ENDINGS |= {"graph": ".pt2", "mlir": ".mlir"}


def plugged_in(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    def both(**selected: Any) -> list[EntryPoint]:
        return [*entry_points(**selected), *entries]

    monkeypatch.setattr(plug_ins, "entry_points", both)


def other_package(monkeypatch: pytest.MonkeyPatch, **names: Any) -> None:
    module = ModuleType("acme_export")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "acme_export", module)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return afmc.compile("demo", level=0).save(tmp_path_factory.mktemp("door") / "demo")


@pytest.mark.parametrize("name", NAMES)
def test_built_in_exporters_keep_what_the_door_promises(
    name: str, compiled: Path, tmp_path: Path
) -> None:
    if name == "mlir" and importlib.util.find_spec("torch_mlir") is None:
        pytest.skip("NOT TESTED: torch-mlir is not installed")
    found = check_exporter(name, compiled, tmp_path / f"out{ENDINGS.get(name, '')}")
    assert [each.text for each in found if each.kind != "passed"] == []
    assert len(found) == (4 if door.exporter_named(name).schema else 3)


def test_every_built_in_exporter_is_tried() -> None:
    texts = [file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    tried = {name for text in texts for name in re.findall(r'check_exporter\("([\w-]+)"', text)}
    assert set(door.list_exporters()) <= {*tried, *NAMES}
    assert next(iter(door.list_exporters())) == "table"


def careless(directory: Path, output: Path, *, note: str = "none") -> Exported:
    output.write_text(note)
    return Exported(output, "a note", len(note))


def test_an_exporter_of_another_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kept.write(tmp_path / "kept", "parallel")
    other_package(
        monkeypatch, careless=careless, NOTE=door.Exporter("acme_export:careless", ("note",))
    )
    plugged_in(monkeypatch, EntryPoint("note", "acme_export:NOTE", "afmc.exporters"))
    file = tmp_path / "a.txt"
    made = run(tmp_path, "export", folder, "--as", "note", "--set", "note=hello", "-o", file)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"a note written to {file} (5 bytes)\n" and file.read_text() == "hello"
    found = {each.kind for each in check_exporter("note", folder, tmp_path / "b.txt")}
    wrong = [each.text for each in check_exporter("note", folder, tmp_path / "c.txt")]
    assert found == {"passed", "wrong"}
    assert "it writes over a file that it did not write" in wrong
    assert "it writes something of a folder that is no compile" in wrong
    for value, sentence in (
        ("colour=red", "--set colour: --as note has no such option, only note."),
        ("note", "--set note: write OPTION=VALUE."),
    ):
        refused = run(
            tmp_path, "export", folder, "--as", "note", "--set", value, "-o", tmp_path / "d.txt"
        )
        assert refused.returncode == 2 and sentence in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("table", "NOTE", "two packages provide an exporter 'table': acme_export:NOTE of unknown "
         "and afmc.export.door:TABLE of afmc; uninstall one."),
        ("none", "careless", "the exporter 'none' (acme_export:careless of unknown) is no "
         "afmc.export.door.Exporter, but function."),
        ("gone", "GONE", "the exporter 'gone' (acme_export:GONE of unknown) failed: "
         "AttributeError"),
    ],
)  # fmt: skip
def test_exporters_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    other_package(monkeypatch, careless=careless, NOTE=door.Exporter("acme_export:careless"))
    plugged_in(monkeypatch, EntryPoint(name, f"acme_export:{value}", "afmc.exporters"))
    with pytest.raises(OptionError) as caught:
        door.list_exporters()
    assert str(caught.value).startswith(sentence)
