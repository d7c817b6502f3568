"""What is free, and what was taken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from afmc.common.memory import available_bytes, peak_bytes

FREE = psutil.virtual_memory().available


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "3000000", "memory.current": "1000000"}, 2000000),
        ({"memory.max": "1000000", "memory.current": "3000000"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": "5000000",
                "memory/memory.usage_in_bytes": "1000000",
            },
            4000000,
        ),
    ],
)
def test_a_control_group_limits_it(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert available_bytes(tmp_path) == expected


def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == pytest.approx(FREE, rel=0.5)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_bytes(tmp_path) == pytest.approx(FREE, rel=0.5)


def test_the_peak_is_of_this_process_alone() -> None:
    """A small process that a large one starts is small."""
    held = bytearray(300 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    code = "import json; from afmc.common.memory import peak_bytes; print(json.dumps(peak_bytes()))"
    found = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout)
    assert 2**22 < found < 100 * 2**20 < 300 * 2**20 < peak_bytes()


def test_the_peak_without_a_status_file(tmp_path: Path) -> None:
    assert peak_bytes(tmp_path / "missing") > 2**22
