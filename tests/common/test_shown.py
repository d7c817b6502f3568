"""Text from files is printed with control characters escaped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import kept
import pytest
from typer.testing import CliRunner

from afmc.cli import output
from afmc.cli.app import app, main
from afmc.common.shown import escaped, escaped_json, shown

EVIL = "\x1b[31mred\x07\x9b\u202e\ud800\U000e0041"
ESCAPED = "\\x1b[31mred\\x07\\x9b\\u202e\\ud800\\U000e0041"


def test_escapes() -> None:
    assert escaped(EVIL) == ESCAPED
    assert escaped("größer\n25.08… │ \xa0|") == "größer\n25.08… │ \xa0|"
    assert json.loads(escaped_json(json.dumps({"a": EVIL}, ensure_ascii=False))) == {"a": EVIL}
    assert escaped_json('"\x9b\u202e"') == '"\\u009b\\u202e"'
    assert shown("a\nb" * 100) == "a\\nb" * 32 + "a..."


def test_a_bound_with_a_name_of_commands(tmp_path: Path) -> None:
    folder = kept.write(tmp_path / "out")
    kept.edit(folder, "allocation", "bounds", to={"area": 3, "set cover": 2, "\x1b]0;evil\x07": 3})
    kept.edit(folder, "summary", "bounds", to={"area": 3, "set cover": 2, "\x1b]0;evil\x07": 3})
    for command in (("verify",), ("verify", "--json"), ("inspect",), ("inspect", "--json")):
        result = CliRunner().invoke(app, [command[0], str(folder), *command[1:]])
        assert "\x1b" not in result.stdout and "\x07" not in result.stdout
        assert "evil" in result.stdout or command == ("inspect",)


def test_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["afmc", "inspect", str(tmp_path / "\x1b[2Jgone")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "\\x1b[2Jgone does not exist" in capsys.readouterr().err

    output.error("x" * 100_000)
    assert len(capsys.readouterr().err) < 5000


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        (">/dev/full", "error: the standard output cannot be written: No space left on device."),
        (">&-", "error: the standard output is closed: give one, for instance /dev/null."),
    ],
)
def test_an_output_that_takes_nothing(to: str, reason: str) -> None:
    command = f"{sys.executable} -c 'from afmc.cli import main; main()' targets list {to}"
    ended = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (2, f"{reason}\n")
