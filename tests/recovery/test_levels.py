"""Levels of recovery end to end: a model that was not trained for tiles works on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import digits, images
from in_process import run
from models import tiny_model, tiny_tokenizer
from torch.export import Dim

import afmc
from afmc.compiled_model import CompiledModel
from afmc.costs import estimate
from afmc.errors import ArtifactError, OptionError
from afmc.program.recovery_work import recovery_of

TARGET = "hermes-64"


@pytest.fixture(scope="module")
def levels() -> dict[int, CompiledModel]:
    return {level: afmc.compile("demo-teacher", TARGET, level=level) for level in (0, 1, 2)}


def divergence(model: CompiledModel, **options: object) -> float:
    options = {"tokens": 512, "instances": 2, **options}
    return model.validate(**options).outcomes[-1].kl_divergence.mean  # type: ignore[arg-type]


def test_each_level_is_closer_to_the_digital_model(levels: dict[int, CompiledModel]) -> None:
    found = [divergence(levels[level]) for level in (0, 1, 2)]
    assert found[1] < 0.6 * found[0]
    assert found[2] < 0.95 * found[1]


def test_a_program_says_what_was_done(levels: dict[int, CompiledModel]) -> None:
    assert levels[0].program.recovery is None and recovery_of(levels[0].program) is None
    steps = levels[2].program.recovery
    assert steps is not None and steps.level == 2
    assert {step.name: step.applied for step in steps.steps} == {
        "prefix": False,  # no token of this model is massive
        "rotation": True,
        "clipping": True,
        "wires": True,
        "ranges": True,
        "correction": True,
    }
    assert levels[2].program.calibration is not None
    assert levels[2].program.calibration.method == "error"
    of_one, of_two = (recovery_of(levels[level].program) for level in (1, 2))
    assert of_one is not None and of_one.correction_macs == 0 and of_one.reads == 64
    assert of_two is not None and 0 < of_two.correction_share <= 0.02
    assert levels[2].summary.recovery == of_two


def test_each_step_can_be_switched_off() -> None:
    steps = ("rotation", "clipping", "wires", "ranges", "directions")
    model = afmc.compile("demo-teacher", TARGET, without=steps)
    recovery = model.program.recovery
    assert recovery is not None and recovery.level == 2, "the usual level"
    assert not (recovery.rotated or recovery.clips or recovery.wires)
    assert set(recovery.ranks.values()) == {0}
    said = {step.name: step.said for step in recovery.steps if not step.applied}
    assert said.keys() == {"prefix", "rotation", "clipping", "wires", "directions"}
    assert said["rotation"] == "it was switched off"
    assert model.program.calibration is not None
    assert model.program.calibration.method == "std:18"
    bare = afmc.compile("demo-teacher", TARGET, without=(*steps, "correction")).program.recovery
    assert bare is not None and not bare.ranks and not bare.reads


def test_the_budget_holds() -> None:
    model = afmc.compile("demo-teacher", TARGET, level=2, digital_budget=0.005)
    found = recovery_of(model.program)
    assert found is not None and 0 < found.correction_share <= 0.005


def test_costs_have_rows_for_it(levels: dict[int, CompiledModel]) -> None:
    rows = [
        {part.name: part for part in estimate(model.program, model.target).parts}
        for model in levels.values()
    ]
    added = {"rotating inputs", "corrections", "reading corrections"}
    assert not added & set(rows[0]) and added <= set(rows[2])
    assert set(rows[1]) & added == {"rotating inputs"}
    costs = [estimate(model.program, model.target) for model in levels.values()]
    assert costs[0].latency_ns < costs[1].latency_ns <= costs[2].latency_ns
    found = recovery_of(levels[2].program)
    assert found is not None and rows[2]["corrections"].count == found.correction_macs
    times = [rows[2][name].latency_ns or 0.0 for name in ("rotating inputs", "corrections")]
    assert sum(times) == pytest.approx(costs[2].latency_ns - costs[0].latency_ns, rel=1e-6)


def test_what_was_saved_is_what_runs(levels: dict[int, CompiledModel], tmp_path: Path) -> None:
    model = levels[2]
    model.save(tmp_path / "kept")
    again = afmc.load(tmp_path / "kept")
    ids = torch.arange(40).reshape(2, 20)
    for each in (model, again):
        each.write(instance=3)
    with torch.inference_mode():
        ours, theirs = model.analog(ids).logits, again.analog(ids).logits
        # Sums of other order, where memory is aligned otherwise, move a few codes of converters.
        assert float((ours - theirs).norm()) < 0.02 * float(ours.norm())
        assert torch.allclose(again.graph()(ids), theirs, atol=1e-5)
    assert again.program.recovery == model.program.recovery


def test_corrections_are_measured_again_after_a_year(levels: dict[int, CompiledModel]) -> None:
    found = levels[2].validate(tokens=512, instances=2, at=["1y"], recalibrate=True)
    before, after = found.outcomes
    assert (before.recalibrated, after.recalibrated) == (False, True)
    assert after.kl_divergence.mean < before.kl_divergence.mean
    fresh = levels[2].validate(tokens=512, instances=1, recalibrate=True)
    assert len(fresh.outcomes) == 1, "just after programming both are the same"


def test_nothing_to_measure_again(levels: dict[int, CompiledModel]) -> None:
    model = levels[0]
    with pytest.raises(OptionError, match="--recalibrate: this compile corrects nothing"):
        model.validate(tokens=64, instances=1, recalibrate=True)


def test_what_training_learned_is_not_touched() -> None:
    plain, model = (afmc.compile("demo", TARGET, level=level) for level in (0, 2))
    recovery = model.program.recovery
    assert recovery is not None and not recovery.rotated and not recovery.clips
    assert model.program.matrices == plain.program.matrices
    assert "trained with its own input ranges" in recovery.steps[0].said
    assert divergence(model) < divergence(plain)


def test_perfect_hardware_has_nothing_to_recover() -> None:
    model = afmc.compile("demo-teacher", "ideal-512", level=2)
    recovery = model.program.recovery
    assert recovery is not None and not model.program.has_recovered
    assert recovery.steps[0].said.startswith("ideal-512 computes exactly")


@pytest.mark.parametrize("family", ["gpt2", "mixtral", "gemma3"])
def test_families_with_a_tokenizer(family: str) -> None:
    """LayerNorm and Conv1D, experts, norms behind the blocks: rotations ask for none of it."""
    model = afmc.compile(tiny_model(family), TARGET, tokenizer=tiny_tokenizer(), level=2)
    recovery = model.program.recovery
    assert recovery is not None
    assert {step.name for step in recovery.steps if step.applied} >= {"rotation", "correction"}
    assert set(recovery.rotated) == {m.input for m in model.program.analog}
    perfect = model.without_noise().on({"input.bits": None, "output.bits": None})
    perfect.write()
    ids = torch.arange(20).reshape(2, 10)
    with torch.inference_mode():
        close = perfect.analog(ids).logits - perfect.on_tiles.reference(ids).logits
        noisy = model.write()(ids).logits - model.on_tiles.reference(ids).logits
    # What is left without noise are the weights that limits cut.
    assert float(close.norm()) < float(noisy.norm())


def test_shapes_only_counts_the_same_structure(levels: dict[int, CompiledModel]) -> None:
    model = afmc.compile("demo-teacher", TARGET, level=1, shapes_only=True)
    found = recovery_of(model.program)
    assert found is not None and found.rotation_additions > 0
    whole = recovery_of(levels[1].program)
    assert whole is not None and whole.rotation_additions == found.rotation_additions


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"level": 9}, "-O takes 0 to "),
        ({"level": -1}, "-O takes 0 to "),
        ({"digital_budget": 1.5}, "--digital-budget is a share of all multiply-accumulates"),
        ({"without": ("prefixes",)}, "--without prefixes: a recovery has the steps prefix, "),
        ({"level": 2, "tiles": 80}, "--tiles 80: copies are chosen by what -O3 measures"),
        (
            {
                "shapes_only": True,
                "settings": {"replicate.tiles": 80, "replicate.objective": "accuracy"},
            },
            "--tiles 80: copies are chosen by what -O3 measures; compile with -O3",
        ),
        (
            {"level": 3, "tiles": 80, "shapes_only": True},
            "--tiles 80: copies are chosen by what weights cost on tiles, and --shapes-only reads",
        ),
        (
            {"level": 3, "tiles": 80, "without": ("copies",)},
            "--tiles 80 and --without copies contradict each other",
        ),
        (
            {"level": 3, "tiles": 80, "target": "ideal-512"},
            "--tiles 80: ideal-512 computes exactly: leave --tiles out",
        ),
        (
            {"level": 3, "tiles": 5, "text": None},
            "replicate.tiles is 5, but one copy of everything takes 40 crossbars",
        ),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        afmc.compile("demo-teacher", **{"target": TARGET, **options})


@pytest.fixture(scope="module")
def folder(levels: dict[int, CompiledModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("levels") / "kept"
    levels[2].save(place)
    return place


@pytest.mark.parametrize("what", ["gone", "cut", "bytes"])
def test_changed_tensors_are_refused(folder: Path, tmp_path: Path, what: str) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    file = copied / "recovery.safetensors"
    content = file.read_bytes()
    file.unlink()
    if what == "cut":
        file.write_bytes(content[:-8])
    if what == "bytes":
        file.write_bytes(content[:-64] + bytes(64))
    with pytest.raises(ArtifactError, match=r"recovery\.safetensors"):
        afmc.load(copied)


def test_the_command_line(tmp_path: Path) -> None:
    ran = run(tmp_path, "compile", "demo-teacher", "-t", TARGET, "-O1", "-o", "out", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)["recovery"]
    assert found["level"] == 1 and found["correction_macs"] == 0
    shown = run(tmp_path, "inspect", "out")
    assert "recovery at -O1: what was done, and why not" in shown.stdout
    wrong = run(tmp_path, "compile", "demo-teacher", "-O7")
    assert wrong.returncode == 2 and "less than or equal to 3" in wrong.stderr


def test_a_kept_mapping_keeps_what_was_recovered(folder: Path, tmp_path: Path) -> None:
    kept = afmc.load(folder)
    broken = "tiles=0.05,seed=1"
    model = afmc.compile("demo-teacher", TARGET, level=2, keep=folder, defects=broken)
    assert model.program.recovery == kept.program.recovery
    model.save(tmp_path / "again")
    close = divergence(afmc.load(tmp_path / "again"))
    assert close == pytest.approx(divergence(kept), rel=0.3)
    with pytest.raises(OptionError, match=r"it was compiled with -O2, not -O1; compile without"):
        afmc.compile("demo-teacher", TARGET, level=1, keep=folder, defects=broken)


def test_weights_on_disk_are_corrected_in_the_mean() -> None:
    model = afmc.compile("demo-teacher", TARGET, level=2, weights="disk")
    recovery = model.program.recovery
    assert recovery is not None and set(recovery.ranks.values()) == {0}
    [why] = [step for step in recovery.steps if step.name == "directions"]
    assert not why.applied and why.said.startswith("weights stay on disk")
    in_memory = afmc.compile("demo-teacher", TARGET, level=1).program.recovery
    assert in_memory is not None and in_memory.clips == recovery.clips


@pytest.mark.parametrize("kind", ["module", "onnx"])
def test_networks_that_are_no_language_models(kind: str, tmp_path: Path) -> None:
    """Convolutions and linear layers; operators of ONNX have no gradients."""
    x = images(300, seed=1)
    with torch.no_grad():
        labels = digits()(x).argmax(dim=1)
    np.savez(tmp_path / "data.npz", inputs=x.numpy(), labels=labels.numpy())
    source: Any = digits()
    if kind == "onnx":
        source = tmp_path / "digits.onnx"
        with pytest.warns(Warning):  # the exporter's own
            torch.onnx.export(
                digits(),
                (x[:2],),
                source,
                dynamo=True,
                dynamic_shapes=({0: Dim("images")},),
                verbose=False,
            )
    found = []
    for level in (0, 2):
        model = afmc.compile(source, TARGET, example_inputs=tmp_path / "data.npz", level=level)
        outcome = model.classify(tmp_path / "data.npz", instances=2).outcomes[0]
        found.append(outcome.accuracy.mean)
    assert found[1] > found[0] + 0.02
    recovery = model.program.recovery
    assert recovery is not None and sum(recovery.ranks.values()) > 0
