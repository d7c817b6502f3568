"""The command line as a user meets it: output, errors, exit status."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_once import Shared
from golden import Golden
from in_process import Ran, run
from jsonschema import Draft202012Validator
from models import tiny_model, tiny_tokenizer

from afmc.evaluation import figures
from afmc.evaluation.results import Estimate
from afmc.program.program import Program
from afmc.program.rules import problems
from afmc.targets import Target

AFMC = Path(sys.executable).with_name("afmc")
TEXT = "the quick brown fox jumps over the lazy dog. " * 100
SMALL = ("--set", "target.crossbar.rows=16", "--set", "target.crossbar.columns=16")
# Nothing is a multiple of these: more kinds of blocks, and more work for the solver.
UNEVEN = ("--set", "target.crossbar.rows=20", "--set", "target.crossbar.columns=24")

Run = Callable[..., Ran]

AFM = "afm-512-projected"


def prepare(folder: Path) -> None:
    tiny_model("llama").save_pretrained(folder / "tiny")  # type: ignore[operator]
    tiny_tokenizer().save_pretrained(folder / "tiny")
    (folder / "text.txt").write_text(TEXT)
    result = run(folder, "compile", "-O0", "tiny", "-t", AFM, "--text", "text.txt", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "written to tiny.afm-512-projected" in result.stdout


@pytest.fixture(scope="session")
def workplace(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, a text and a compile of them, for a worker to write to."""
    made = shared("cli", *SMALL, make=prepare)
    return shutil.copytree(
        made, tmp_path_factory.mktemp("cli") / "here", copy_function=shutil.copyfile
    )


@pytest.fixture
def afmc(workplace: Path) -> Run:
    return partial(run, workplace)


def parsed(result: Ran) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


FIELDS = {
    "model", "target", "matrices_analog", "matrices_digital", "weights_analog", "weights_digital",
    "macs_analog_fraction", "blocks", "tiles_used", "tiles_lower_bound", "gap", "solver_status",
    "chips_used", "utilization", "wall_s", "peak_rss_mb", "levers", "schema_version",
}  # fmt: skip


def test_compile_and_inspect_print_the_same_json(afmc: Run, workplace: Path) -> None:
    arguments = (
        "compile",
        "-O0",
        "tiny",
        "-t",
        AFM,
        "-o",
        "out/json",
        "--text",
        "text.txt",
        *SMALL,
    )
    made = afmc(*arguments, "--json")
    compiled, inspected = parsed(made), parsed(afmc("inspect", "out/json", "--json"))
    assert set(compiled) >= FIELDS
    assert {k: v for k, v in compiled.items() if k in FIELDS - {"wall_s", "peak_rss_mb"}} == {
        k: v for k, v in inspected.items() if k in FIELDS - {"wall_s", "peak_rss_mb"}
    }
    Draft202012Validator(parsed(afmc("inspect", "--schema"))).validate(compiled)
    assert compiled["target_overrides"] == {"crossbar.rows": 16, "crossbar.columns": 16}
    assert "export" in made.stderr  # progress, as plain lines
    first = (workplace / f"tiny.{AFM}" / "program.json").read_bytes()
    assert (workplace / "out/json" / "program.json").read_bytes() == first


def test_costs(afmc: Run, workplace: Path) -> None:
    afmc("compile", "-O0", "tiny", "-t", "hermes-64", "-o", "priced")
    shown = afmc("costs", "priced", "--context", "64", "--trace", "t.json")
    text = " ".join(shown.stdout.split())
    assert "a token on hermes-64: decode, context 64, batch 1" in text
    assert "products on tiles" in text and "tile.read_energy_nJ = 13.44, derived" in text
    assert "static power" in text and "not known" in text and "Not like for like." in text
    assert json.loads((workplace / "t.json").read_text())["traceEvents"]
    data = parsed(afmc("costs", "priced", "--context", "32,64", "--batch", "1,2", "--json"))
    asked = [(each["workload"]["context"], each["workload"]["batch"]) for each in data["costs"]]
    assert asked == [(32, 1), (32, 2), (64, 1), (64, 2)]
    assert [each["target"] for each in data["baselines"]] == ["h100", "int8-dimc"] * 4
    first = data["costs"][0]
    known = [part["energy_nJ"] for part in first["parts"] if part["energy_nJ"] is not None]
    assert first["energy_nJ"] == pytest.approx(sum(known))
    schema = parsed(afmc("costs", "--schema"))  # no folder is asked for
    for document in (data, json.loads((workplace / "t.json").read_text())):
        Draft202012Validator(schema).validate(document)

    made = afmc("costs", "priced", "--context", "32,64", "-o", "c.json")
    rows = json.loads((workplace / "c.json").read_text())
    size = (workplace / "c.json").stat().st_size
    assert made.stdout == f"{len(rows)} parts written to c.json ({size:,} bytes)\n"
    parts = [part for kind in ("costs", "baselines") for each in data[kind] if
             each["workload"]["batch"] == 1 for part in each["parts"]]  # fmt: skip
    assert sorted(row["count"] for row in rows) == sorted(part["count"] for part in parts)
    Draft202012Validator(schema).validate(rows)
    again = afmc("costs", "priced", "--context", "32", "-o", "c.csv", "--json")
    assert parsed(again)["costs"][0] == first and (workplace / "c.csv").read_text().count("\n") > 9
    default = parsed(afmc("costs", "priced", "--json"))["costs"]
    assert [each["workload"]["context"] for each in default] == [64]  # its positions


def test_a_closer_look(afmc: Run) -> None:
    folder = f"tiny.{AFM}"
    layer = parsed(afmc("inspect", folder, "--layer", "model.layers.1", "--json"))
    assert len(layer["matrices"]) == 7 and layer["blocks_total"] == len(
        {block["block"] for block in layer["blocks"]}
    )
    block = layer["blocks"][-1]
    tile = f"{block['chip']}/{block['tile']}"
    found = parsed(afmc("inspect", folder, "--tile", tile, "--json"))
    [crossbar] = found["crossbars"]
    assert block["matrix"] in [each["matrix"] for each in crossbar["blocks"]]
    why = parsed(afmc("inspect", folder, "--why", "lm_head", "--json"))["explained"]
    assert [each["side"] for each in why] == ["analog"]
    about = {reason["about"]: reason["sentence"] for reason in why[0]["reasons"]}
    assert about["input range"].startswith("±") and "std:18" in about["input range"]
    assert "model.layers.1.mlp.down_proj.weight" in about["before"]
    for arguments in (("--layer", "*", "--lines", "3"), ("--tile", tile), ("--why", "*_proj")):
        shown = afmc("inspect", folder, *arguments)
        assert shown.returncode == 0 and shown.stdout and shown.stderr == ""
    assert "and 12 more (--lines)" in afmc("inspect", folder, "--layer", "*", "--lines", "3").stdout


def test_compare_and_export(afmc: Run, workplace: Path) -> None:
    folder = f"tiny.{AFM}"
    assert afmc("compile", "-O0", "tiny", "-t", "ideal-512", "-o", "other").returncode == 0
    found = parsed(afmc("compare", folder, "other", "--json"))
    assert found["models"] == "the same"
    assert {"crossbar.rows", "device.noise"} <= {row["name"] for row in found["target"]}
    assert " ≠ " in afmc("compare", folder, "other").stdout
    Draft202012Validator(parsed(afmc("compare", "--schema"))).validate(found)

    asked = ("--context", "64", "--batch", "1,2", "--phase", "prefill")
    made = afmc("compare", folder, "other", "-o", "compared/page.html", *asked)
    page = (workplace / "compared" / "page.html").read_text()
    assert made.stdout == f"written to compared/page.html ({len(page.encode()):,} bytes)\n"
    assert "<h3>prefill, context 64, batch 2</h3>" in page and "No validation was given" in page
    arguments = ("--text", "text.txt", "--tokens", "64", "--window", "32", "--instances", "1")
    validated = afmc("validate", "other", *arguments, "--json")
    (workplace / "other.validation").write_text(validated.stdout)
    both = ("--validation", "other.validation", *asked, "-o", "page.html", "--json")
    [digital, noisy] = parsed(afmc("compare", folder, "other", *both))["accuracy"]
    mean = parsed(validated)["analog"]["perplexity"]["mean"]
    assert digital["values"][0] is None and noisy["values"][1]["mean"] == mean
    assert f"<td>{figures.exact(mean)} (1 instance)</td>" in (workplace / "page.html").read_text()

    made = parsed(afmc("export", folder, "-o", "blocks.json", "--json"))
    rows = json.loads((workplace / "blocks.json").read_text())
    assert made["rows"] == len(rows) == parsed(afmc("inspect", folder, "--json"))["blocks"]
    schema = parsed(afmc("export", "--schema"))
    assert list(rows[0]) == list(schema["$defs"]["block"]["properties"])
    assert f"{len(rows):,} blocks written to blocks.csv" in (
        afmc("export", folder, "-o", "blocks.csv").stdout
    )


def test_export_as_a_hugging_face_folder(afmc: Run, workplace: Path) -> None:
    folder = f"tiny.{AFM}"
    made = parsed(afmc("export", folder, "--as", "huggingface", "-o", "hf", "--json"))
    mapping = json.loads((workplace / "hf" / "afmc_mapping.json").read_text())
    assert made["file"] == "hf" and made["placements"] == len(mapping["placements"])
    schema = parsed(afmc("export", "--schema", "--as", "huggingface"))
    Draft202012Validator(schema).validate(mapping)
    again = afmc("export", folder, "--as", "huggingface", "-o", "hf")
    assert again.stdout.startswith(f"model and mapping, {len(mapping['placements']):,} parts of ")
    assert parsed(
        afmc("compile", "-O0", "hf", "-o", "again", *SMALL, "--text", "text.txt", "--json")
    )


def test_export_to_look_at_with_model_explorer(afmc: Run, workplace: Path) -> None:
    folder = f"tiny.{AFM}"
    arguments = ("--tokens", "64", "--window", "32", "--instances", "1", "--by-matrix", "--json")
    validated = afmc("validate", folder, "--text", "text.txt", *arguments)
    (workplace / "errors.json").write_text(validated.stdout)
    asked = ("export", folder, "--as", "model-explorer", "-o", "graph.json")
    made = parsed(afmc(*asked, "--validation", "errors.json", "--json"))
    assert made["more_files"] == ["graph.utilisation.json", "graph.error.json"]
    assert made["notes"] == ["in the graph of tiles every block is a node"]
    errors = json.loads((workplace / "graph.error.json").read_text())["dataflow"]["results"]
    assert {name: each["value"] for name, each in errors.items()} == {
        each["name"]: each["relative_error"]["mean"] for each in parsed(validated)["matrices"]
    }
    shown = afmc(*asked)
    assert f"{made['nodes']:,} nodes in two graphs written to graph.json" in shown.stdout
    assert shown.stdout.endswith(
        "and beside it graph.utilisation.json, in place of an earlier one\n"
    )
    assert shown.stderr == "note: in the graph of tiles every block is a node\n"


def test_export_for_aihwkit(afmc: Run, workplace: Path) -> None:
    folder = f"tiny.{AFM}"
    made = parsed(afmc("export", folder, "--as", "aihwkit", "-o", "rpu_config.py", "--json"))
    assert made["layers"] == 15
    shown = afmc("export", folder, "--as", "aihwkit", "-o", "rpu_config.py")
    assert shown.stdout.startswith("configuration of 15 layers written to rpu_config.py (")
    notes = [line.removeprefix("note: ") for line in shown.stderr.splitlines()]
    assert notes == made["notes"] and "it is always 25 degrees Celsius there" in notes
    text = (workplace / "rpu_config.py").read_text()
    compile(text, "rpu_config.py", "exec")
    assert all(note.split()[0] in text for note in notes)


def test_export_as_mlir(afmc: Run, workplace: Path) -> None:
    pytest.importorskip("torch_mlir")
    made = parsed(afmc("export", f"tiny.{AFM}", "--as", "mlir", "-o", "digital.mlir", "--json"))
    text = (workplace / "digital.mlir").read_text()
    assert made == {
        "file": "digital.mlir",
        "functions": 15,
        "calls": 15,
        "tensors": 6,
        "bytes": len(text.encode()),
    }
    assert "func.func @forward(%arg0: tensor<?x?xi64>" in text


def test_any_layout_for_an_objective(afmc: Run, workplace: Path) -> None:
    serial = ("compile", "-O0", "tiny", "-t", "ideal-512", *UNEVEN, "--set", "allocate.rule=serial")
    made = {
        objective: parsed(afmc(*serial, "--objective", objective, "-o", objective, "--json"))
        for objective in ("tiles", "accuracy", "latency")
    }
    assert [found["objective"] for found in made.values()] == list(made)
    assert [found["rule"] for found in made.values()] == ["serial", "serial", "parallel"]
    assert made["tiles"]["turns"] > made["latency"]["turns"] == made["latency"]["mean_turns"] == 1
    used = [found["tiles_used"] for found in made.values()]
    assert used[0] < used[1] < used[2] < 54
    options = {step["name"]: step["options"] for step in made["tiles"]["passes"]}
    assert {options[name]["rule"] for name in ("merge", "split", "allocate")} == {"serial"}

    shown = " ".join(afmc("inspect", "tiles").stdout.split())
    assert "rule serial; at least" in shown and "OPTIMAL, gap 0.00 %" in shown
    turns, mean = made["tiles"]["turns"], made["tiles"]["mean_turns"]
    assert f"at most {turns} in sequence per tile (mean {mean:.3f})" in shown
    assert "objective tiles" in shown
    assert afmc("verify", "tiles").returncode == 0


def test_shapes_only(afmc: Run, workplace: Path) -> None:
    config = workplace / "tiny" / "config.json"
    (workplace / "shapes.json").write_bytes(config.read_bytes())
    arguments = ("compile", "-O0", "shapes.json", "--shapes-only", "-t", AFM, *SMALL)
    compiled = parsed(afmc(*arguments, "--json"))
    written = workplace / f"shapes.{AFM}"
    assert sorted(path.name for path in written.iterdir()) == [
        *("afmc_manifest.json", "blocks.npz", "compile.json", "program.json"),
    ]
    inspected = parsed(afmc("inspect", written.name, "--json"))
    assert compiled["shapes_only"] is inspected["shapes_only"] is True
    weights = parsed(afmc("inspect", f"tiny.{AFM}", "--json"))
    assert weights["shapes_only"] is False
    same = ("matrices_analog", "weights_analog", "weights_digital", "blocks", "tiles_used", "gap")
    assert {key: compiled[key] for key in same} == {key: weights[key] for key in same}
    assert compiled["model_sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
    shown = afmc("inspect", written.name).stdout
    assert "weights; shapes only, no weights were read" in " ".join(shown.split())
    assert "none: shapes only" in shown
    sentence = (
        "error: shapes.json was compiled from its shapes only, and {} needs its weights: compile "
        "the folder or id that holds them, without --shapes-only.\n"
    )
    for command, options in (("validate", ()), ("run", ("the quick",))):
        result = afmc(command, written.name, *options)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == sentence.format(command)


def test_inspect_for_a_person(afmc: Run) -> None:
    shown = afmc("inspect", f"tiny.{AFM}").stdout
    assert "overridden" in shown and "crossbar.rows=16, crossbar.columns=16" in shown
    assert "model.layers.*.self_attn.{q_proj,k_proj,v_proj}.weight" in shown
    assert "attention product: both operands are activations" in shown
    assert "OPTIMAL, gap 0.00 %" in shown
    assert "std:18 over" in shown and "of text.txt" in shown


def test_verify(afmc: Run, workplace: Path) -> None:
    right = afmc("verify", f"tiny.{AFM}")
    assert right.returncode == 0 and right.stderr == ""
    assert right.stdout.splitlines()[-1] == (
        f"tiny.{AFM} on {AFM}: 25 checks, 22 passed, 0 failed, 3 skipped."
    )
    assert "summary: not verified: blocks_moved, bound_is_over" in right.stdout
    data = parsed(afmc("verify", f"tiny.{AFM}", "--json"))
    assert data["passed"] and len(data["checks"]) == 25

    shutil.copytree(workplace / f"tiny.{AFM}", workplace / "wrong")
    program = workplace / "wrong" / "program.json"
    program.write_text(program.read_text().replace('"tiles_used": 68', '"tiles_used": 67'))
    wrong = afmc("verify", "wrong")
    assert wrong.returncode == 1 and wrong.stderr == ""
    assert wrong.stdout.splitlines()[-3:] == [
        "WRONG, unchanged: 'program.json' has another SHA-256 than in afmc_manifest.json.",
        "WRONG, summary: summary.tiles_used is 67, but 68 is what follows.",
        f"wrong on {AFM}: 25 checks, 20 passed, 2 failed, 3 skipped.",
    ]
    as_json = afmc("verify", "wrong", "--json")
    assert as_json.returncode == 1 and not json.loads(as_json.stdout)["passed"]

    other = afmc("verify", f"tiny.{AFM}", "--target", "moe-3d")
    assert other.returncode == 0
    assert f"target: the program is for {AFM}, not for moe-3d." in other.stdout
    shutil.rmtree(workplace / "wrong")


def test_a_model_that_does_not_fit_as_json(afmc: Run, workplace: Path) -> None:
    limits = ("--set", "target.chip.tiles=1", "--set", "target.system.chips=5")
    result = afmc("compile", "-O0", "tiny", "-t", "ideal-512", *limits, "-o", "big", "--json")
    assert result.returncode == 2 and not (workplace / "big").exists()
    data = json.loads(result.stdout)["error"]["fit"]
    assert data["fits"] is False and data["limits"][0]["deficit"] == 4
    assert data["proof"]["holds_for"] == "this rule"
    assert data["message"] in result.stderr and data["proof"]["sentence"] in result.stderr
    assert all(lever["change"] in result.stderr for lever in data["levers"])


def test_validate(afmc: Run) -> None:
    arguments = ("validate", f"tiny.{AFM}", "--text", "text.txt", "--tokens", "128")
    options = ("--window", "32", "--instances", "2", "--seed", "3")
    data = parsed(afmc(*arguments, *options, "--json"))
    assert data["tokens"] == 128 and data["instances"] == 2 and data["seed"] == 3
    assert data["noise"] is True and data["model"] == "tiny" and data["target"] == AFM
    assert data["digital"]["perplexity"] > 1
    assert len(data["analog"]["perplexity"]["values"]) == 2
    assert data["analog"]["perplexity"]["interval_95"] is None  # of two chips
    assert 0 <= data["top1_agreement"]["mean"] <= 1 and data["kl_divergence"]["mean"] > 0
    assert data["simulation_tokens_per_s"]["digital"]["mean"] > 0 and data["text"] == "text.txt"
    again = parsed(afmc(*arguments, *options, "--json"))
    assert again["analog"] == data["analog"]
    shown = afmc(*arguments, *options).stdout
    assert figures.exact(data["digital"]["perplexity"]) in shown and "seed 3" in shown
    assert "Speed of this simulation: " in shown and " tokens/s digital, " in shown
    assert "tokens a second" not in shown
    assert figures.shown(Estimate(**data["analog"]["perplexity"])).values in shown


def test_validate_under_several_conditions(afmc: Run, workplace: Path) -> None:
    arguments = ("validate", f"tiny.{AFM}", "--text", "text.txt", "--tokens", "64")
    (workplace / "map.csv").write_text("tile,column,state\n0,3,off\n")
    options = (
        "--window", "32", "--instances", "2", "--at", "0s,30d", "--temperature", "25C,85C",
        "--compensation", "none,tile", "--calibrate", "16", "--defects", "map.csv",
        "--set", "target.device.options.drift=true",
    )  # fmt: skip
    data = parsed(afmc(*arguments, *options, "--json"))
    keys = ("at_s", "temperature_C", "compensation", "calibration_probes")
    found = [tuple(each[key] for key in keys) for each in data["conditions"]]
    assert len(found) == len(set(found)) == 16
    assert found[0] == (0.0, 25.0, "none", 0) and found[-1] == (30 * 86400.0, 85.0, "tile", 16)
    assert data["analog"] == data["conditions"][0]["analog"]
    assert data["calibration"]["probes"] == 16 and data["calibration"]["reads"] > 16
    assert data["overrides"]["device.options.drift"] is True and data["defects"] == "map.csv"
    assert any("lines of map.csv are about cells" in note for note in data["notes"])
    fewer = ("--at", "0s,30d", "--calibrate", "16", "--defects", "map.csv", "--window", "32")
    shown = " ".join(afmc(*arguments, "--instances", "1", *fewer).stdout.split())
    assert "30d" in shown and "25C" in shown and "16 probes" in shown and "map.csv" in shown
    assert "by its model, AfmScriptPcm is after 30d what it was just programmed" in shown
    assert "digital multiply-accumulates" in shown


def test_broken_hardware(afmc: Run, workplace: Path) -> None:
    """A random map and a file; then one tile more is dead."""
    (workplace / "dead.csv").write_text("chip,tile,state\n0,5,dead\n")
    rates = "cells_off=0.03,cells_on=0.03,seed=2"
    arguments = ("compile", "-O0", "tiny", "-t", "ideal-512", "--text", "text.txt", *SMALL)
    data = parsed(
        afmc(*arguments, "-o", "broken", "--defects", "dead.csv", "--defects", rates, "--json")
    )
    found = data["defects"]
    assert found["map"] == f"dead.csv + {rates}" and found["dead_crossbars"] == 1
    repair = found["repair"]
    assert repair["methods"] == ["permute", "pair"] and repair["inputs"] == "text.txt"
    assert repair["error"] < 0.1 * repair["error_without"]
    shown = afmc("inspect", "broken").stdout
    assert "1 dead crossbars passed by" in shown and "permute and pair" in shown
    (workplace / "dead.csv").write_text("chip,tile,state\n0,5,dead\n0,7,dead\n")
    more = ("--defects", "dead.csv", "--defects", rates, "--keep", "broken", "-o", "mended")
    data = parsed(afmc(*arguments, *more, "--json"))
    assert data["defects"]["dead_crossbars"] == 2
    moved = sum(
        one != other
        for one, other in zip(
            *(np.load(workplace / d / "blocks.npz")["placements"] for d in ("broken", "mended")),
            strict=True,
        )
    )
    assert moved == 1
    measured = ("--text", "text.txt", "--tokens", "64", "--window", "32", "--instances", "1")
    data = parsed(afmc("validate", "mended", *measured, "--json"))
    assert data["defects"] == f"dead.csv + {rates}"


def test_report(afmc: Run, workplace: Path) -> None:
    arguments = ("--text", "text.txt", "--tokens", "64", "--window", "32", "--instances", "2")
    validated = afmc("validate", f"tiny.{AFM}", *arguments, "--at", "0s,1d", "--json")
    (workplace / "validation.json").write_text(validated.stdout)
    made = afmc("report", f"tiny.{AFM}", "--validation", "validation.json", "-o", "page.html")
    assert made.returncode == 0, made.stderr
    page = (workplace / "page.html").read_text()
    size = len(page.encode())
    assert made.stdout.startswith(f"written to page.html ({size:,} bytes)")
    perplexity = parsed(validated)["analog"]["perplexity"]["mean"]
    assert f"<b>{figures.exact(perplexity)}</b>" in page and "Perplexity over time" in page
    assert "target.crossbar.rows=16" in page and "std:18 over" in page

    plain = afmc("report", f"tiny.{AFM}")
    assert plain.stdout.startswith(f"written to tiny.{AFM}/report.html")
    assert "not validated" in (workplace / f"tiny.{AFM}" / "report.html").read_text()
    assert afmc("verify", f"tiny.{AFM}").returncode == 0
    (workplace / f"tiny.{AFM}" / "report.html").unlink()


@pytest.mark.parametrize(
    "command",
    [
        ("validate", f"tiny.{AFM}", "--text", "text.txt", "--tokens", "64", "--instances", "1"),
        ("run", f"tiny.{AFM}", "quick", "--max-tokens", "1"),
    ],
    ids=lambda each: each[0],
)
def test_the_rules_run_once_a_command(
    afmc: Run, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []

    def counted(program: Program, target: Target) -> Iterator[str]:
        runs.append(program.model.name)
        return problems(program, target)

    monkeypatch.setattr("afmc.program.folder.problems", counted)
    result = afmc(*command)
    assert result.returncode == 0, result.stderr
    assert runs == ["tiny"]


def test_run_prints_text(afmc: Run) -> None:
    first = afmc("run", f"tiny.{AFM}", "the quick", "--max-tokens", "8")
    assert first.returncode == 0 and len(first.stdout) > 4
    assert afmc("run", f"tiny.{AFM}", "the quick", "--max-tokens", "8").stdout == first.stdout
    later = ("--at", "1d", "--temperature", "60C", "--compensation", "column")
    assert afmc("run", f"tiny.{AFM}", "the quick", "--max-tokens", "8", *later).returncode == 0
    digital = afmc("run", f"tiny.{AFM}", "the quick", "--max-tokens", "8", "--digital")
    assert digital.returncode == 0 and len(digital.stdout) > 4


def test_targets(afmc: Run, workplace: Path) -> None:
    names = [row["name"] for row in parsed(afmc("targets", "list", "--json"))["targets"]]
    assert {"hermes-64", AFM, "ideal-512"} <= set(names)
    assert "hermes-64" in afmc("targets", "list").stdout
    shown = afmc("targets", "show", "hermes-64").stdout
    assert "read_latency_ns" in shown and "133 ns" in shown and "derived" in shown
    assert parsed(afmc("targets", "schema"))["title"] == "afmc target"
    findings = parsed(afmc("targets", "check", "hermes-64", "--json"))["findings"]
    assert {f["kind"] for f in findings} == {"passed"}
    assert "a toy model compiles" in afmc("targets", "check", "ideal-512").stdout


def test_a_users_own_target_file(afmc: Run, workplace: Path) -> None:
    data = parsed(afmc("targets", "show", "ideal-512", "--json"))["target"]
    lines = ["schema_version = 1", 'name = "mine"', 'title = "Mine"', 'description = "Mine."']
    for table in ("crossbar", "input", "output", "device", "tile", "chip", "system"):
        lines.append(f"[{table}]")
        for key, value in data[table].items():
            if value is not None and not isinstance(value, dict):
                lines.append(f"{key} = {json.dumps(value)}")
    text = "\n".join(lines).replace("rows = 512", "rows = 16")
    (workplace / "mine.toml").write_text(text)
    compiled = parsed(afmc("compile", "-O0", "tiny", "-t", "mine.toml", "--json"))
    assert compiled["target"] == "mine"
    assert (workplace / "tiny.mine" / "program.json").exists()
    assert afmc("targets", "check", "mine.toml").returncode == 0


def test_version_and_help(afmc: Run) -> None:
    assert afmc("--version").stdout == "afmc 0.1.0\n"
    shown = afmc("--help").stdout
    for command in (
        "compile",
        "inspect",
        "compare",
        "export",
        "verify",
        "costs",
        "validate",
        "report",
        "run",
        "targets",
        "doctor",
    ):
        assert f"\n  {command} " in shown


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, ("pickle-ran",))


def prepare_bad_files(folder: Path) -> None:
    (folder / "latin1.txt").write_bytes(b"caf\xe9 " * 100)
    (folder / "empty.txt").write_text(" \n")
    (folder / "typo.toml").write_text("schema_version = 1\n[crossbar]\nrow = 5\n")
    (folder / "noise.gguf").write_bytes(b"GGUF" + bytes(range(100)))
    (folder / "config.json").write_text("{}")
    (folder / "broken.json").write_text("{")
    (folder / "layerless.json").write_text('{"model_type": "gpt2", "n_layer": 0}')
    (folder / "other.json").write_text(
        '{"model": "other", "target": "x", "digital": {"perplexity": 1}, "conditions": []}'
    )
    np.savez(folder / "routing.npz", mlp=np.zeros((1, 2), np.int32))
    (folder / "occupied").mkdir(exist_ok=True)
    (folder / "occupied" / "thesis.txt").touch()
    for name in ("truncated", "pickled", "calling"):
        tiny_model("llama").save_pretrained(folder / name)  # type: ignore[operator]
    weights = folder / "truncated" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    (folder / "pickled" / "model.safetensors").unlink()
    (folder / "pickled" / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    (folder / "calling" / "rpu_config").write_bytes(pickle.dumps(Payload()))


ERRORS = sorted((Path(__file__).parent / "errors").glob("*.txt"))


@pytest.mark.parametrize("file", ERRORS, ids=lambda file: file.stem)
def test_bad_input_is_one_sentence_and_exit_status_2(
    afmc: Run, workplace: Path, file: Path, golden: Golden
) -> None:
    """Every command of a file, and its sentence, which `--update-golden` writes anew.

    A description of hardware has a line for each of its problems.
    """
    if not (workplace / "typo.toml").exists():
        prepare_bad_files(workplace)
    before = sorted(path.name for path in workplace.iterdir())
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("$ afmc "):
            continue
        result = afmc(*shlex.split(line)[2:])
        errors = [each for each in result.stderr.splitlines() if not each.startswith("[")]
        assert result.returncode == 2, (line, result.stderr)
        first, *more = errors or [""]
        assert first.startswith("error: "), (line, errors)
        # Problems of a target file are a sentence each.
        assert all(each.startswith("typo.toml:") for each in more), (line, errors)
        assert result.stdout == "", line
        # Nothing half-written.
        assert sorted(path.name for path in workplace.iterdir()) == before, line
        lines += [line, *errors, ""]
    golden.lines(file, lines)


def test_typers_own_errors_have_status_2_too(afmc: Run) -> None:
    result = afmc("compil")
    assert (
        result.returncode == 2 and "compile" in result.stderr and "Traceback" not in result.stderr
    )
    assert afmc("validate", f"tiny.{AFM}", "--instances", "0").returncode == 2


def test_a_reader_that_has_seen_enough(workplace: Path) -> None:
    command = f"{AFMC} targets show hermes-64 | head -1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=workplace,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == "" and result.stdout.startswith("hermes-64")
