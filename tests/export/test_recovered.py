"""What a format cannot hold of a recovery is said, or the export is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from models import tiny_model, tiny_tokenizer

import afmc
from afmc.data.text import Text
from afmc.errors import OptionError
from afmc.export import export_aihwkit, export_huggingface
from afmc.export.recovered import notes_on_recovery

TEXT = "the quick brown fox jumps over the lazy dog. " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recovered") / "out"
    model = afmc.compile(
        tiny_model("llama"),
        "afm-512-projected",
        tokenizer=tiny_tokenizer(),
        text=Text("a fox", TEXT),
        calibration_tokens=256,
    )
    return model.save(place)


def test_a_hugging_face_folder_describes_it(folder: Path, tmp_path: Path) -> None:
    made = export_huggingface(folder, tmp_path / "hf")
    [note] = made.notes
    assert note.startswith("of the recovery of this compile, -O2, a model of transformers does not")
    assert "rotations of " in note and "corrections of " in note
    mapping = json.loads((tmp_path / "hf" / "afmc_mapping.json").read_text())
    program = json.loads((folder / "program.json").read_text())
    assert mapping["recovery"] == program["recovery"]


def test_ranges_of_rotated_inputs_are_no_ranges_for_aihwkit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as error:
        export_aihwkit(folder, tmp_path / "config.py")
    assert "which AIHWKIT does not have, and with input ranges for that: compile with -O0" in str(
        error.value
    )
    assert not (tmp_path / "config.py").exists()


def test_nothing_is_said_of_what_was_not_recovered(folder: Path) -> None:
    program = afmc.load(folder).program
    assert notes_on_recovery(program, "it")
    assert not notes_on_recovery(replace(program, recovery=None), "it")
