"""The models that come with afmc: whole, small, the same each time, and what is claimed of them."""

from __future__ import annotations

import inspect
import json
import os
import pickletools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from in_process import run
from robustness import measure
from safetensors import safe_open

import afmc
from afmc import demo
from afmc.cli.compile import compile as compile_command
from afmc.data.text import Use, read_text

AFMC = Path(sys.executable).with_name("afmc")
ANALOG, TEACHER = demo.MODELS["demo"], demo.MODELS["demo-teacher"]


NOTHING = {"HOME": "/nowhere", "XDG_CACHE_HOME": "/nowhere"}


def alone(folder: Path, *arguments: str) -> None:
    """In a process of its own, with no network, and no cache folder or home to write to."""
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [AFMC, *arguments], cwd=folder, env=environment | NOTHING, capture_output=True, check=True
    )


def here(folder: Path, *arguments: str) -> str:
    result = run(folder, *arguments, **NOTHING)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_both_are_compiled_and_validated_with_nothing_but_the_package(tmp_path: Path) -> None:
    alone(tmp_path, "compile", "demo", "-o", "one")
    here(tmp_path, "compile", "demo", "-o", "two")
    for file in ("program.json", "blocks.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    program = json.loads((tmp_path / "one" / "program.json").read_text())
    assert program["model"]["name"] == "demo" and program["target"]["name"] == "afm-512-projected"
    measured = json.loads(
        here(tmp_path, "validate", "one", "--instances", "1", "--tokens", "512", "--json")
    )
    assert measured["text"] == "the demo's validation text"
    assert measured["window"] == 256 and measured["tokens"] == 512
    assert len(here(tmp_path, "run", "one", "Emma was", "--max-tokens", "8")) > 8


def test_the_teacher_is_calibrated_on_text_of_its_own() -> None:
    model = afmc.compile("demo-teacher", level=0)
    assert model.program.calibration is not None
    assert model.program.calibration.text == "the demo's calibration text"
    learned = afmc.compile("demo", level=0).program
    assert learned.calibration is None  # its ranges are learned


@pytest.mark.parametrize("name", sorted(demo.MODELS))
def test_a_name_finds_its_text_and_others_do_not(name: str) -> None:
    uses: tuple[Use, Use] = ("calibration", "validation")
    one, other = (read_text(None, use, name).content for use in uses)
    assert one != other and min(len(one), len(other)) > 15_000
    assert read_text(None, "validation", f"./{name}") == read_text(None, "validation")


def test_shapes_alone_are_read_from_the_same_place() -> None:
    shapes = afmc.compile("demo", "hermes-64", shapes_only=True).inspect()
    assert shapes["tiles_used"] == afmc.compile("demo", "hermes-64").inspect()["tiles_used"]


def test_python_and_the_command_line_choose_the_same_target() -> None:
    defaults = {
        inspect.signature(each).parameters["target"].default
        for each in (afmc.compile, compile_command)
    }
    assert defaults == {"afm-512-projected"}


def test_the_analog_model_is_in_the_format_of_aihwkit_lightning() -> None:
    with safe_open(ANALOG / "model.safetensors", framework="pt") as analog:
        names = set(analog.keys())
        dtypes = {analog.get_tensor(name).dtype for name in names}
        ranges = {n: float(analog.get_tensor(n)) for n in names if n.endswith(".input_range")}
    assert dtypes == {torch.float16}
    kept = ("input_range", "input_range_update_idx", "x_max", "x_min")
    layers = {name.removesuffix(".input_range") for name in ranges}
    assert len(layers) == 4 * 7 + 1 and "lm_head" in layers
    assert {f"{layer}.{each}" for layer in layers for each in (*kept, "weight")} <= names
    assert min(ranges.values()) > 0
    for block in range(4):  # what reads the same input shares its converters
        assert (
            len({ranges[f"model.layers.{block}.self_attn.{n}_proj.input_range"] for n in "qkv"})
            == 1
        )
    assert len(set(ranges.values())) == 4 * 4 + 1  # each was learned by itself
    with safe_open(TEACHER / "model.safetensors", framework="pt") as teacher:
        assert set(teacher.keys()) == {n for n in names if n.rpartition(".")[2] not in kept}


def test_the_configuration_holds_nothing_but_figures_and_names_of_their_classes() -> None:
    parts = list(pickletools.genops((ANALOG / "rpu_config").read_bytes()))
    classes = {argument for opcode, argument, _ in parts if opcode.name == "GLOBAL"}
    assert all(str(each).startswith("aihwkit_lightning.simulator.") for each in classes), classes
    assert not {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"} & {each.name for each, *_ in parts}
    values = {argument for _, argument, _ in parts}
    assert {"LayerGaussianPerChannel", "AddNormalPerChannel", 254, 14.0} <= values


def test_all_of_it_is_small() -> None:
    files = [file for file in ANALOG.parent.rglob("*") if "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 8_000_000


@pytest.mark.parametrize("target", ["hermes-64", "afm-512-projected"])
def test_noise_costs_the_analog_model_less_than_its_teacher(target: str) -> None:
    models = {name: name for name in ("demo-teacher", "demo")}
    teacher, analog = measure(models, [target], 2, seed=0, tokens=1024)
    assert analog.noisy.mean / analog.digital < teacher.noisy.mean / teacher.digital
    assert analog.noisy.mean < teacher.noisy.mean  # although its teacher wrote the text
