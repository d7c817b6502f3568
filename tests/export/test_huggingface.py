"""A Hugging Face folder with its mapping: transformers reads it, and it has every weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kept
import numpy as np
import pytest
import torch
import transformers
from jsonschema import Draft202012Validator
from models import tiny_model, tiny_tokenizer
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sealed import seal
from torch import nn

import afmc
from afmc.errors import AfmcError, ArtifactError, ModelError, OptionError
from afmc.export import export_huggingface, huggingface_schema
from afmc.frontends.checkpoint.folder import MAPPING
from afmc.frontends.huggingface.exported import read_kept

SMALL: dict[str, object] = {"target.crossbar.rows": 20, "target.crossbar.columns": 24}
ARCHITECTURES = ("llama", "gpt2", "phi3", "mixtral", "gpt_oss", "deepseek_v3")


def compiled(architecture: str, folder: Path, **options: Any) -> afmc.CompiledModel:
    settings = {**SMALL, **options.pop("settings", {})}
    model = afmc.compile(
        tiny_model(architecture), "ideal-512", settings=settings, **options, level=0
    )
    model.save(folder / "out")
    return model


def held(folder: Path) -> dict[tuple[int, int, int], NDArray[np.float32]]:
    """What each crossbar holds, by the mapping and the weights alone; NaN where nothing is."""
    mapping = json.loads((folder / MAPPING).read_text())
    weights: dict[str, Any] = {}
    for name in mapping["files"]:
        weights |= load_file(folder / name)
    transposed = {each["name"]: each["transposed"] for each in mapping["tensors"]}
    crossbar = mapping["target"]["description"]["crossbar"]
    found: dict[tuple[int, int, int], NDArray[np.float32]] = {}
    for part in mapping["placements"]:
        tensor = weights[part["tensor"]]
        if part["index"] is not None:
            tensor = tensor[part["index"]]
        cells = tensor[part["start_0"] : part["stop_0"], part["start_1"] : part["stop_1"]]
        cells = cells.T if transposed[part["tensor"]] else cells
        address = (part["chip"], part["tile"], part["tier"])
        empty = np.full((crossbar["rows"], crossbar["columns"]), np.nan, np.float32)
        here = found.setdefault(address, empty)
        rows, cols = slice(part["row"], part["row"] + part["rows"]), slice(
            part["col"], part["col"] + part["cols"]
        )  # fmt: skip
        assert np.isnan(here[rows, cols]).all()
        here[rows, cols] = cells
    return found


def expected(model: afmc.CompiledModel) -> dict[tuple[int, int, int], NDArray[np.float32]]:
    """What the program and the module say."""
    program, crossbar = model.program, model.target.crossbar
    parameters = dict(model.digital.named_parameters(remove_duplicate=False))
    groups = []
    for group in program.groups:
        members = []
        for name in group.members:
            matrix = program.matrix(name)
            weight = parameters[name].detach().reshape(matrix.copies, *parameters[name].shape[-2:])
            members.append(weight.transpose(1, 2) if matrix.stored == "cols_rows" else weight)
        groups.append(torch.cat(members, dim=2).numpy())
    found: dict[tuple[int, int, int], NDArray[np.float32]] = {}
    for place in program.placements:
        block = program.blocks[place["block"]]
        group, copy = groups[block["group"]], block["copy"]
        rows = slice(block["row"], block["row"] + block["rows"])
        cols = slice(block["col"], block["col"] + block["cols"])
        address = tuple(int(place[key]) for key in ("chip", "tile", "tier"))
        empty = np.full((crossbar.rows, crossbar.columns), np.nan, np.float32)
        here = found.setdefault((address[0], address[1], address[2]), empty)
        row, col = int(place["row"]), int(place["col"])
        here[row : row + block["rows"], col : col + block["cols"]] = group[copy][rows, cols]
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_on_every_crossbar(architecture: str, tmp_path: Path) -> None:
    options: dict[str, object] = {"allocate.rule": "serial"}
    if architecture == "llama":
        options = {"allocate.rule": "parallel", "replicate.tiles": 200, "replicate.tokens": 4}
    if architecture == "mixtral":
        options = {"allocate.rule": "serial", "target.tile.tiers": 3}
    model = compiled(architecture, tmp_path, settings=options)
    made = export_huggingface(tmp_path / "out", tmp_path / "hf")
    theirs, ours = held(tmp_path / "hf"), expected(model)
    assert theirs.keys() == ours.keys()
    for address in ours:
        np.testing.assert_array_equal(theirs[address], ours[address])
    mapping = json.loads((tmp_path / "hf" / MAPPING).read_text())
    Draft202012Validator(huggingface_schema()).validate(mapping)
    assert made.counts["placements"] == len(mapping["placements"]) >= len(model.program.blocks)
    assert {each["name"] for each in mapping["matrices"] if not each["digital"]} == {
        part["matrix"] for part in mapping["placements"]
    }
    saved = type(model.digital).from_pretrained(tmp_path / "hf")  # type: ignore[attr-defined]
    for name, parameter in saved.named_parameters():
        assert torch.equal(parameter, model.digital.get_parameter(name)), name


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    compiled("llama", folder, tokenizer=tiny_tokenizer())
    return folder / "out"


def test_transformers_reads_the_folder(llama: Path, tmp_path: Path) -> None:
    made = export_huggingface(llama, tmp_path / "hf")
    assert made.place == tmp_path / "hf"
    assert made.bytes == sum(file.stat().st_size for file in (tmp_path / "hf").iterdir())
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    inputs = tokenizer("the quick brown fox", return_tensors="pt")
    with torch.no_grad():
        expected = tiny_model("llama")(input_ids=inputs["input_ids"]).logits
        assert torch.equal(model(input_ids=inputs["input_ids"]).logits, expected)


def test_the_same_bytes_again_in_the_place_of_the_ones_before(llama: Path, tmp_path: Path) -> None:
    export_huggingface(llama, tmp_path / "hf")
    first = {file.name: file.read_bytes() for file in (tmp_path / "hf").iterdir()}
    (tmp_path / "hf" / "notes.txt").write_text("mine")
    export_huggingface(llama, tmp_path / "hf")
    first["notes.txt"] = b"mine"
    assert {file.name: file.read_bytes() for file in (tmp_path / "hf").iterdir()} == first
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained analog foundation model, compiled and exported."""
    folder = tmp_path_factory.mktemp("demo")
    afmc.compile("demo", level=0).save(folder / "out")
    export_huggingface(folder / "out", folder / "hf")
    return folder


def test_it_compiles_again_to_the_same_mapping_with_what_was_learned(demo: Path) -> None:
    first, again = afmc.load(demo / "out").program, afmc.compile(demo / "hf", level=0).program
    assert again.matrices == first.matrices
    assert all(matrix.input_range for matrix in again.analog)
    assert again.training == first.training is not None
    assert again.calibration is None
    assert np.array_equal(again.placements, first.placements)


def test_ranges_that_were_calibrated_are_calibrated_again(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    text = afmc.data.text.Text("a text", "the quick brown fox jumps over the lazy dog. " * 40)
    model = afmc.compile(
        tiny_model("llama"), tokenizer=tokenizer, text=text, settings=SMALL, level=0
    )
    model.save(tmp_path / "out")
    export_huggingface(tmp_path / "out", tmp_path / "hf")
    assert not read_kept(tmp_path / "hf").ranges
    another = afmc.data.text.Text("another", "pack my box with five dozen liquor jugs. " * 40)
    again = afmc.compile(tmp_path / "hf", text=another, settings=SMALL, level=0).program
    assert again.calibration is not None and again.calibration.text == "another"
    assert [m.input_range for m in again.analog] != [m.input_range for m in model.program.analog]


def test_the_schema_is_strict(demo: Path) -> None:
    schema = huggingface_schema()
    Draft202012Validator.check_schema(schema)
    validator, mapping = (
        Draft202012Validator(schema),
        json.loads((demo / "hf" / MAPPING).read_text()),
    )
    validator.validate(mapping)
    first = mapping["placements"][0]
    for wrong in (
        {"placements": [{**first, "chip": -1}]},
        {"placements": [{**first, "more": 1}]},
        {"files": {"model.safetensors": "0"}},
        {"matrices": [{**mapping["matrices"][0], "input_ranges": [0.0]}]},
        {"schema_version": 2},
    ):
        assert not validator.is_valid({**mapping, **wrong}), wrong


def test_lines_that_are_left_of_broken_crossbars(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("chip,tile,tier,row,column,state\n0,0,0,3,*,dead\n")
    model = compiled("llama", tmp_path, defects=tmp_path / "map.csv")
    export_huggingface(tmp_path / "out", tmp_path / "hf")
    [lines] = json.loads((tmp_path / "hf" / MAPPING).read_text())["lines"]
    assert (lines["chip"], lines["tile"], lines["tier"]) == (0, 0, 0)
    assert lines["rows"] == [row for row in range(20) if row != 3]
    assert lines["cols"] == list(range(24))
    assert model.program.defects is not None


def test_what_has_no_folder(tmp_path: Path) -> None:
    kept.write(tmp_path / "shapes")
    with pytest.raises(AfmcError, match="from its shapes only, and a Hugging Face folder needs"):
        export_huggingface(tmp_path / "shapes", tmp_path / "hf")
    network = nn.Sequential(nn.Linear(8, 4))
    afmc.compile(network, "ideal-512", example_inputs=torch.randn(4, 8), level=0).save(
        tmp_path / "network"
    )
    with pytest.raises(OptionError, match="Sequential is no model of transformers, so there is no"):
        export_huggingface(tmp_path / "network", tmp_path / "hf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network", "shapes"]


def test_places_that_are_refused(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place, sentence in (
        (tmp_path / "file", r"is a file; name a folder with -o\."),
        (tmp_path / "full", r"full has files in it that afmc did not write; name"),
        (demo / "out", r"holds the compile of demo for"),
        (tmp_path / "here", r"the folder that you are in cannot be replaced; name another"),
    ):
        with pytest.raises(OptionError, match=sentence):
            export_huggingface(demo / "out", place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "here"]


def test_a_full_disk_leaves_nothing(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OptionError, match=r"hf cannot be written: .*No space left on device"):
        export_huggingface(demo / "out", tmp_path / "hf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"matrices": [{"name": "a", "module": "a", "input_ranges": [-1.0]}]},
         r"afmc_mapping.json: matrices\.0\.input_ranges\.0: input should be greater than 0; write"),
        ({"training": 3}, r"afmc_mapping.json: training: .*; write it anew with 'afmc export --as"),
        ({"matrices": None}, r"afmc_mapping.json: matrices: input should be a valid tuple;"),
    ],
)  # fmt: skip
def test_a_mapping_that_is_damaged(
    change: dict[str, Any], sentence: str, demo: Path, tmp_path: Path
) -> None:
    mapping = json.loads((demo / "hf" / MAPPING).read_text())
    (tmp_path / MAPPING).write_text(json.dumps({**mapping, **change}))
    with pytest.raises(ModelError, match=sentence):
        read_kept(tmp_path)
    (tmp_path / MAPPING).write_text("[")
    with pytest.raises(ModelError, match="is not valid JSON"):
        read_kept(tmp_path)


def test_tensors_that_are_gone(demo: Path, tmp_path: Path) -> None:
    """Somebody changed the compiled folder."""
    import shutil

    from safetensors.numpy import save_file

    shutil.copytree(demo / "out", tmp_path / "out")
    weights = load_file(tmp_path / "out" / "model" / "model.safetensors")
    name = "model.layers.0.self_attn.o_proj.weight"
    weights[name] = weights[name][:-1]
    save_file(weights, tmp_path / "out" / "model" / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"model.safetensors was changed: it has .* bytes, not"):
        export_huggingface(tmp_path / "out", tmp_path / "hf")
    seal(tmp_path / "out")
    with pytest.raises(
        ModelError, match=f"has no tensor {name} of 192 x 192, in which {name} would"
    ):
        export_huggingface(tmp_path / "out", tmp_path / "hf")
    shutil.rmtree(tmp_path / "out" / "model")
    with pytest.raises(ArtifactError, match="model is missing; compile again"):
        export_huggingface(tmp_path / "out", tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
