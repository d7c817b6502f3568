"""What runs is what was compiled: every file of a folder is held against its manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import tiny_model, tiny_tokenizer
from sealed import seal

import afmc
from afmc.cli.app import app
from afmc.common import unchanged
from afmc.common.manifest import digest as manifest_digest
from afmc.errors import ArtifactError
from afmc.export import export_huggingface
from afmc.program.folder import check_model, read_program

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled") / "out"
    model = afmc.compile(tiny_model("llama"), "ideal-512", tokenizer=tiny_tokenizer())
    return model.save(folder)


@pytest.fixture
def out(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(once, tmp_path / "out")
    return tmp_path / "out"


def zeroed(name: str) -> Damage:
    """500 bytes in the middle of a file."""

    def damage(folder: Path) -> None:
        file = folder / name
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 500] = bytes(len(content[middle : middle + 500]))
        file.write_bytes(content)

    return damage


def says(name: str, *path: str, to: Any) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / name
        data = place = json.loads(file.read_text())
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        file.write_text(json.dumps(data))

    return damage


def gone(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def added(name: str) -> Damage:
    return lambda folder: (folder / name).write_text("{}")


IN_MODEL: list[tuple[Damage, str]] = [
    (zeroed("model/model.safetensors"), "model/model.safetensors was changed: its SHA-256 is not"),
    (says("model/config.json", "rms_norm_eps", to=10), "model/config.json was changed: it has "),
    (says("model/config.json", "rope_theta", to=1), "model/config.json was changed: it has "),
    (zeroed("model/tokenizer.json"), "model/tokenizer.json was changed: its SHA-256 is not"),
    (gone("model/tokenizer.json"), "model/tokenizer.json is not there; compile again."),
    (
        added("model/adapter_config.json"),
        "adapter_config.json is not in afmc_manifest.json; remove",
    ),
    (added("model/model.safetensors.index.json"), "is not in afmc_manifest.json; remove it."),
]
BESIDE: list[tuple[Damage, str]] = [
    (says("program.json", "summary", "gap", to=0.25), "program.json was changed: it has "),
    (says("program.json", "model", "sha256", to="0" * 64), "program.json was changed: it has "),
    (says("program.json", "model", "name", to="other"), "is of the compile of "),
    (says("compile.json", "wall_s", to=0.001), "compile.json was changed: it has "),
    (lambda folder: (folder / "afmc_manifest.json").write_text("{}"), "json is damaged; compile"),
    (
        lambda folder: (folder / "afmc_manifest.json").write_text(
            (folder / "afmc_manifest.json").read_text().replace('"blocks.npz"', '"blocks"')
        ),
        "blocks.npz is not in afmc_manifest.json",
    ),
]


@pytest.mark.parametrize(("damage", "sentence"), IN_MODEL)
def test_the_model_is_the_one_that_was_saved(out: Path, damage: Damage, sentence: str) -> None:
    afmc.load(out)
    damage(out)
    for use in (afmc.load, lambda folder: export_huggingface(folder, out.parent / "hf")):
        with pytest.raises(ArtifactError) as caught:
            use(out)
        assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("damage", "sentence"), BESIDE)
def test_the_program_is_the_one_that_was_written(out: Path, damage: Damage, sentence: str) -> None:
    damage(out)
    for use in (read_program, afmc.load):
        with pytest.raises(ArtifactError) as caught:
            use(out)
        assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["validate", "run", "inspect", "costs", "report", "export"])
def test_every_command_refuses_what_was_changed(out: Path, command: str, runner: Any) -> None:
    of_model = command in ("validate", "run")
    (zeroed("model/model.safetensors") if of_model else says("compile.json", "wall_s", to=1e-3))(
        out
    )
    more = {"run": ["hello"], "export": ["-o", str(out.parent / "map.csv")]}.get(command, [])
    result = runner.invoke(app, [command, str(out), *more])
    assert isinstance(result.exception, ArtifactError)
    assert "was changed" in str(result.exception)


def test_who_seals_it_again_is_believed(out: Path) -> None:
    """For the tests of what is looked at after hashes."""
    says("model/config.json", "rms_norm_eps", to=1e-4)(out)
    model: Any = afmc.load(seal(out)).digital
    assert model.config.rms_norm_eps == 1e-4


def test_large_files_are_hashed_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def digest(file: Path) -> str:
        hashed.append(file.name)
        return manifest_digest(file)

    monkeypatch.setattr("afmc.common.unchanged.digest", digest)
    monkeypatch.setattr(unchanged, "_LONG", 0)
    monkeypatch.setattr(unchanged, "_SETTLED_S", -1)
    said: list[str] = []
    for _ in range(2):
        check_model(out, said.append)
    assert hashed.count("model.safetensors") == 1
    assert len(said) == 1 and said[0].startswith("hashing 0.0 GB in ")

    weights = out / "model" / "model.safetensors"
    before = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had happened
    with pytest.raises(ArtifactError, match="was changed"):
        check_model(out)


def test_files_that_have_just_changed_are_hashed_again(out: Path) -> None:
    check_model(out)
    zeroed("model/model.safetensors")(out)
    with pytest.raises(ArtifactError, match="was changed"):
        check_model(out)
    assert not list((out.parent / "cache").rglob("*.json")) or all(
        "model.safetensors" not in file.read_text()
        for file in (out.parent / "cache").rglob("*.json")
    )


def test_a_cache_that_cannot_be_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(unchanged, "_SETTLED_S", -1)
    assert check_model(out) == out / "model"


@pytest.fixture
def runner() -> Any:
    from typer.testing import CliRunner

    return CliRunner()
