"""What a command says besides its result: errors as data, -q, -v, --log-file, completion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import Ran, run
from jsonschema import Draft202012Validator
from typer.main import get_command

from afmc.cli.app import app
from afmc.cli.failure import to_json
from afmc.cli.schemas import error_schema
from afmc.cli.verbosity import verbosity
from afmc.errors import CapacityError

ROOT = Path(__file__).parents[2]
SMOLLM2 = str(ROOT / "examples/configs/smollm2-135m.json")


def commands(command: Any = None, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or get_command(app)
    below = getattr(command, "commands", {})
    if not below:
        yield names, command
    for name, each in below.items():
        yield from commands(each, *names, name)


def has(command: Any, option: str) -> bool:
    return any(option in each.opts for each in command.params)


ALL = dict(commands())
DATA = [names for names, command in ALL.items() if has(command, "--json")]


@pytest.mark.parametrize("names", DATA, ids=" ".join)
def test_every_command_with_data_has_a_schema_that_knows_errors(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    schema = json.loads(run(tmp_path, *names, "--schema").stdout)
    Draft202012Validator.check_schema(schema)
    wrong = run(tmp_path, *names, "--nonsense", "--json")
    assert wrong.returncode == 2 and "No such option: --nonsense" in wrong.stderr
    document = json.loads(wrong.stdout)
    Draft202012Validator(schema).validate(document)
    assert document["error"].pop("message").startswith("No such option: --nonsense")
    assert document["error"] == {"kind": "UsageError", "exit_status": 2, "fit": None}


@pytest.mark.parametrize(
    "arguments",
    [("targets", "list"), ("targets", "devices"), ("targets", "show", "hermes-64"),
     ("targets", "show", "h100"), ("targets", "check", "h100"), ("doctor",)],
    ids=" ".join,
)  # fmt: skip
def test_what_is_printed_is_what_the_schema_says(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    schema = json.loads(run(tmp_path, *arguments, "--schema").stdout)
    printed = json.loads(run(tmp_path, *arguments, "--json").stdout)
    Draft202012Validator(schema).validate(printed)
    assert not Draft202012Validator(schema).is_valid({**printed, "more": 1})


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("inspect", "none"), "ArtifactError", "none does not exist; make it with"),
        (("compile", "./none"), "ModelError", "./none does not exist."),
        (("targets", "show", "hermes"), "TargetError", "unknown target 'hermes'"),
        (("costs",), "UsageError", "Missing argument 'DIR'."),
    ],
)
def test_an_error_is_data_on_stdout_and_a_sentence_on_stderr(
    tmp_path: Path, arguments: tuple[str, ...], kind: str, message: str
) -> None:
    plain, ran = run(tmp_path, *arguments), run(tmp_path, *arguments, "--json")
    assert plain.returncode == ran.returncode == 2
    assert plain.stdout == "" and plain.stderr == ran.stderr and message in ran.stderr
    error = json.loads(ran.stdout)["error"]
    assert error["kind"] == kind and message in error["message"]


def test_json_behind_two_hyphens_is_no_option(tmp_path: Path) -> None:
    assert run(tmp_path, "inspect", "--", "--json").stdout == ""


def test_a_model_that_does_not_fit(tmp_path: Path) -> None:
    arguments = ("-t", "hermes-64", "--set", "target.system.chips=40", "--json")
    ran = run(tmp_path, "compile", SMOLLM2, "--shapes-only", *arguments)
    assert ran.returncode == 2
    document = json.loads(ran.stdout)
    Draft202012Validator(error_schema()).validate(document)
    assert document["error"]["kind"] == "CapacityError"
    assert document["error"]["fit"]["limits"][0]["deficit"] == 5


def test_memory_and_errors_without_a_report() -> None:
    for error in (MemoryError(), CapacityError("No.", 2, 1)):
        document = to_json(error, "No.")
        Draft202012Validator(error_schema()).validate(document)


def progress_of(ran: Ran) -> list[str]:
    return re.findall(r"^\[ *\d+\.\d s\] (.*)$", ran.stderr, re.M)


@pytest.fixture
def compiled(tmp_path: Path) -> Iterator[Any]:
    def call(*arguments: str) -> Ran:
        shapes = ("compile", SMOLLM2, "--shapes-only", "-o", "out")
        return run(tmp_path, *shapes, *arguments)

    yield call
    assert (verbosity.quiet, verbosity.verbose, verbosity.log) == (False, False, None)


def test_quiet_verbose_and_a_log(compiled: Any, tmp_path: Path) -> None:
    loud = compiled()
    assert {"load", "export", "partition"} <= set(progress_of(loud))
    quiet = compiled("-q", "--log-file", "log.txt")
    assert quiet.stderr == ""
    assert loud.stdout.splitlines()[0] == quiet.stdout.splitlines()[0]
    assert "written to out, in place of the compile of " in quiet.stdout
    log = (tmp_path / "log.txt").read_text()
    head, first, *lines = log.splitlines()
    assert head == "# what afmc did, in UTC"
    assert first.endswith(f"afmc compile {SMOLLM2} --shapes-only -o out -q --log-file log.txt")
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in (first, *lines))
    assert any(line.endswith("] partition") for line in lines)

    wrong = compiled("--digital", "nix", "-v", "--log-file", "log.txt")
    assert wrong.returncode == 2
    assert re.match(r"afmc \S+, Python 3\.", wrong.stderr)
    assert re.search(r"^  afmc/compiler/early.py:\d+ check_patterns$", wrong.stderr, re.M)
    assert wrong.stderr.splitlines()[-1].startswith("error: --digital 'nix' matches none")
    longer = (tmp_path / "log.txt").read_text()
    assert longer.startswith(log) and "error: --digital 'nix'" in longer[len(log) :]


def test_before_the_command_too(tmp_path: Path) -> None:
    ran = run(tmp_path, "-v", "targets", "show", "hermes")
    assert "  afmc/targets/loader.py:" in ran.stderr or "targets/loader.py:" in ran.stderr
    assert run(tmp_path, "targets", "show", "hermes").stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-q", "-v"), "--quiet and --verbose are opposites: give one of them."),
        (("--log-file", "none/log"), "--log-file none/log: there is no folder none; make it first"),
        (("--log-file", "notes"), "--log-file notes is there and is not a log that afmc wrote"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "notes").write_text("mine")
    ran = run(tmp_path, "targets", "list", *arguments)
    assert ran.returncode == 2 and f"error: {sentence}" in ran.stderr
    assert (tmp_path / "notes").read_text() == "mine"


ASKED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
"""The shell is the one that is named, not the one that the tests run in."""


def complete(folder: Path, line: str) -> list[str]:
    words = line.split(" ")
    ran = run(
        folder,
        _AFMC_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )
    assert ran.returncode == 0
    return ran.stdout.split()


def test_completion(tmp_path: Path) -> None:
    assert complete(tmp_path, "afmc com") == ["compile", "compare"]
    assert complete(tmp_path, "afmc compile --obj") == ["--objective"]
    assert complete(tmp_path, "afmc compile --target herm") == ["hermes-64"]
    assert complete(tmp_path, "afmc compile smol") == ["smollm2-135m"]
    assert complete(tmp_path, "afmc targets show neu") == ["neurram-48"]
    assert complete(tmp_path, "afmc export x --as hug") == ["huggingface"]
    for shell in ("bash", "zsh", "fish"):
        assert "_AFMC_COMPLETE" in run(tmp_path, "--show-completion", shell, **ASKED).stdout


def test_completion_is_installed_for_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = run(tmp_path, "--install-completion", "bash", **ASKED)
    assert ran.returncode == 0 and "bash completion installed in" in ran.stdout
    [script] = [each for each in tmp_path.rglob("*afmc*") if each.is_file()]
    assert "_AFMC_COMPLETE" in script.read_text()
