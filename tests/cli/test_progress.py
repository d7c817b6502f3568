"""A bar that has a length and an estimate, and lines for what takes long."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import run

from afmc.cli.progress import COMPILE, Plan, expected, left, progress, validation
from afmc.common.manifest import Made, read_manifest, write_manifest
from afmc.common.progress import announce, announced_after, listening
from afmc.compiler.pipeline import PIPELINE


def test_a_compile_has_a_length() -> None:
    steps = expected(PIPELINE)
    assert list(steps) == list(COMPILE)
    assert "smash" in expected(("partition", "smash"))
    plan = Plan(steps)
    seen = []
    for name in steps:
        plan.advance(name, 0.0)
        seen.append(plan.fraction)
    assert seen == sorted(seen) and seen[0] == 0.0 and seen[-1] < 1.0
    assert plan.place == f"step {len(steps)} of {len(steps)}"
    plan.advance("save", 1.0)
    assert plan.fraction == pytest.approx(1.0)


def test_steps_that_are_left_out_count_as_done() -> None:
    plan, other = Plan(COMPILE), Plan(COMPILE)
    for name in COMPILE:
        plan.advance(name, 0.0)
        if name != "calibrate":
            other.advance(name, 0.0)
    assert plan.fraction == other.fraction


def test_a_validation_goes_through_all_instances_even_in_chunks() -> None:
    steps = validation(2, 3)
    plan = Plan(steps)
    plan.advance("load", 0.0)
    before = plan.fraction
    for chunk in range(2):
        plan.advance("digital", 0.5)
        for number in range(6):
            step = plan.step_of(f"instance {number % 2 + 1} of 2, 0s")
            assert step == "instance"
            plan.advance(step, 0.5 / 6)
            assert plan.fraction > before
            before = plan.fraction
        if chunk:
            plan.advance("verdict", 1.0)
            assert plan.fraction == pytest.approx(1.0)
    assert plan.step_of("hashing 3 GB") is None


def test_recovery_and_verdict_are_steps() -> None:
    steps = list(expected(PIPELINE, level=1))
    assert steps[4:10] == [
        *("own text", "prefix", "clipping", "activations", "ranges"),
        PIPELINE[0],
    ]
    assert steps[-2:] == ["correction", "save"] and len(steps) == len(set(steps))
    assert list(validation(1, 1))[-1] == "verdict"


@pytest.mark.parametrize(
    ("elapsed", "fraction", "said"),
    [
        (1.0, 0.01, ""),
        (10.0, 0.5, "about 10 s left"),
        (60.0, 0.1, "about 9 min left"),
        (5.0, 1.0, "about 1 s left"),
    ],
)
def test_what_is_left(elapsed: float, fraction: float, said: str) -> None:
    assert left(elapsed, fraction) == said


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(time, "perf_counter", iter(range(0, 10**6, 5)).__next__)
    with progress(validation(2, 1)) as advance:
        advance("load", 0, 0)
        advance("the tokenizer is odd", 0, 0)
        advance("digital", 32, 64)
        advance("digital", 32, 64)
        advance("instance 1 of 2", 64, 64)
        advance("instance 2 of 2", 32, 64)
        time.sleep(0.2)
    text = screen.getvalue()
    assert "the tokenizer is odd" in text
    assert "instance 2 of 2" in text and "32 of 64, step 3 of 4" in text and " s left" in text


def test_lines_elsewhere(tmp_path: Path) -> None:
    ran = run(tmp_path, "targets", "list")
    assert ran.stderr == ""


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by two seconds whenever one looks."""
    monkeypatch.setattr("afmc.common.progress.time.monotonic", iter(range(0, 10**6, 2)).__next__)


def heard(work: Callable[[], object]) -> list[str]:
    lines: list[str] = []
    with listening(lines.append):
        work()
    return lines


def test_hashing_is_said_where_it_takes_long(tmp_path: Path, late: None) -> None:
    from afmc.frontends.checkpoint.folder import sha256_of_files

    file = tmp_path / "weights"
    file.write_bytes(bytes(9 << 20))
    assert heard(lambda: sha256_of_files([file])) == ["hashing the model's files"]
    made = Made("compile", "tiny", "ideal-512")
    assert heard(lambda: write_manifest(tmp_path, made, "0")) == ["hashing what was written"]
    manifest = read_manifest(tmp_path)
    assert manifest is not None and manifest.files["weights"].bytes == 9 << 20


def test_nothing_is_said_where_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    made = Made("compile", "tiny", "ideal-512")
    assert heard(lambda: write_manifest(tmp_path, made, "0")) == []
    announced_after("never", 100.0)()
    announce("nobody listens")
