"""The command line as a user meets it: output, errors, exit status."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import tiny_model, tiny_tokenizer

AFMC = Path(sys.executable).with_name("afmc")
TEXT = "the quick brown fox jumps over the lazy dog. " * 100
SMALL = ("--set", "target.crossbar.rows=20", "--set", "target.crossbar.columns=24")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, a text and a compile of them."""
    folder = tmp_path_factory.mktemp("cli")
    tiny_model("llama").save_pretrained(folder / "tiny")  # type: ignore[operator]
    tiny_tokenizer().save_pretrained(folder / "tiny")
    (folder / "text.txt").write_text(TEXT)
    result = _afmc(folder, "compile", "tiny", "-t", "afm-512", "--text", "text.txt", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "written to tiny.afm-512" in result.stdout
    return folder


def _afmc(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(AFMC), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment},
    )


@pytest.fixture
def afmc(workplace: Path) -> Run:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return _afmc(workplace, *arguments, **environment)

    return run


def parsed(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


FIELDS = {
    "model", "target", "matrices_analog", "matrices_digital", "weights_analog", "weights_digital",
    "macs_analog_fraction", "blocks", "tiles_used", "tiles_lower_bound", "gap", "solver_status",
    "chips_used", "utilization", "wall_s", "peak_rss_mb", "levers", "schema_version",
}  # fmt: skip


def test_compile_and_inspect_print_the_same_json(afmc: Run, workplace: Path) -> None:
    arguments = ("compile", "tiny", "-t", "afm-512", "-o", "out/json", "--text", "text.txt", *SMALL)
    made = afmc(*arguments, "--json")
    compiled, inspected = parsed(made), parsed(afmc("inspect", "out/json", "--json"))
    assert set(compiled) >= FIELDS
    assert {k: v for k, v in compiled.items() if k in FIELDS - {"wall_s", "peak_rss_mb"}} == {
        k: v for k, v in inspected.items() if k in FIELDS - {"wall_s", "peak_rss_mb"}
    }
    assert compiled["target_overrides"] == {"crossbar.rows": 20, "crossbar.columns": 24}
    assert "export" in made.stderr  # progress, as plain lines
    first = (workplace / "tiny.afm-512" / "program.json").read_bytes()
    assert (workplace / "out/json" / "program.json").read_bytes() == first


def test_inspect_for_a_person(afmc: Run) -> None:
    shown = afmc("inspect", "tiny.afm-512").stdout
    assert "overridden" in shown and "crossbar.rows=20, crossbar.columns=24" in shown
    assert "model.layers.*.self_attn.{q_proj,k_proj,v_proj}.weight" in shown
    assert "attention product: both operands are activations" in shown
    assert "OPTIMAL, gap 0.00 %" in shown
    assert "std:18 over" in shown and "of text.txt" in shown


def test_validate(afmc: Run) -> None:
    arguments = ("validate", "tiny.afm-512", "--text", "text.txt", "--tokens", "128")
    options = ("--window", "32", "--instances", "2", "--seed", "3")
    data = parsed(afmc(*arguments, *options, "--json"))
    assert data["tokens"] == 128 and data["instances"] == 2 and data["seed"] == 3
    assert data["digital"]["perplexity"] > 1
    assert len(data["analog"]["perplexity"]["values"]) == 2
    assert data["analog"]["perplexity"]["interval_95"][0] < data["analog"]["perplexity"]["mean"]
    assert 0 <= data["top1_agreement"]["mean"] <= 1 and data["kl_divergence"]["mean"] > 0
    assert data["tokens_per_s"]["digital"] > 0 and data["text"] == "text.txt"
    again = parsed(afmc(*arguments, *options, "--json"))
    assert again["analog"] == data["analog"]
    shown = afmc(*arguments, *options).stdout
    assert f"{data['digital']['perplexity']:.4f}" in shown and "seed 3" in shown


def test_run_prints_text(afmc: Run) -> None:
    first = afmc("run", "tiny.afm-512", "the quick", "--max-tokens", "8")
    assert first.returncode == 0 and len(first.stdout) > 4
    assert afmc("run", "tiny.afm-512", "the quick", "--max-tokens", "8").stdout == first.stdout
    digital = afmc("run", "tiny.afm-512", "the quick", "--max-tokens", "8", "--digital")
    assert digital.returncode == 0 and len(digital.stdout) > 4


def test_targets(afmc: Run, workplace: Path) -> None:
    names = [row["name"] for row in parsed(afmc("targets", "list", "--json"))["targets"]]
    assert {"hermes-64", "afm-512", "ideal-512"} <= set(names)
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
    compiled = parsed(afmc("compile", "tiny", "-t", "mine.toml", "--json"))
    assert compiled["target"] == "mine"
    assert (workplace / "tiny.mine" / "program.json").exists()
    assert afmc("targets", "check", "mine.toml").returncode == 0


def test_doctor(afmc: Run) -> None:
    data = parsed(afmc("doctor", "--json"))
    assert data["missing"] == [] and data["required"]["torch"].startswith("2.")
    assert "hermes-64" in data["targets"]
    assert "torch" in afmc("doctor").stdout


def test_version_and_help(afmc: Run) -> None:
    assert afmc("--version").stdout == "afmc 0.1.0\n"
    shown = afmc("--help").stdout
    for command in ("compile", "inspect", "validate", "run", "targets", "doctor"):
        assert f"\n  {command} " in shown


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, ("pickle-ran",))


def prepare_bad_files(folder: Path) -> None:
    (folder / "latin1.txt").write_bytes(b"caf\xe9 " * 100)
    (folder / "empty.txt").write_text(" \n")
    (folder / "typo.toml").write_text("schema_version = 1\n[crossbar]\nrow = 5\n")
    (folder / "noise.gguf").write_bytes(b"GGUF" + os.urandom(100))
    (folder / "occupied").mkdir(exist_ok=True)
    (folder / "occupied" / "thesis.txt").touch()
    for name in ("truncated", "pickled"):
        tiny_model("llama").save_pretrained(folder / name)  # type: ignore[operator]
    weights = folder / "truncated" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    (folder / "pickled" / "model.safetensors").unlink()
    (folder / "pickled" / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))


BAD: list[tuple[tuple[str, ...], str]] = [
    (("compile", "tiny", "-t", "afm512"), "unknown target 'afm512': it is neither a .toml file nor "
     "one of afm-512, hermes-64, ideal-512. Did you mean 'afm-512'?"),
    (("compile", "tiny", "-t", "nowhere.toml"), "nowhere.toml does not exist: give a .toml file or "
     "one of afm-512, hermes-64, ideal-512."),
    (("compile", "tiny", "-t", "typo.toml"), "typo.toml:crossbar.row is not a known key. "
     "Did you mean 'rows'?"),
    (("compile", "./missing", "-t", "afm-512"), "./missing does not exist."),
    (("compile", "smollm-135m", "-t", "afm-512"), "smollm-135m is neither a file nor a folder here "
     "nor a known name, and the hub could not be reached or has no such model"),
    (("compile", "smollm-135m", "-t", "afm-512"), "Did you mean 'smollm2-135m'?"),
    (("compile", "truncated", "-t", "afm-512"), "truncated/model.safetensors"),
    (("compile", "pickled", "-t", "afm-512"), "pickle"),
    (("compile", "noise.gguf", "-t", "afm-512"), "noise.gguf"),
    (("compile", "text.txt", "-t", "afm-512"), "text.txt is not a kind of file that is read now"),
    (("compile", "tiny", "-t", "afm-512", "--text", "none.txt"), "the text none.txt does not "
     "exist."),
    (("compile", "tiny", "-t", "afm-512", "--text", "latin1.txt"), "the text latin1.txt is not "
     "UTF-8 (byte 3); convert it first."),
    (("compile", "tiny", "-t", "afm-512", "--text", "empty.txt"), "the text empty.txt is empty."),
    (("compile", "tiny", "-t", "afm-512", "--calibration", "max"), "calibration 'max' is not "),
    (("compile", "tiny", "-t", "afm-512", "-o", "occupied"), "occupied has files in it that afmc "
     "did not write; name another folder with -o."),
    (("compile", "tiny", "-t", "afm-512", "-o", "text.txt"), "text.txt is a file; name a folder "
     "with -o."),
    (("compile", "tiny", "-t", "ideal-512", "--digital", "qproj"), "--digital 'qproj' matches none "
     "of the 15 matrices of tiny. Did you mean 'q_proj'?"),
    (("compile", "tiny", "-t", "ideal-512", "--set", "split.style=half"), "--set split.style=half: "
     "input should be 'full' or 'balanced'."),
    (("compile", "tiny", "-t", "ideal-512", "--passes", "partition,smash"), "there is no pass "
     "'smash'"),
    (("compile", "tiny", "-t", "ideal-512", *SMALL, "--set", "target.chip.tiles=1", "--set",
      "target.system.chips=3"), "tiny needs 54 chips of ideal-512 (54 tiles, 1 a chip), but the "
     "system has 3: 51 missing. What would fit: --set target.system.chips=54."),
    (("inspect", "nothing"), "nothing does not exist; make it with 'afmc compile MODEL -o DIR'."),
    (("inspect", "occupied"), "occupied is not a finished afmc compile: it has no program.json"),
    (("validate", "nothing"), "nothing does not exist"),
    (("validate", "tiny.afm-512", "--text", "none.txt"), "the text none.txt does not exist."),
    (("validate", "tiny.afm-512", "--window", "9999", "--tokens", "9999"), "--window 9999: "
     "9999 tokens are more than the 64 positions of tiny."),
    (("run", "tiny.afm-512", ""), "the prompt is empty"),
    (("targets", "show", "hermes"), "unknown target 'hermes'"),
    (("targets", "check", "typo.toml"), "typo.toml:crossbar.row is not a known key."),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=lambda v: str(v)[:60])
def test_bad_input_is_one_sentence_and_exit_status_2(
    afmc: Run, workplace: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    if not (workplace / "typo.toml").exists():
        prepare_bad_files(workplace)
    before = sorted(path.name for path in workplace.iterdir())
    result = afmc(*arguments)
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert result.returncode == 2, result.stderr
    assert len(errors) == 1 and errors[0].startswith("error: ") and sentence in errors[0], errors
    assert result.stdout == ""
    assert sorted(path.name for path in workplace.iterdir()) == before  # nothing half-written


def test_typers_own_errors_have_status_2_too(afmc: Run) -> None:
    result = afmc("compil")
    assert (
        result.returncode == 2 and "compile" in result.stderr and "Traceback" not in result.stderr
    )
    assert afmc("validate", "tiny.afm-512", "--instances", "0").returncode == 2


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
